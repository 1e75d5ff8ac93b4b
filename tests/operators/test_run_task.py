"""Runs of an operator's task in this process, over a real warehouse and stand-in."""

from __future__ import annotations

import logging
from datetime import datetime

import pytest
from airflow.sdk import DAG, BaseOperator
from sqlalchemy import create_engine, delete, update
from support.harness import MAPPING, all_of, fill, make_source_table, row, statuses

from airflow_kombo.airflow_compat import AirflowFailException
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.ledger.run_calls import kept_calls
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.operators import run_task
from airflow_kombo.operators.result_link import KomboResultLinkOperator
from airflow_kombo.operators.write import KomboWriteOperator

REFUSAL = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
WORKDAY, LEVER, ASHBY = "workday:one", "lever:two", "ashby:three"


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Return the engine of the warehouse of the connection."""
    engine = create_engine(f"sqlite:///{tmp_path / 'warehouse.db'}")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", f"sqlite:///{engine.url.database}")
    yield engine
    engine.dispose()


@pytest.fixture
def rows(engine, standin):
    """Write 40 rows for each of three tools, with calls long enough to overlap."""
    standin.set_latency((0.05, 0.06))
    integrations = [WORKDAY, LEVER, ASHBY]
    made = [row(f"r{n}", integration_id=integrations[n % 3]) for n in range(120)]
    table = make_source_table(engine)
    fill(engine, table, made)
    return table


def make(max_in_flight, **more):
    """Make an operator with rendered templates over the parameter `cap`."""
    with DAG("own", schedule=None) as dag:
        task = KomboResultLinkOperator(
            task_id="deliver",
            mapping=MAPPING,
            table="assessment_results",
            max_in_flight=max_in_flight,
            **more,
        )
    task.render_template_fields({"cap": 2}, dag.get_template_env())
    return task


def test_the_general_operator_is_the_base():
    """The operator for result links is a special case of the operator for any write."""
    assert KomboResultLinkOperator.__mro__[1:3] == (KomboWriteOperator, BaseOperator)
    task = make(None)
    assert task.write() is RESULT_LINKS
    assert task.status_table == "kombo_result_links"


def test_default_arguments_reach_the_parameters_of_the_base():
    """A dag's `default_args` may set the parameters of both classes."""
    given = {"warehouse_conn_id": "dwh", "status_table": "own_links"}
    with DAG("own", schedule=None, default_args=given):
        task = KomboResultLinkOperator(task_id="deliver", mapping=MAPPING, table="t")
    assert (task.warehouse_conn_id, task.status_table) == ("dwh", "own_links")


@pytest.mark.parametrize(
    ("max_in_flight", "most"),
    [
        (3, {WORKDAY: 3, LEVER: 3, ASHBY: 3}),
        ("{{ cap }}", {WORKDAY: 2, LEVER: 2, ASHBY: 2}),
        ({"workday": "{{ cap }}", "default": 4}, {WORKDAY: 2, LEVER: 4, ASHBY: 4}),
        ("{'workday': 1, 'lever': {{ cap }}, 'default': 3}", {WORKDAY: 1, LEVER: 2, ASHBY: 3}),
    ],
    ids=["a number", "a template", "templates by tool", "a template of all"],
)
def test_calls_in_flight_are_capped_by_tool(engine, rows, standin, context, max_in_flight, most):
    """Each integration has at most the calls of its tool in flight, else those of `default`."""
    counts = make(max_in_flight).execute(context)
    assert standin.stats()["max_in_flight"] == most
    assert statuses(engine, Tables.named()) == {"success": 120}
    assert context["ti"].pushed["return_value"] == counts
    assert (counts["planned"], counts["success"]) == (120, 120)


def test_a_tool_without_a_cap_has_the_limit_of_kombo(engine, rows, standin, context):
    """Without `default`, a tool without an entry has as many calls as the responses allow."""
    make({"workday": 2}).execute(context)
    most = standin.stats()["max_in_flight"]
    assert most[WORKDAY] == 2
    assert min(most[LEVER], most[ASHBY]) > 4


def test_a_run_keeps_its_calls(engine, rows, standin, context):
    """The run's row has the calls of each integration, for the page."""
    make(None).execute(context)
    (run,) = all_of(engine, Tables.named().runs)
    found = {one.integration_id: one.rows for one in kept_calls(run.calls)}
    assert found == {WORKDAY: 40, LEVER: 40, ASHBY: 40}


def test_a_run_whose_calls_cannot_be_kept_succeeds(
    engine, rows, standin, context, monkeypatch, caplog
):
    """All rows are delivered, and a warning says what the page will lack."""

    def refuse(*_):
        raise LedgerError("the disk is full")

    monkeypatch.setattr(run_task, "keep_calls", refuse)
    assert make(None).execute(context)["success"] == 120
    assert "The page will lack this run's calls by integration and day" in caplog.text


def test_a_dry_run_estimates_with_the_caps(engine, rows, standin, context, caplog):
    """The estimate of a dry run takes the cap of each tool; nothing is sent and no run begins."""
    make(28).execute(context)
    caplog.set_level(logging.INFO, logger="airflow_kombo")
    with engine.begin() as connection:
        connection.execute(delete(rows))
    fill(engine, rows, [row(f"n{n}", integration_id=(WORKDAY, LEVER)[n % 2]) for n in range(20)])
    caps = {"workday": 2, "default": 8}
    assert make(caps, dry_run=True).execute(context) == {"send": 20}
    log = "\n".join(caplog.messages)
    assert f"{WORKDAY}: at least" in log
    assert "2 at once, without a rate limit" in log
    assert "8 at once, without a rate limit" in log
    assert len(all_of(engine, Tables.named().runs)) == 1
    assert standin.stats()["received"] == 120


@pytest.mark.parametrize(
    ("max_in_flight", "why"),
    [
        ({"workday": 0}, r"a dict, and has to be .*, as in .*: workday has 0 \(int\)"),
        ("{{ cap - 2 }}", r"'0' \(str\), and has to be a whole number, at least 1, or such"),
    ],
)
def test_a_cap_that_cannot_be_read_sends_nothing(
    engine, rows, standin, context, max_in_flight, why
):
    """The task fails before a row is read, names what is allowed, and is not retried."""
    with pytest.raises(AirflowFailException, match=f"max_in_flight is {why}"):
        make(max_in_flight).execute(context)
    assert standin.stats()["received"] == 0


@pytest.mark.parametrize(("days", "left"), [(30, 1), (0, 0)])
def test_each_run_deletes_the_responses_of_long_ago(engine, rows, standin, context, days, left):
    """A run keeps its own responses for the days of the setting, and deletes older ones."""
    with engine.begin() as connection:
        connection.execute(delete(rows).where(rows.c.integration_id != WORKDAY))
    standin.add_rule(REFUSAL, url="https://results.example/r0")
    make(None, fail_on={"failed": 1}).execute(context)
    attempts = Tables.named().attempts
    with engine.begin() as connection:
        connection.execute(update(attempts).values(claimed_at=datetime(2026, 1, 1)))
    assert [one.result_id for one in all_of(engine, attempts) if one.response] == ["r0"]
    fill(engine, rows, [row("new")])
    standin.add_rule(REFUSAL, url="https://results.example/new")
    make(None, fail_on={"failed": 2}, keep_responses_days=days).execute(context)
    kept = [one.result_id for one in all_of(engine, attempts) if one.response]
    assert kept == ["new"][:left]
    assert len(all_of(engine, attempts)) == 41
