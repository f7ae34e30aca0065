"""A headless Chromium, and what it has to say of a page."""

import json
import shutil
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 120
"""Seconds in which a page that a busy machine loads is there."""
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


def find_chromium() -> tuple[str, str] | None:
    """The paths of Chromium and of its driver; None where one of them is missing."""
    browser = next((path for path in map(shutil.which, NAMES) if path), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """Chromium with a fresh profile; ``driver`` is selenium's."""

    def __init__(self, profile: Path):
        found = find_chromium()
        assert found is not None
        options = webdriver.ChromeOptions()
        options.binary_location = found[0]
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service(found[1]))

    def open(self, page: Path, scheme: str = "light", width: int = 1280, height: int = 900) -> None:
        """Opens a file, in a scheme of colours and a size; forgets what was logged before."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        still = {"name": "prefers-reduced-motion", "value": "reduce"}  # it scrolls at once
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}, still]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self.driver.get("about:blank")
        self.messages()
        self.requests()
        self.driver.get(page.as_uri())
        # On busy cores it comes back while the blank page is still the one that scripts run in.
        there = "return location.href === arguments[0] && document.readyState === 'complete'"
        wait = WebDriverWait(self.driver, PATIENCE)
        wait.until(lambda driver: driver.execute_script(there, page.as_uri()))

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def draw_all(self) -> int:
        """Draws every chart, also those far below; how many there are."""
        script = """const done = arguments[0];
            ready.then(() => { charts.forEach(draw); done(charts.length); })"""
        return self.driver.execute_async_script(script)

    def messages(self) -> list[str]:
        """What the console has said since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last call, but for those within the page."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        asked = [e for e in events if e["method"] == "Network.requestWillBeSent"]
        urls = [event["params"]["request"]["url"] for event in asked]
        return [url for url in urls if not url.startswith(("data:", "blob:", "about:"))]
