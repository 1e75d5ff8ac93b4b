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


def count_clicks(page):
    """Count the clicks of a person from now on, on each page that is opened in the tab."""
    code = """addEventListener("click", (event) => {
      if (event.isTrusted) sessionStorage.clicks = Number(sessionStorage.clicks ?? 0) + 1;
    }, true);"""
    page.evaluate(code)
    page.add_init_script(code)


def clicks(page):
    """Return the number of clicks that were counted; a form sent by a key counts as one."""
    return int(page.evaluate("sessionStorage.clicks ?? 0"))


FAINT = """() => {
  const channel = value =>
    (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = colour => colour.slice(0, 3).map(channel)
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const behind = element => {
    const colour = parts(getComputedStyle(element).backgroundColor);
    return colour.length < 4 || colour[3] ? colour : behind(element.parentElement);
  };
  const ratio = (one, other) => {
    const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  return [...document.querySelectorAll("body *")]
    .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .filter(one => one.checkVisibility() && !one.closest("svg, .hidden"))
    .map(one => [one.className || one.tagName,
                 ratio(parts(getComputedStyle(one).color), behind(one))])
    .filter(([, contrast]) => contrast < 4.5);
}"""
"""JavaScript that returns the texts with less contrast than WCAG's 4.5 to 1."""
