"""Browser for the page: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def logged_in(browser, site, user="admin"):
    """Log in through Airflow's form, and return the browser's storage.

    :param user: The name, and the password.
    """
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site}/")
    page.get_by_label("Username").fill(user)
    page.get_by_label("Password").fill(user)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site}/")
    state = context.storage_state()
    context.close()
    return state


def follow(link):
    """Click a link to another page, and wait for the page."""
    with link.page.expect_navigation():
        link.click()
