"""Actions of the page with FAB's roles: admin, operator, viewer and reader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from airflow import __version__
from support.acting_site import acting, add_rows
from support.harness import DAY, by_result

from airflow_kombo.ledger.tables import Tables

UV = Path(sys.executable).with_name("uv")
PATIENCE = 600_000  # a worker that a busy machine loses is tried again after five minutes
TABLES = Tables.named()
PACKAGES = [
    f"apache-airflow=={__version__}", "apache-airflow-providers-fab",
    "apache-airflow-providers-http",
    "apache-airflow-providers-common-sql", "apache-airflow-providers-sqlite", "aiohttp", "alembic",
    "backports-strenum", "pandas", "pyarrow", "pyyaml", "sqlparse", "tenacity", "yarl",
]  # fmt: skip
"""Packages of an environment of its own: FAB needs older ones than the rest of the tests."""
FAB = {
    "AIRFLOW__CORE__AUTH_MANAGER": (
        "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    ),
}
ROLES = {"admin": "Admin", "operator": "Op", "viewer": "Viewer", "reader": "Reader"}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Install Airflow with the auth manager, and return the Python of the environment."""
    folder = tmp_path_factory.mktemp("fab") / "venv"
    for command in (
        [UV, "venv", "--quiet", "--python", sys.executable, folder],
        [UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python", *PACKAGES],
    ):
        done = subprocess.run(  # noqa: S603 - our own command
            command, capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode:
            pytest.skip(f"FAB could not be installed: {done.stderr.strip()[-200:]}")
    return folder / "bin" / "python"


def users(run):
    """Make a user of each role. A `Reader` is a viewer who may also see plugins."""
    run("sync-perm")
    run("roles", "create", "Reader")
    resources = ["Plugins", "DAGs", "DAG Runs", "Website"]
    run("roles", "add-perms", "Reader", "-r", *resources, "-a", "can_read")
    for name, role in ROLES.items():
        names = ["--username", name, "--password", name, "--firstname", name, "--lastname", name]
        run("users", "create", *names, "--role", role, "--email", f"{name}@example.com")


@pytest.fixture(scope="module")
def site(tmp_path_factory, python):
    """Serve a real Airflow with roles, and a day with refused rows."""
    home = tmp_path_factory.mktemp("roles")
    with acting(home, python=str(python), auth=FAB, prepare=users) as site:
        add_rows(site, "f1", "f2", integration_id="ats:closed")
        closed = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
        site.standin.add_rule(closed, integration_id="ats:closed")
        site.run("dags", "test", "kombo_result_links", str(DAY), check=False)
        site.standin.clear_rules()
        yield site


@pytest.fixture
def opened(chromium, site):
    """Log a user in through FAB's form, and open a view of the page."""
    contexts = []

    def opened(path, user):
        context = chromium.new_context()
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{site.url}/auth/login/")
        page.locator("#username").fill(user)
        page.locator("#password").fill(user)
        page.locator("[type=submit]").click()
        page.wait_for_url(lambda url: "/auth/login" not in url)
        page.goto(f"{site.url}/kombo/{path}")
        return page

    yield opened
    for context in contexts:
        context.close()


def confirm(page):
    page.get_by_label("Reason").fill("the ATS was mended")
    page.get_by_role("button", name="confirm").click()
    page.locator("form[data-done]").wait_for(state="attached")
    return page.locator("form[data-plan]").inner_text()


@pytest.mark.parametrize(("user", "result_id"), [("admin", "f1"), ("operator", "f2")])
def test_admins_and_operators_start_runs(site, opened, user, result_id):
    """A run of the page is the person's own, with the session of the UI."""
    page = opened(f"plan?action=send-again&status=failed&q={result_id}", user)
    assert "1 row now: 1 success." in confirm(page)
    assert by_result(site.engine, TABLES)[result_id].status == "success"
    runs = page.request.get(f"{site.url}/api/v2/dags/kombo_result_links/dagRuns").json()
    assert user in {run["triggering_user_name"] for run in runs["dag_runs"]}


def test_a_viewer_of_fab_may_not_see_plugins(opened):
    """FAB's own role `Viewer` has no permission for plugins: the page names a person to ask."""
    page = opened("rows", "viewer")
    assert "Your Airflow user may not see plugins." in page.inner_text("body")


def test_a_reader_sees_why_nothing_is_started(site, opened):
    """A user with the page and without the dag gets Airflow's refusal in words."""
    page = opened("plan?action=leave-out", "reader")
    text = confirm(page)
    assert "Your Airflow user may not start runs of kombo_resolve_unknown" in text
    assert {row.left_out_at for row in by_result(site.engine, TABLES).values()} == {None}
