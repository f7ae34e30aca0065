"""The page in a real browser: it answers in the first screen, opens offline, runs no name."""

import hashlib
import json
import math
import re
from importlib.resources import files

import pytest
from plotly.offline import get_plotlyjs
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from seqmodels.report.writing import write_report
from tests.report.browser import Browser, find_chromium
from tests.report.folders import (
    HOSTILE,
    run_folder,
    scaling_folder,
    scaling_of_tokens,
    sweep_folder,
    write_json,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no chromium with chromedriver"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report of a sweep with a failed trial, a scaling in two modes and some runs."""
    folder = tmp_path_factory.mktemp("all")
    failed = {0: ("failed", "the loss is nan at step 80")}
    sweep_folder(folder / "recall", ("lstm", "gru", "global"), (64, 128), states=failed)
    scaling_folder(folder / "scaling")
    scaling_of_tokens(folder / "scaling-tokens")
    first = run_folder(folder / "runs" / "first", "conv", accuracy=0.5)
    score = {"mean": 0.5, "low": 0.4, "high": 0.6, "examples": 9}
    by_place = {"1": score, "2": score, "40-48": score}
    by_position = {"accuracy": by_place, "loss": by_place}
    at = {"metrics": {"accuracy": score}, "slices": {}, "by_position": by_position}
    write_json(first / "lengths.json", {"200": {"test": {"64": at}}})
    run_folder(folder / "runs" / "second", "conv", seed=1, accuracy=0.6)
    run_folder(folder / "runs" / "half", "rnn", finished=False)
    return write_report([str(folder)], str(folder / "report"))


def column(browser: Browser, table: str, place: int) -> list[str]:
    """The texts of a column, of the rows that are there."""
    script = """return [...document.getElementById(arguments[0]).tBodies]
        .filter((body) => !body.hidden)
        .map((body) => body.rows[0].cells[arguments[1]].textContent)"""
    return browser.run(script, table, place)


RESULTS = "table-sweep-1-recall-results"
LETTER = 979
"""Pixels between the margins of 0.4 inches that Chromium prints with, of 11 inches."""


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_it_opens_offline_without_a_complaint(browser, page, scheme, width):
    browser.open(page, scheme, width)
    assert browser.draw_all() > 5
    wait = WebDriverWait(browser.driver, 20)
    drawn = "return document.querySelectorAll('.chart .main-svg .scatterlayer .trace').length"
    wait.until(lambda _: browser.run(drawn) > 20)
    assert browser.messages() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run(CUT_OFF) == []
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    text = browser.run("return document.querySelector('.chart .xtitle').style.fill")
    light = sum(int(c) for c in background[4:-1].split(",")) > 3 * 128
    assert light == (scheme == "light")
    assert (sum(int(c) for c in text[4:-1].split(",")) > 3 * 128) == (scheme == "dark")


CUT_OFF = """return [...document.querySelectorAll(
    'h1, h2, h3, p, li, figcaption, label, select, th, td, .cell, nav a')].filter(
    (e) => e.checkVisibility() && !e.closest('.unseen') && e.scrollWidth > e.clientWidth + 1
      && getComputedStyle(e).display !== 'inline').map((e) => e.textContent.slice(0, 60))"""
"""The texts that are wider than what holds them."""
FIRST = (
    r"On recall at length \d+, \w+ reaches \d+\.\d% accuracy \(\d+\.\d to \d+\.\d%, n=2\); "
    r"a run takes \d+\.?\d* s\."
)
"""A finding that is complete: task, length, mixer, score, interval and a price."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_first_finding_is_in_the_first_screen(browser, page, scheme, width, height):
    browser.open(page, scheme, width, height)
    lead = browser.driver.find_element(By.CSS_SELECTOR, "#findings .lead")
    assert re.match(FIRST, lead.text.replace("\n", " "))
    box = browser.run("return arguments[0].getBoundingClientRect().toJSON()", lead)
    assert 0 < box["top"] < box["bottom"] < height
    assert 0 < box["left"] < box["right"] < width
    assert browser.run(CUT_OFF) == []


def test_a_finding_leads_to_its_figure(browser, page):
    """To the axis and the length that it is about, of all that a menu has."""
    browser.open(page)
    browser.draw_all()
    link = browser.driver.find_element(By.CSS_SELECTOR, "#findings .lead a.to")
    target = link.get_attribute("href").split("#")[1]
    link.send_keys(Keys.ENTER)
    figure = browser.driver.find_element(By.ID, "sweep-1-recall-cost")
    chart = figure.find_element(By.CSS_SELECTOR, ".chart")
    WebDriverWait(browser.driver, 10).until(lambda _: chart.get_attribute("data-figure") == target)
    at = figure.find_elements(By.TAG_NAME, "select")[1]
    assert browser.run("return arguments[0].value", at) in browser.run(
        "return document.querySelector('.lead').textContent"
    )


def test_a_menu_shows_another_cost(browser, page):
    browser.open(page)
    browser.draw_all()
    figure = browser.driver.find_element(By.ID, "sweep-1-recall-cost")
    cost, at = figure.find_elements(By.TAG_NAME, "select")
    title = "return arguments[0].querySelector('.xtitle').textContent"
    assert browser.run(title, figure) == "training time of a run"
    cost.send_keys("FLOPs")
    WebDriverWait(browser.driver, 10).until(
        lambda _: browser.run(title, figure) == "FLOPs of a forward pass"
    )
    assert "Shaded" in figure.find_element(By.TAG_NAME, "figcaption").text
    at.send_keys("every")
    caption = figure.find_element(By.TAG_NAME, "figcaption")
    WebDriverWait(browser.driver, 10).until(lambda _: "joins the lengths" in caption.text)
    figure.find_element(By.CSS_SELECTOR, "details.data summary").click()
    rows = WebDriverWait(browser.driver, 10).until(
        lambda _: figure.find_elements(By.CSS_SELECTOR, "details.data tbody")
    )
    assert len(rows) == 5, "of one of six the FLOPs are not known"


def test_a_menu_shows_steps_of_as_many_tokens_at_each_length(browser, page):
    """Another cost stays with them."""
    browser.open(page)
    browser.draw_all()
    figure = browser.driver.find_element(By.ID, "scaling-1-scaling-cost")
    cost, _, steps = figure.find_elements(By.TAG_NAME, "select")
    chart = figure.find_element(By.CSS_SELECTOR, ".chart")
    assert steps.is_displayed()
    assert chart.get_attribute("data-figure") == "scaling-1-scaling-step-seconds"
    steps.send_keys("batches")
    other = "scaling-2-scaling-tokens-step-seconds"
    WebDriverWait(browser.driver, 10).until(lambda _: chart.get_attribute("data-figure") == other)
    cost.send_keys("peak")
    other = "scaling-2-scaling-tokens-peak-bytes"
    WebDriverWait(browser.driver, 10).until(lambda _: chart.get_attribute("data-figure") == other)


def test_losses_by_position_lie_beside_the_length_of_training(browser, page):
    """Its line is within the axis, though no mark lies there."""
    browser.open(page)
    browser.draw_all()
    figure = browser.driver.find_element(By.ID, "runs-recall-by-position")
    what, *_ = figure.find_elements(By.TAG_NAME, "select")
    title = "return arguments[0].querySelector('.ytitle').textContent"
    assert browser.run(title, figure) == "accuracy"
    assert "90%, the threshold" in figure.text
    what.send_keys("loss")
    WebDriverWait(browser.driver, 10).until(lambda _: browser.run(title, figure) == "loss")
    assert "trained at 64" in figure.text
    chart = figure.find_element(By.CSS_SELECTOR, ".chart")
    low, high = browser.run("return arguments[0]._fullLayout.xaxis.range", chart)
    assert low < 0 < math.log10(64) < high < math.log10(128)


def test_a_number_of_the_heat_map_opens_its_runs(browser, page):
    browser.open(page)
    browser.draw_all()
    cells = browser.driver.find_elements(By.CSS_SELECTOR, "#heat-map .cell")
    opened = browser.driver.find_element(By.ID, "heat-map-opened")
    cells[0].send_keys(Keys.ENTER)
    assert cells[0].get_attribute("title") in opened.text
    for words in ("seed 0", "seed 1", "Command", "optimizer.learning_rate = 0.003"):
        assert words in opened.text
    cells[0].send_keys(Keys.ARROW_RIGHT)
    assert browser.driver.switch_to.active_element == cells[1]
    cells[1].send_keys(Keys.SPACE)
    assert cells[1].get_attribute("title") in opened.text
    assert cells[0].get_attribute("aria-pressed") == "false"
    opened.find_element(By.CSS_SELECTOR, "a").send_keys(Keys.ENTER)
    WebDriverWait(browser.driver, 10).until(
        lambda _: browser.driver.switch_to.active_element.text.startswith("hide")
    )


def test_a_print_holds_whole_tables(browser, page):
    """On the narrowest of usual papers, Letter, on its side."""
    browser.open(page, width=LETTER)
    media = {"media": "print", "features": []}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    wide = "return [...document.querySelectorAll('.scroll')].map((e) => e.scrollWidth)"
    assert max(browser.run(wide)) <= LETTER
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_vendored_script_is_the_one_that_is_named():
    """With its version and hash; and it is that of the schema that charts are checked by."""
    folder = files("seqmodels.report") / "vendored"
    told = (folder / "README.md").read_text()
    script = (folder / "plotly-basic.min.js").read_bytes()
    assert f" {hashlib.sha256(script).hexdigest()} |" in told
    (version,) = re.findall(r"plotly\.js \(basic - minified\) v([0-9.]+)", script[:200].decode())
    assert f"| {version} | MIT" in told
    assert (folder / "LICENSE-plotly.txt").is_file()
    assert f"plotly.js v{version}" in get_plotlyjs()[:100]


def test_the_page_may_not_connect(browser, page):
    browser.open(page)
    script = """const done = arguments[0];
        fetch('http://127.0.0.1:9/').then(() => done('connected'), () => done('refused'))"""
    assert browser.driver.execute_async_script(script) == "refused"
    assert any("Content Security Policy" in message for message in browser.messages())


def test_colours_follow_a_change_of_the_scheme(browser, page):
    browser.open(page, "light")
    browser.draw_all()
    fill = "return document.querySelector('.chart .xtitle').style.fill"
    before = browser.run(fill)
    media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    WebDriverWait(browser.driver, 10).until(lambda _: browser.run(fill) != before)


def test_a_table_sorts_by_keyboard(browser, page):
    browser.open(page)
    scores = [float(text) for text in column(browser, RESULTS, 2)]
    assert column(browser, RESULTS, 1) == ["length 64"] * 3 + ["length 128"] * 3
    assert scores[:3] == sorted(scores[:3], reverse=True), "the best stands first"
    head = browser.driver.find_elements(By.CSS_SELECTOR, f"#{RESULTS} thead th")[2]
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(text) for text in column(browser, RESULTS, 2)] == sorted(scores)
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert head.get_attribute("aria-sort") == "descending"
    reverse = sorted(scores, reverse=True)
    assert [float(text) for text in column(browser, RESULTS, 2)] == reverse
    words = browser.driver.find_elements(By.CSS_SELECTOR, f"#{RESULTS} thead th")[0]
    words.find_element(By.TAG_NAME, "button").click()
    assert column(browser, RESULTS, 0) == sorted(column(browser, RESULTS, 0))
    assert head.get_attribute("aria-sort") == "none"


def test_lengths_sort_as_numbers(browser, page):
    browser.open(page)
    table = "table-scaling-1-scaling-cells"
    head = browser.driver.find_elements(By.CSS_SELECTOR, f"#{table} thead th")[1]
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    lengths = [int(text.replace(",", "")) for text in column(browser, table, 1)]
    assert lengths == sorted(lengths)
    assert lengths[-1] == 2048


def test_a_filter_keeps_the_rows_that_hold_every_word(browser, page):
    browser.open(page)
    field = browser.driver.find_element(By.ID, RESULTS.replace("table", "filter"))
    label = browser.driver.find_element(By.CSS_SELECTOR, f"label[for={field.get_attribute('id')}]")
    assert label.text == "Filter rows"
    field.send_keys("LSTM 128")
    assert column(browser, RESULTS, 0) == ["lstm"]
    assert column(browser, RESULTS, 1) == ["length 128"]
    output = browser.driver.find_element(
        By.CSS_SELECTOR, f"output[for={field.get_attribute('id')}]"
    )
    assert output.text == "1 of 6 rows"
    field.clear()
    field.send_keys("x")
    assert output.text == "0 of 6 rows"
    field.send_keys(Keys.BACKSPACE)
    assert output.text == "6 rows"


def test_pointing_at_a_mark_shows_its_values(browser, page):
    browser.open(page)
    chart = browser.driver.find_element(By.ID, "chart-sweep-1-recall-score-by-length")
    browser.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", chart)
    find = "return arguments[0].querySelectorAll('.scatterlayer .points path').length"
    WebDriverWait(browser.driver, 20).until(lambda _: browser.run(find, chart) == 6 + 12)
    mark = chart.find_elements(By.CSS_SELECTOR, ".scatterlayer .points path")[4]  # after its seeds
    ActionChains(browser.driver).move_to_element(mark).perform()
    read = "return arguments[0].querySelector('.hoverlayer .hovertext')?.textContent ?? ''"
    WebDriverWait(browser.driver, 10).until(lambda _: browser.run(read, chart))
    shown = browser.run(read, chart)
    assert "lstm" in shown
    assert "length: 64" in shown
    assert "test accuracy: 0.405 (0.3415 to 0.4685)" in shown
    assert "2 seeds" in shown


def test_a_recipe_is_one_click_away_from_a_number(browser, page):
    browser.open(page)
    body = browser.driver.find_element(By.ID, "runs-recall-run-0")
    button = body.find_element(By.CSS_SELECTOR, "button.open")
    recipe = browser.driver.find_element(By.ID, button.get_attribute("aria-controls"))
    assert not recipe.is_displayed()
    button.send_keys(Keys.ENTER)
    assert button.get_attribute("aria-expanded") == "true"
    for words in ("python train.py", "seed=0", "jax 0", "2 cores", '"learning_rate": 0.003'):
        assert words in recipe.text
    link = browser.driver.find_element(By.CSS_SELECTOR, f"#{RESULTS} tbody a")
    target = link.get_attribute("href").split("#")[1]
    link.send_keys(Keys.ENTER)
    opened = f"#{target} tr.recipe"
    shown = browser.driver.find_element(By.CSS_SELECTOR, opened)
    WebDriverWait(browser.driver, 10).until(lambda _: shown.is_displayed())
    assert "optimizer.learning_rate = 0.003" in shown.text


def test_each_chart_says_its_data_in_a_table(browser, page):
    browser.open(page)
    browser.draw_all()
    script = """return [...document.querySelectorAll('.chart')].map((chart) => {
        const data = chart.closest('figure').querySelector('details.data');
        data.open = true;
        fill(data);
        const figure = chart.closest('figure');
        const named = document.getElementById(chart.getAttribute('aria-labelledby'));
        const told = document.getElementById(chart.getAttribute('aria-describedby'));
        return chart.getAttribute('role') === 'img' && Boolean(named.textContent)
          && Boolean(told.textContent) && figure.querySelector('details table').tBodies.length > 0
      })"""
    answers = browser.run(script)
    assert len(answers) > 5
    assert all(answers)


def test_structure_is_there_for_a_screen_reader(browser, page):
    browser.open(page)
    for landmark in ("header", "nav[aria-label]", "main", "footer", "html[lang=en]", "h1"):
        assert len(browser.driver.find_elements(By.CSS_SELECTOR, landmark)) == 1
    ids = browser.run("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    script = """return [...document.querySelectorAll(arguments[0])].every((e) =>
        document.getElementById(e.getAttribute(arguments[1])?.replace(/^#/, '')))"""
    assert browser.run(script, "[aria-controls]", "aria-controls")
    assert browser.run(script, "[aria-labelledby]", "aria-labelledby")
    assert browser.run(script, "a[href^='#']", "href")
    assert browser.run("return [...document.querySelectorAll('table')].every((t) => t.caption)")


def test_names_are_shown_and_never_run(browser, tmp_path):
    folder = tmp_path / HOSTILE.replace("/", "")
    sweep_folder(folder / "sweep", (HOSTILE, "gru"), (64, 128), rates=(0.003,))
    run_folder(folder / "run", HOSTILE, finished=False, environment={"command": HOSTILE})
    scaling = scaling_folder(folder / "scaling")
    content = json.loads((scaling / "scaling.json").read_text())
    content["cells"][0] |= {"mixer": HOSTILE, "status": "failed", "reason": HOSTILE}
    content["target"] = HOSTILE
    write_json(scaling / "scaling.json", content)
    page = write_report([str(folder)], str(tmp_path / "report"))
    browser.open(page)
    browser.draw_all()
    browser.run("""document.querySelectorAll('details').forEach((e) => { e.open = true; });
        document.querySelectorAll('details.data').forEach(fill);
        document.querySelectorAll('button.open, .cell').forEach((e) => e.click())""")
    assert browser.messages() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.run("return window.hacked") is None
    inside = "return document.querySelectorAll('main img, main script:not([type]), main b').length"
    assert browser.run(inside) == 0
    assert browser.run("return document.querySelectorAll('script').length") == 3
    shown = browser.run("return document.body.textContent")
    assert shown.count(HOSTILE) > 20
    legend = "return [...document.querySelectorAll('.legendtext')].map((e) => e.textContent)"
    WebDriverWait(browser.driver, 20).until(lambda _: f"{HOSTILE[:63]}…" in browser.run(legend))
    assert browser.run("return document.querySelectorAll('.chart a').length") == 0
