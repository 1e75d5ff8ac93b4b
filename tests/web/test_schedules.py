"""The schedule of a delivering dag, from Airflow's plan of the dag."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timezone

import pytest

from airflow_kombo.airflow_plans import DagPlan, PlannedRun
from airflow_kombo.operators.write import KomboWriteOperator
from airflow_kombo.web.next_try import Schedule, ScheduledRun, UnknownSchedule
from airflow_kombo.web.schedules import (
    DeliveringTask,
    no_schedule,
    schedule_in_airflow,
    schedule_of,
)

SHARD = DeliveringTask("nightly", "deliver.shard")
AT = datetime(2026, 11, 5, 2, tzinfo=timezone.utc)
PLANNED = {
    "lookback_days": "{{ params.lookback_days }}",
    "not_before": "{{ params.not_before }}",
    "integration_ids": "{{params.integration_ids}}",
    "is_dry_run": "{{ params.dry_run }}",
    "assessment_date": "{{ params.assessment_date }}",
    "sql": "sql/assessment_results.sql",
    "limit": None,
}
PLAN = DagPlan(
    is_paused=False,
    is_running=True,
    waits_for_assets=False,
    timezone=timezone.utc,
    runs=[PlannedRun(AT, "2026-11-04", None)],
    params={
        "lookback_days": 7,
        "not_before": "2026-01-01",
        "integration_ids": [],
        "dry_run": False,
        "assessment_date": None,
    },
    tasks={"other": {"task_id": "other"}, "deliver.shard": PLANNED},
)


def with_arguments(**arguments):
    return replace(PLAN, tasks={"deliver.shard": {**PLANNED, **arguments}})


def with_params(**params):
    return replace(PLAN, params={**PLAN.params, **params})


def test_the_schedule_has_the_defaults_of_the_dags_params():
    """A template of a param has the param's default, as in a scheduled run."""
    assert schedule_of(SHARD, PLAN) == Schedule(
        "nightly",
        [ScheduledRun(AT, date(2026, 11, 4))],
        lookback_days=7,
        not_before=date(2026, 1, 1),
        integration_ids=[],
        is_running=True,
    )
    assert schedule_of(SHARD, with_params(integration_ids=["a"])).integration_ids == ["a"]


def test_the_schedule_has_the_arguments_of_an_operator():
    """Values in place of templates count, and any delivering task stands for a renamed one."""
    plan = with_arguments(lookback_days=3, not_before=None)
    for task in (SHARD, DeliveringTask("nightly", "gone"), DeliveringTask("nightly")):
        found = schedule_of(task, plan)
        assert (found.lookback_days, found.not_before) == (3, None)


def test_a_statement_without_the_first_day_looks_back_at_nothing():
    """A query of the run's own day only is not promised the days before."""
    own_day = "SELECT * FROM results WHERE assessment_date = :assessment_date"
    assert schedule_of(SHARD, with_arguments(sql=own_day)).lookback_days == 0
    days = own_day.replace("=", ">= :first_assessment_date AND assessment_date <=")
    assert schedule_of(SHARD, with_arguments(sql=days)).lookback_days == 7
    assert schedule_of(SHARD, with_arguments(sql="{{ var.value.q }}")).lookback_days == 7


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (replace(PLAN, waits_for_assets=True), "the runs of nightly wait for other dags"),
        (replace(PLAN, tasks={"other": {}}), "no task of nightly delivers rows now"),
        (replace(PLAN, runs=[PlannedRun(AT, "EMEA", None)]), "no days"),
        (replace(PLAN, runs=[PlannedRun(AT, None, None)]), "no days"),
        (with_arguments(lookback_days="{{ var.value.days }}"), "lookback_days of nightly"),
        (with_arguments(assessment_date="{{ ds }}"), "assessment_date of nightly"),
        (with_arguments(rows_task_id="read"), "rows_task_id of nightly"),
        (with_arguments(limit=5), "limit of nightly"),
        (with_params(dry_run=True), "dry_run of nightly"),
        (with_params(lookback_days=None, assessment_date="2026-11-01"), "assessment_date of"),
        (with_arguments(result_ids=["r1"]), "result_ids of nightly"),
    ],
)
def test_what_the_page_cannot_know_is_named(plan, reason):
    """A schedule with days or rows differing by run is not known, with the reason."""
    found = schedule_of(SHARD, plan)
    assert isinstance(found, UnknownSchedule)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("logical_date", "day"),
    [
        (datetime(2026, 11, 4, tzinfo=timezone.utc), date(2026, 11, 4)),
        (datetime(2026, 11, 4, 2, tzinfo=timezone.utc), date(2026, 11, 4)),
    ],
)
def test_a_run_without_a_partition_is_of_its_logical_date(logical_date, day):
    """The day is the logical date's, as read by the operator."""
    plan = replace(PLAN, runs=[PlannedRun(AT, None, logical_date)])
    assert [run.day for run in schedule_of(SHARD, plan).runs] == [day]


def test_the_operator_has_the_arguments_that_the_schedule_reads():
    """A renamed argument of the operator would be read as empty."""
    operator = KomboWriteOperator(task_id="t", write="a.B", mapping={}, sql="x", status_table="k")
    assert set(PLANNED) <= set(vars(operator)) | set(operator.template_fields)


def test_without_a_dag_nothing_is_known():
    """A row without a recorded dag, or a page without an Airflow, has no schedule."""
    for found in (schedule_in_airflow(DeliveringTask(None)), no_schedule(SHARD)):
        assert isinstance(found, UnknownSchedule)
