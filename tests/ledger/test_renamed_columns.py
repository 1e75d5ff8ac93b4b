"""Columns that older versions of our tables have under another name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import event, func, inspect, select, text

from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.tables import Tables


@pytest.fixture
def older(warehouse, tables):
    """Make the preview table of an older version, with one row."""
    tables.create_preview(warehouse)
    preview = tables.preview.name
    with warehouse.begin() as connection:
        connection.execute(text(f"ALTER TABLE {preview} RENAME COLUMN action TO verdict"))
        names = "run_id, number, integration_id, target_type, target_id, result_id, verdict"
        values = "'old', 0, 'workday:one', 'candidate', 'c1', 'r1', 'send', CURRENT_TIMESTAMP"
        insert = f"INSERT INTO {preview} ({names}, previewed_at) VALUES ({values})"  # noqa: S608
        connection.execute(text(insert))
    return warehouse


def actions(engine):
    preview = Tables.named().preview
    with engine.connect() as connection:
        return connection.execute(select(preview.c.run_id, preview.c.action)).all()


def test_an_older_previews_verdict_becomes_its_action(older):
    """The column `verdict` of an older preview table is renamed, and its rows are kept."""
    Tables.named().create_preview(older)
    Tables.named().create_preview(older)
    assert actions(older) == [("old", "send")]


def test_many_dry_runs_may_rename_at_once(older):
    """Any number of dry runs may find the older preview table at the same moment."""
    together = Barrier(6)

    def rename(_):
        together.wait()
        Tables.named().create_preview(older)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(rename, range(6)))
    assert actions(older) == [("old", "send")]


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_a_user_who_may_not_rename_gets_the_statement(older):
    """The error of a user who does not own the table has the statement for the owner."""
    with older.begin() as connection:
        schema = connection.execute(select(func.current_schema())).scalar_one()
        connection.execute(text(f"CREATE ROLE user_of_{schema}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO user_of_{schema}"))

    @event.listens_for(older, "begin")
    def become(connection):
        connection.exec_driver_sql(f"SET LOCAL ROLE user_of_{schema}")

    statement = "ALTER TABLE kombo_result_link_preview RENAME COLUMN verdict TO action"
    with pytest.raises(LedgerError, match=statement):
        Tables.named().create_preview(older)
    event.remove(older, "begin", become)
    assert "verdict" in {
        one["name"] for one in inspect(older).get_columns("kombo_result_link_preview")
    }
