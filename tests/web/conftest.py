"""Fixtures of the page's tests."""

from __future__ import annotations

import pytest
from support.browser import CHROMIUM


@pytest.fixture(scope="module")
def chromium():
    """Start a browser: Debian's chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("there is no browser: `apt-get install chromium`")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
