"""The failure policy over whole days and parts of days, and the doubt that a task tells."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

import pytest
from airflow.sdk import DAG, Asset
from airflow.sdk.execution_time.context import OutletEventAccessors
from sqlalchemy import delete
from support.harness import (
    DAY,
    MAPPING,
    delivery,
    fill,
    row,
    silence,
)

from airflow_kombo.airflow_compat import AirflowFailException
from airflow_kombo.delivery.run_context import Settings
from airflow_kombo.exceptions import ConfigurationError, TooFewDeliveredError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.operators.result_link import KomboResultLinkOperator

TABLES, OUT = Tables.named(), Asset("out")
CLOSED = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
INACTIVE = {"kind": "answer", "status": 403, "code": "INTEGRATION.INACTIVE"}
AWAY = {"kind": "answer", "status": 503, "code": "REMOTE.SERVICE_UNAVAILABLE"}
TIMED_OUT = {"kind": "answer", "status": 504, "code": "PLATFORM.TASK_TIMED_OUT"}
DAY_BEFORE = DAY - timedelta(days=1)


@pytest.fixture
def deliver(context, standin):
    """Return a function that executes the task."""

    def deliver(**options):
        context["outlet_events"] = OutletEventAccessors()
        with DAG("own", schedule=None):
            task = KomboResultLinkOperator(
                task_id="deliver",
                mapping=MAPPING,
                table="assessment_results",
                outlets=[OUT],
                **options,
            )
        counts = task.execute(context)
        assert counts["planned"] == sum(counts.values()) - counts["planned"]
        return counts

    return deliver


def event(context):
    """Return the extra of the day's asset event; None if the day has no event."""
    events = context["outlet_events"]
    if OUT not in list(events):
        return None
    assert events[OUT].partition_keys == {str(DAY)}
    return events[OUT].extra


def rows(number, **changes):
    return [row(f"r{n:04}", **changes) for n in range(number)]


def killed(engine, run_id, names, *, day=DAY, dag_run_id="manual", try_number=1):
    """Let a run claim rows, and be silent since."""
    TABLES.create(engine)
    runs = Runs(engine, TABLES)
    task = {"dag_id": "dag", "task_id": "deliver", "map_index": -1, "dag_run_id": dag_run_id}
    runs.start(Run(run_id, **task, try_number=try_number, assessment_date=day))
    requests = [delivery(name, target_id=f"candidate-{name}") for name in names]
    Ledger(engine, TABLES).claim(run_id, requests)
    silence(runs, run_id, 61)


def test_a_retry_of_a_killed_try_tells_the_doubt(engine, source, deliver, context):
    """Counts, XCom and asset event have the first try's rows in doubt."""
    fill(engine, source, rows(10))
    killed(engine, "first", ["r0001", "r0002"])
    context["ti"].try_number = 2
    counts = deliver()
    assert (counts["planned"], counts["success"], counts["unknown"]) == (10, 8, 2)
    assert context["ti"].pushed["return_value"] == counts
    assert event(context) == {**counts, "unknown_of_day": 2}


def test_doubt_of_a_killed_try_makes_the_retry_red(engine, source, deliver, context):
    """`fail_on` counts the rows of the first try, and the failed task has them in its XCom."""
    fill(engine, source, rows(10))
    killed(engine, "first", ["r0001", "r0002"])
    with pytest.raises(AirflowFailException, match="2 of 10 rows are unknown, and at most 0"):
        deliver(fail_on={"unknown": 0})
    assert context["ti"].pushed["return_value"]["unknown"] == 2
    assert event(context) is None


def test_a_killed_try_that_sent_everything_makes_the_retry_red(engine, source, deliver):
    """A day of which all rows are in doubt is not out, although the retry tried nothing."""
    fill(engine, source, rows(2))
    killed(engine, "first", ["r0000", "r0001"])
    with pytest.raises(AirflowFailException, match=r"0 of 2 rows of the day .*: 2 run_died"):
        deliver()


def test_an_event_tells_the_doubt_of_earlier_runs(engine, source, deliver, context, standin):
    """An asset event has all rows of the day in doubt, of any run."""
    fill(engine, source, rows(10))
    standin.add_rule(TIMED_OUT, times=3)
    assert deliver()["unknown"] == 3
    context["ti"].run_id = "later"
    counts = deliver()
    assert counts["unknown"] == 0
    assert event(context)["unknown_of_day"] == 3


@pytest.mark.parametrize(
    ("outcome", "error", "cause"),
    [
        (INACTIVE, AirflowFailException, "20 INTEGRATION.INACTIVE"),
        (CLOSED, AirflowFailException, "20 ATS.JOB_CLOSED"),
        (AWAY, TooFewDeliveredError, r".*\d+ REMOTE\.SERVICE_UNAVAILABLE"),
    ],
    ids=["blocked", "refused", "away"],
)
def test_a_day_of_which_nothing_is_delivered_is_red(
    engine, source, deliver, context, standin, monkeypatch, outcome, error, cause
):
    """The error names host and cause, no event is sent, and only a passing cause is retried."""
    hasty = partial(Settings, cool_down=0.05)
    monkeypatch.setattr("airflow_kombo.operators.run_task.Settings", hasty)
    fill(engine, source, rows(20))
    standin.add_rule(outcome)
    host = urlsplit(standin.url).hostname
    expected = rf"0 of 20 rows of the day .* through {host}, and at least 50% have to be: {cause}"
    with pytest.raises(error, match=expected) as raised:
        deliver(fail_on={})
    assert "candidate" not in str(raised.value)
    assert event(context) is None


@pytest.mark.parametrize(
    ("refused", "fail_below", "is_red"),
    [(10, 0.5, False), (11, 0.5, True), (11, 0.45, False), (20, 0.0, False), (1, 1.0, True)],
)
def test_a_share_of_the_day_has_to_be_delivered(
    engine, source, deliver, context, standin, refused, fail_below, is_red
):
    """At the share itself the task is green; `invalid` rows were not tried."""
    fill(engine, source, [*rows(20), row("bad", candidate_id=None)])
    standin.add_rule(CLOSED, times=refused)
    options = {"fail_on": {}, "fail_below": fail_below}
    if is_red:
        with pytest.raises(AirflowFailException, match=rf"{20 - refused} of 20 rows of the day"):
            deliver(**options)
    else:
        assert deliver(**options)["failed"] == refused
    assert (event(context) is None) == is_red


def test_a_few_refused_rows_sent_again_by_hand_page_nobody(
    engine, source, deliver, standin, context
):
    """A share is one of the day: five refused rows of a day of 1,000 are five in a thousand."""
    fill(engine, source, rows(1_000))
    standin.add_rule(CLOSED, times=5)
    assert deliver(max_rows=1_000)["failed"] == 5
    with engine.connect() as connection:
        refused = TABLES.links.select().where(TABLES.links.c.status == "failed")
        ids = [one.result_id for one in connection.execute(refused)]
    standin.add_rule(CLOSED)
    by_hand = {"result_ids": ids, "redeliver": ["failed"]}
    context["ti"].run_id = "by hand"
    assert deliver(**by_hand)["failed"] == 5
    context["ti"].run_id = "once more"
    with pytest.raises(AirflowFailException, match="5 of 1000 rows are failed, and at most 4 may"):
        deliver(**by_hand, fail_on={"failed": 4})


def test_a_try_that_sends_the_rest_is_a_part_of_the_day(engine, source, deliver, standin, context):
    """Four refused rows of the rest are four of the day's hundred rows."""
    fill(engine, source, rows(96))
    deliver()
    fill(engine, source, [row(f"late{n}") for n in range(4)])
    standin.add_rule(CLOSED)
    assert deliver()["failed"] == 4
    assert event(context)["failed"] == 4


def test_a_whole_day_is_judged_by_its_own_rows(engine, source, deliver, standin, context):
    """The rows of the days that a night looks back to do not hide a day that is not out."""
    context["dag_run"].run_type = "scheduled"
    fill(engine, source, rows(50, assessment_date=DAY_BEFORE))
    deliver(assessment_date=str(DAY_BEFORE))
    fill(engine, source, [row("late", assessment_date=DAY_BEFORE)])
    fill(engine, source, [row(f"own{n}") for n in range(10)])
    standin.add_rule(INACTIVE)
    with pytest.raises(AirflowFailException, match="0 of 10 rows of the day"):
        deliver(lookback_days=7)


def test_a_night_without_own_rows_is_judged_by_the_days_before(
    engine, source, deliver, standin, context
):
    """Late rows that are refused on a day without rows are a share of the days before."""
    context["dag_run"].run_type = "scheduled"
    fill(engine, source, rows(50, assessment_date=DAY_BEFORE))
    deliver(assessment_date=str(DAY_BEFORE))
    fill(engine, source, [row("late", assessment_date=DAY_BEFORE)])
    standin.add_rule(CLOSED)
    assert deliver(lookback_days=7)["failed"] == 1
    assert event(context)["failed"] == 1


def test_another_tasks_day_does_not_hide_a_day_that_is_not_out(
    engine, source, deliver, context, standin
):
    """A task whose rows all failed is red, also if another task's rows of the day are out."""
    fill(engine, source, rows(20))
    deliver()
    fill(engine, source, [row(f"own{n}") for n in range(5)])
    standin.add_rule(INACTIVE)
    context["ti"].dag_id = "another"
    with pytest.raises(AirflowFailException, match="0 of 5 rows of the day"):
        deliver()


def test_a_day_that_is_mended_step_by_step_is_green(engine, source, deliver, standin):
    """A run that delivers its own few rows is green, also on a day that is not out."""
    fill(engine, source, rows(20))
    standin.add_rule(INACTIVE)
    with pytest.raises(AirflowFailException, match="0 of 20"):
        deliver()
    standin.clear_rules()
    assert deliver(limit=3)["success"] == 3


def test_a_day_without_rows_is_green(engine, source, deliver, context):
    """An empty day is out."""
    assert deliver()["planned"] == 0
    assert event(context)["unknown_of_day"] == 0


def test_a_day_that_was_delivered_before_is_green(engine, source, deliver, context):
    """A run that finds nothing left is green, and has an event."""
    fill(engine, source, rows(5))
    deliver()
    assert deliver()["planned"] == 0
    assert event(context)["planned"] == 0


@pytest.mark.parametrize(
    "part", [{"result_ids": ["r0001"]}, {"limit": 1}, {"integration_ids": ["workday:one"]}]
)
def test_a_part_of_a_day_of_which_nothing_is_tried_is_green(
    engine, source, deliver, context, standin, part
):
    """A refused row that is unchanged is not tried again, and does not make the task red."""
    fill(engine, source, rows(2))
    standin.add_rule(CLOSED)
    with pytest.raises(AirflowFailException):
        deliver()
    counts = deliver(**part)
    assert counts["skipped"] == counts["planned"]
    assert event(context) is None


def test_a_dry_run_is_green(engine, source, deliver, context, standin):
    """A dry run sends nothing, judges nothing, and has no event."""
    fill(engine, source, rows(2))
    with DAG("own", schedule=None):
        task = KomboResultLinkOperator(
            task_id="look", mapping=MAPPING, table="assessment_results", dry_run=True, outlets=[OUT]
        )
    assert task.execute(context) == {"send": 2}
    assert task.outlets == []


def test_a_day_of_which_no_row_becomes_a_request_is_red(engine, source, deliver, context):
    """A day whose rows are all `invalid` is not out, and its causes are named."""
    fill(engine, source, rows(3, candidate_id=None))
    with pytest.raises(
        AirflowFailException, match=r"None of 3 rows of the day .*: 3 missing_field"
    ):
        deliver()
    assert event(context) is None
    with engine.begin() as connection:
        connection.execute(delete(TABLES.links))
    assert deliver(fail_below=0.0)["invalid"] == 3


def test_rows_that_are_invalid_by_name_are_green(engine, source, deliver):
    """A run for some rows tries none of the `invalid` ones, and is green."""
    fill(engine, source, rows(3, candidate_id=None))
    assert deliver(result_ids=["r0001"])["invalid"] == 1


def test_both_reasons_are_named(engine, source, deliver, standin):
    """A day that is refused and not out names the two limits, and is not retried."""
    fill(engine, source, rows(10))
    standin.add_rule(CLOSED)
    both = r"10 of 10 rows are failed.*; 0 of 10 rows of the day .*\. All rows were tried"
    with pytest.raises(AirflowFailException, match=both):
        deliver()


@pytest.mark.parametrize("share", [1, -0.1, 1.5, True, "0.5", None, float("nan")])
def test_fail_below_is_a_share(share):
    """Any other value is refused when the dag is parsed: 1 could be a number of rows."""
    with pytest.raises(ConfigurationError, match=r"fail_below is .*such as 0\.5"):
        KomboResultLinkOperator(task_id="t", mapping=MAPPING, table="t", fail_below=share)


def test_fail_below_may_be_switched_off():
    """A share of 0 demands nothing."""
    task = KomboResultLinkOperator(task_id="t", mapping=MAPPING, table="t", fail_below=0)
    assert task.fail_below == 0.0
