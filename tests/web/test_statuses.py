"""The page derives everything that depends on a status from the table of statuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from support.harness import ROOT

from airflow_kombo.statuses import MEANINGS
from airflow_kombo.web.status_styles import status_styles

NEW_MEMBER = 'FAILED = "failed"\n    STALE = "stale"\n'
NEW_MEANING = """Status.STALE: Meaning(
            link=Link.MAY_EXIST,
            next_run=NextRun.LEAVES_IT,
            action=Action.UNKNOWN,
            needs_person=True,
            is_counted=True,
            colour="#123456",
        ),
        Status.FAILED: Meaning("""
SHOW = """
import sys
from sqlalchemy import create_engine, update
from support.page_client import Browser
from support.report_rows import fill_ledger
from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.tables import Tables
engine, tables = prepare(create_engine("sqlite:///" + sys.argv[1])), Tables.named()
tables.create(engine)
fill_ledger(engine, tables)
with engine.begin() as connection:
    failed = tables.links.c.result_id == "failed"
    connection.execute(update(tables.links).where(failed).values(status="stale"))
browser = Browser.of(lambda: engine, tables)
key = "integration_id=workday:one&target_type=candidate&target_id=c-failed&result_id=failed"
for path in ("/", "/rows", f"/row?{key}", "/static/statuses.css"):
    print(browser.get(path).text)
    print("=" * 8)
"""


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """Read overview, list, row and style sheet from a copy of the package with a new status."""
    folder = tmp_path_factory.mktemp("new_status")
    shutil.copytree(ROOT / "plugins", folder / "plugins")
    statuses = folder / "plugins" / "airflow_kombo" / "statuses.py"
    text = statuses.read_text(encoding="utf-8")
    for old, new in (
        ('FAILED = "failed"\n', NEW_MEMBER),
        ("Status.FAILED: Meaning(", NEW_MEANING),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    statuses.write_text(text, encoding="utf-8")
    paths = [folder / "plugins", ROOT / "tests", ROOT]
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", SHOW, str(folder / "warehouse.db")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("=" * 8)


def test_a_new_status_needs_no_change_of_the_page(views):
    """A new status has a colour, a segment, a filter, a reason and its forms from one table."""
    overview, rows, row, styles = views[:4]
    assert "rect.stale { fill: #123456; } .status.stale::before { background: #123456; }" in styles
    assert '<rect class="stale"' in overview
    assert "1 stale</a>" in overview  # a person has to decide about the row
    assert "<option >stale</option>" in rows
    assert "It was not created</a>" in row
    assert "Send again</a>" in row


def test_every_status_has_its_colour():
    """The generated style sheet has one rule a status, with the colour of the table."""
    rules = status_styles().splitlines()
    assert len(rules) == len(MEANINGS)
    for rule, (status, meaning) in zip(rules, MEANINGS.items(), strict=True):
        assert f".status.{status}::before" in rule
        assert rule.count(meaning.colour) == 2
