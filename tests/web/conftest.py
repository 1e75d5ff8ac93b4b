"""Fixtures of the page's tests: a browser, and a real Airflow over the demo's day."""

from __future__ import annotations

import pytest
from support.airflow_site import PATIENCE, serving
from support.browser import CHROMIUM, logged_in


@pytest.fixture(scope="module")  # its event loop would be in the way of other modules
def chromium():
    """Start a browser: Debian's chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("there is no browser: `apt-get install chromium`")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def home(tmp_path_factory):
    """Return the folder of the real Airflow."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="package")
def site(home):
    """Serve a real Airflow with the demo's day, with the page in the navigation."""
    with serving(home) as url:
        yield url


@pytest.fixture(scope="module")
def login(chromium, site):
    """Log in once."""
    return logged_in(chromium, site)


@pytest.fixture
def opened(chromium, login, site):
    """Open views for a user with a login; no view loads foreign files or has an error."""
    wrong, contexts = [], []

    def opened(path="", *, width=1280, theme="light", **options):
        """Open a view.

        :param options: Further options of the browser's context, such as `timezone_id`.
        """
        context = chromium.new_context(
            **{"storage_state": login, "color_scheme": theme} | options,
            viewport={"width": width, "height": 900},
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((f"{site}/", "data:", "blob:"))
                else wrong.append(f"foreign: {request.url}")
            ),
        )
        page.goto(f"{site}/{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [one for one in wrong if not one.startswith(EXPECTED)] == []


EXPECTED = "Failed to load resource: the server responded with a status of 403"
"""The browser's own line about a view that a test opens without the permission."""
