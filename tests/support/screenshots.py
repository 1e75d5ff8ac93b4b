"""Command of `make screenshots`: the pictures in docs/img; needs chromium."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from support.airflow_site import serving
from support.browser import CHROMIUM, follow, logged_in
from support.harness import ROOT

from tools.demo.rows import DAYS

PICTURES = ROOT / "docs" / "img"
SIZE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


def main() -> None:
    """Deliver the demo's days, and take a picture of each view in both themes."""
    with (
        tempfile.TemporaryDirectory() as home,
        serving(Path(home), DAYS, with_markup=False) as url,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        login = logged_in(browser, url)
        for theme in ("light", "dark"):
            context = browser.new_context(storage_state=login, viewport=SIZE, color_scheme=theme)
            take(context.new_page(), url, theme)
            context.close()
        context = browser.new_context(storage_state=login, viewport=PHONE)
        page = context.new_page()
        page.goto(f"{url}/kombo/rows?status=failed")
        page.screenshot(path=PICTURES / "rows-phone.png")
        context.close()
        browser.close()


def take(page, url, theme):
    """Take the pictures of all views in one theme."""
    page.goto(f"{url}/plugin/kombo")
    page.frame_locator("iframe").get_by_role("heading", level=1).wait_for()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=PICTURES / f"overview-{theme}.png")
    page.goto(f"{url}/kombo/rows?status=failed")
    page.screenshot(path=PICTURES / f"rows-{theme}.png")
    follow(page.get_by_role("rowheader").first.get_by_role("link"))
    page.get_by_text("Request", exact=True).click()
    page.screenshot(path=PICTURES / f"row-{theme}.png", full_page=True)


if __name__ == "__main__":
    main()
