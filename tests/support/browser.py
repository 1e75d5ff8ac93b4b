"""A browser at the page: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def logged_in(browser, site):
    """Give what a browser keeps after somebody has logged in through Airflow's form."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site}/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill("admin")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site}/")
    state = context.storage_state()
    context.close()
    return state


def follow(link):
    """Click what leads to another page, and wait until that is there."""
    with link.page.expect_navigation():
        link.click()
