"""Pages lead where they say; tests/soak/soak_docs.py builds them all."""

import re
from pathlib import Path

import pytest

from tests.command_line import ROOT, finish, start
from tests.test_package import PROJECT

PAGES = sorted(
    str(page.relative_to(ROOT))
    for folder in (".", "docs", "docs/api", "experiments", "experiments/*")
    for page in ROOT.glob(f"{folder}/*.md")
)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links to them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    file = ROOT / page
    for link in LINK.findall(re.sub(r"```.*?```", "", file.read_text(), flags=re.DOTALL)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = file.parent / path if path else file
        assert target.exists(), f"{page}: {link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{page}: {link} is no heading there"


def test_every_page_is_in_the_index():
    """So that the site has no page that nobody finds."""
    index = (ROOT / "docs/index.md").read_text()
    listed = {
        str((ROOT / "docs" / line).resolve().relative_to(ROOT)) + ".md"
        for block in re.findall(r"```\{toctree\}(.*?)```", index, re.DOTALL)
        for line in block.splitlines()
        if line and not line.startswith(":")
    }
    assert listed == set(PAGES) - {"docs/index.md"}


def test_every_picture_is_shown():
    shown = " ".join((ROOT / page).read_text() for page in PAGES)
    assert [file.name for file in ROOT.glob("docs/images/*") if file.name not in shown] == []


def test_a_citation_says_what_the_project_does():
    said = (ROOT / "CITATION.cff").read_text()
    for line in (f"version: {PROJECT['version']}", f"license: {PROJECT['license']}"):
        assert f"\n{line}\n" in said
    assert [f"  - name: {author['name']}" in said for author in PROJECT["authors"]] == [True]


def test_examples_beside_the_package_are_true(tmp_path):
    """Those of the package are among its tests; these files are scripts and take no part in it."""
    files = [
        str(file)
        for folder in ("benchmarks", "configs", "experiments", "tools")
        for file in sorted((ROOT / folder).rglob("*.py"))
        if ">>> " in file.read_text()
    ]
    assert files
    code, output, errors = finish(start(["-m", "doctest", *files], tmp_path, PYTHONPATH="."))
    assert code == 0, output + errors
