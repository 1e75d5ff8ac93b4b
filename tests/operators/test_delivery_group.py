"""A day in shards: its plan, its tasks and its account, in this process."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from airflow.sdk import DAG, TaskGroup
from airflow.sdk.definitions.mappedoperator import MappedOperator
from sqlalchemy import update
from support.group_tasks import OUT, GroupTasks
from support.harness import (
    DAY,
    MAPPING,
    all_of,
    by_result,
    delivery,
    fill,
    row,
    silence,
    statuses,
)

from airflow_kombo.airflow_compat import AirflowFailException
from airflow_kombo.database.sql import utc_now
from airflow_kombo.delivery.run_context import Settings
from airflow_kombo.exceptions import TooFewDeliveredError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.operators.delivery_group import KomboResultLinkGroup

TABLES = Tables.named()
NAMES = [f"workday:i{n}" for n in range(6)]
CLOSED = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
AWAY = {"kind": "answer", "status": 503, "code": "REMOTE.SERVICE_UNAVAILABLE"}


@pytest.fixture
def group(context, standin):
    """Return a function that makes the group's tasks with some options."""
    return lambda **options: GroupTasks(context, **options)


def rows(number, names=NAMES):
    """Return rows of all integrations in turn."""
    return [row(f"r{n:04}", integration_id=names[n % len(names)]) for n in range(number)]


def test_a_day_in_shards_has_one_account_and_one_event(engine, source, group, standin):
    """Each shard delivers some integrations; counts, XCom and event are those of the day."""
    fill(engine, source, rows(60))
    day = group()
    counts = day.deliver()
    assert (counts["planned"], counts["success"]) == (60, 60)
    assert day.context["ti"].pushed["return_value"] == counts
    assert day.event == {**counts, "unknown_of_day": 0}
    assert standin.stats()["received"] == 60
    runs = all_of(engine, TABLES.runs)
    assert [(one.map_index, one.planned) for one in runs] == [(0, 20), (1, 20), (2, 20)]
    assert {one.task_id for one in runs} == {"deliver.shard"}


def test_the_account_explains_the_causes_of_the_day(engine, source, group, standin, caplog):
    """The log of the account has the codes of the rows, once for all shards."""
    fill(engine, source, rows(12))
    standin.add_rule(CLOSED, times=4)
    day = group(fail_on={})
    for number in range(len(day.plan())):
        day.shard(number)
    caplog.clear()
    caplog.set_level(logging.INFO, logger="airflow_kombo")
    day.account()
    assert "failed ATS.JOB_CLOSED: 4 of the day. The job is closed in the ATS." in caplog.text
    assert "without an error code" not in caplog.text


@pytest.mark.parametrize(
    ("prefix_group_id", "shard"), [(True, "all.deliver.shard"), (False, "shard")]
)
def test_a_group_in_a_group_knows_the_task_of_the_shards(prefix_group_id, shard):
    """Plan and account name the mapped task by the whole id, and only the account has outlets."""
    with DAG("own", schedule=None) as dag, TaskGroup("all"):
        KomboResultLinkGroup(
            "deliver",
            prefix_group_id=prefix_group_id,
            mapping=MAPPING,
            table="t",
            retries=3,
            outlets=[OUT],
            on_failure_callback=print,
            on_success_callback=repr,
        )
    plan, account = (dag.task_dict[shard.replace("shard", one)] for one in ("plan", "account"))
    assert {plan.shard_task_id, account.shard_task_id} == {shard}
    assert account.upstream_task_ids == {plan.task_id, shard}
    assert [one.outlets for one in (plan, account)] == [[], [OUT]]
    assert [one.on_failure_callback for one in (plan, account)] == [[print], [print]]
    assert [one.on_success_callback for one in (plan, account)] == [[], [repr]]
    assert not dag.task_dict[shard].partial_kwargs["on_failure_callback"]
    assert {one.retries for one in dag.tasks} == {3}
    assert isinstance(dag.task_dict[shard], MappedOperator)


@pytest.mark.parametrize("place", ["dag", "outer group", "group", "argument"])
def test_all_tasks_of_a_group_have_the_same_settings(place):
    """Default arguments of any place reach plan, shard and account alike."""
    settings = {"status_table": "own_links", "kombo_conn_id": "eu", "fail_on": {"failed": 7}}
    of = {one: settings if one == place else {} for one in ("dag", "outer group", "group")}
    arguments = settings if place == "argument" else {}
    with (
        DAG("own", schedule=None, default_args=of["dag"]) as dag,
        TaskGroup("outer", prefix_group_id=False, default_args=of["outer group"]),
    ):
        KomboResultLinkGroup(mapping=MAPPING, table="t", default_args=of["group"], **arguments)
    plan, shard, account = (dag.task_dict[f"deliver.{one}"] for one in ("plan", "shard", "account"))
    for task in (plan, shard.unmap({"shard": None}), account):
        assert {name: getattr(task, name) for name in settings} == settings
        assert callable(task.write)


@pytest.mark.parametrize("as_default", [True, False])
def test_what_the_group_itself_needs_is_not_taken_away(as_default):
    """The plan has the XCom, and the trigger rule; only the account has the assets."""
    own = {"do_xcom_push": False, "outlets": [OUT], "trigger_rule": "all_done"}
    defaults, arguments = (own, {}) if as_default else ({}, own)
    with DAG("own", schedule=None, default_args=defaults) as dag:
        KomboResultLinkGroup(mapping=MAPPING, table="t", **arguments)
    plan, shard, account = (dag.task_dict[f"deliver.{one}"] for one in ("plan", "shard", "account"))
    tasks = [plan, shard.unmap({"shard": None}), account]
    assert [one.do_xcom_push for one in tasks] == [True, False, False]
    assert [one.outlets for one in tasks] == [[], [], [OUT]]
    assert [one.trigger_rule for one in (plan, shard, account)] == [
        "all_done",
        "all_success",
        "all_done_min_one_success",
    ]


def test_one_shard_is_planned_without_a_look(context, group):
    """With one shard the plan reads nothing: not even the database is there."""
    day = group(shards=1)
    assert day.plan() == [{"integration_ids": [], "is_rest": True, "max_rows": None}]


@pytest.mark.parametrize("option", [{"limit": 5}, {"result_ids": ["r0001"]}, {"dry_run": True}])
def test_a_run_for_some_rows_is_one_shard(engine, source, group, option):
    """A limit counts over all integrations, and ids are looked for in all of them."""
    fill(engine, source, rows(12))
    day = group(**option)
    counts = day.deliver()
    assert len(day.shards) == 1
    expected = {"limit": {"success": 5}, "result_ids": {"success": 1}, "dry_run": {"send": 12}}
    ((name, _),) = option.items()
    assert {
        status: number for status, number in counts.items() if number and status != "planned"
    } == (expected[name])
    assert day.event is None


def test_the_limit_of_a_day_counts_over_all_shards(engine, source, group, standin):
    """A day with too many rows stops in the plan, before a shard has sent one."""
    fill(engine, source, rows(60))
    with pytest.raises(AirflowFailException, match="60 rows would be sent, and at most 59"):
        group(max_rows=59).plan()
    assert group(max_rows=59, approve_rows=True).deliver()["success"] == 60


def test_a_shard_keeps_the_limit_of_its_day(engine, source, group, standin):
    """Rows after the plan are sent as far as the limit of the day allows."""
    fill(engine, source, rows(30))
    day = group(max_rows=37)
    day.plan()
    fill(engine, source, [row(f"late{n}", integration_id="new:one") for n in range(3)])
    with pytest.raises(AirflowFailException, match="13 rows would be sent, and at most 12"):
        day.shard(0)
    day.shard(1)
    assert standin.stats()["received"] == 10


def test_the_usual_day_is_learned_from_all_shards(engine, source, group):
    """The default limit is ten times the rows of a day, and not of one shard."""
    fill(engine, source, rows(600))
    group(approve_rows=True).deliver()
    fill(engine, source, [row(f"n{n}", integration_id=NAMES[n % 6]) for n in range(6_001)])
    with pytest.raises(AirflowFailException, match=r"at most 6,000 .* usually sends 600"):
        group().plan()


def test_a_row_after_the_plan_is_delivered_by_the_rest(engine, source, group):
    """An integration without a row at the time of the plan is in the first shard."""
    fill(engine, source, rows(12))
    day = group()
    day.plan()
    fill(engine, source, [row("late", integration_id="new:one")])
    for number in range(3):
        day.shard(number)
    assert day.account()["success"] == 13


def test_a_result_with_two_targets_is_seen_by_one_shard(engine, source, group, standin):
    """Integrations with a common result are in one shard, and neither row is sent."""
    fill(engine, source, [*rows(12), row("both", integration_id=NAMES[1])])
    fill(engine, source, [row("both", integration_id=NAMES[4], candidate_id="other")])
    day = group(shards=6)
    counts = day.deliver()
    assert len(day.shards) == 5
    assert (counts["success"], counts["invalid"]) == (12, 2)
    assert standin.stats()["received"] == 12


def test_no_text_of_a_row_is_in_the_plan(engine, source, group, caplog):
    """A name in the place of an id is neither in the plan nor in the log."""
    caplog.set_level(logging.INFO, logger="airflow_kombo")
    fill(engine, source, [*rows(6), row("bad", integration_id="Ada Lovelace")])
    day = group()
    assert "Ada" not in json.dumps(day.plan()) + caplog.text
    for number in range(3):
        day.shard(number)
    assert day.account()["planned"] == 7


def test_integrations_that_nobody_knows_stop_a_run_by_hand(engine, source, group):
    """A mistyped id is an error of the plan."""
    fill(engine, source, rows(6))
    with pytest.raises(AirflowFailException, match="1 of 1 integration_ids match no row"):
        group(integration_ids=["workday:typo"]).plan()
    assert group(integration_ids=NAMES[:2]).deliver()["success"] == 2


def test_the_policy_is_one_of_the_day(engine, source, group, standin):
    """A shard with many refused rows is not red, as long as the day has few."""
    fill(engine, source, rows(60))
    standin.add_rule(CLOSED, times=5)
    day = group(fail_on={"failed": 0.1})
    counts = day.deliver()
    assert (counts["success"], counts["failed"]) == (55, 5)
    assert day.event["failed"] == 5


def test_the_policy_counts_over_all_shards(engine, source, group, standin):
    """Refused rows of several shards make the day red, and the XCom has the counts."""
    fill(engine, source, rows(60))
    day = group(fail_on={"failed": 5})
    day.plan()
    for number in range(3):
        standin.add_rule(CLOSED, times=2)
        day.shard(number)
    with pytest.raises(AirflowFailException, match="6 of 60 rows are failed, and at most 5"):
        day.account()
    assert day.context["ti"].pushed["return_value"]["failed"] == 6
    assert day.event is None


def test_a_failed_shard_is_cleared_alone(engine, source, group):
    """Without it the day has no event; when it ran again, the account has all of the day."""
    fill(engine, source, rows(60))
    day = group()
    day.plan()
    day.shard(0)
    day.shard(1)
    day.states["deliver.shard_2"] = "failed"
    with pytest.raises(AirflowFailException, match="1 of 3 shards failed"):
        day.account()
    assert day.context["ti"].pushed["return_value"]["success"] == 40
    assert day.event is None
    day.shard(2)
    assert day.account()["success"] == 60
    assert day.event["success"] == 60


def test_the_account_has_the_rows_of_a_killed_shard(engine, source, group):
    """Rows in doubt of a dead shard are counted once, also if the shard ran again."""
    fill(engine, source, rows(60))
    day = group(fail_on={})
    day.plan()
    day.shard(0)
    runs = Runs(engine, TABLES)
    task = {"dag_id": "dag", "task_id": "deliver.shard", "dag_run_id": "manual"}
    name = day.shards[1]["integration_ids"][0]
    mine = [one.result_id for one in all_of(engine, source) if one.integration_id == name][:2]
    runs.start(Run("died", **task, map_index=1, try_number=1, assessment_date=DAY))
    requests = [delivery(one, integration_id=name, target_id=f"candidate-{one}") for one in mine]
    Ledger(engine, TABLES).claim("died", requests)
    silence(runs, "died", 61)
    day.shard(1)
    day.shard(2)
    counts = day.account()
    assert (counts["planned"], counts["success"], counts["unknown"]) == (60, 58, 2)
    assert day.event["unknown_of_day"] == 2


def test_a_shard_that_a_new_plan_lacks_holds_no_rows(engine, source, group):
    """After a clear of all tasks, the account counts held rows of the new plan's shards only."""
    fill(engine, source, rows(60))
    day = group(fail_on={"held": 0})
    day.deliver()
    runs = Runs(engine, TABLES)
    task = {"dag_id": "dag", "task_id": "deliver.shard", "dag_run_id": "manual"}
    runs.start(Run("before", **task, map_index=2, try_number=2, assessment_date=DAY))
    runs.finish("before", {"planned": 5, "held": 2, "skipped": 3})
    with pytest.raises(AirflowFailException, match="2 rows are held"):
        day.account()
    assert len(day.plan()) == 1
    day.shard(0)
    day.states |= {"deliver.shard_1": "removed", "deliver.shard_2": "removed"}
    counts = day.account()
    assert (counts["planned"], counts["success"], counts["held"], counts["skipped"]) == (
        60,
        60,
        0,
        0,
    )


def test_the_account_has_what_a_dead_run_of_another_dag_run_left(engine, source, group):
    """Rows of the day settled by a shard are in the account, as a dead run has none."""
    fill(engine, source, rows(60))
    Tables.named().create(engine)
    runs = Runs(engine, TABLES)
    task = {"dag_id": "dag", "task_id": "deliver.shard", "dag_run_id": "before"}
    runs.start(Run("died", **task, map_index=0, try_number=1, assessment_date=DAY))
    requests = [delivery("r0000", integration_id=NAMES[0], target_id="candidate-r0000")]
    Ledger(engine, TABLES).claim("died", requests)
    silence(runs, "died", 61)
    day = group(fail_on={})
    counts = day.deliver()
    assert (counts["planned"], counts["success"], counts["unknown"]) == (60, 59, 1)
    assert day.event["unknown_of_day"] == 1


def test_a_shard_is_tried_again_while_its_cause_may_pass(
    engine, source, group, standin, context, monkeypatch
):
    """Too few deliveries fail a shard with another try; the last try leaves them to the day."""
    hasty = partial(Settings, cool_down=0.05)
    monkeypatch.setattr("airflow_kombo.operators.run_task.Settings", hasty)
    fill(engine, source, rows(20, NAMES[:1]))
    day = group(shards=2)
    day.plan()
    context["ti"].max_tries = 1
    standin.add_rule(AWAY)
    with pytest.raises(TooFewDeliveredError, match="0 of 20 rows of the day were delivered"):
        day.shard(0)
    context["ti"].try_number = 2
    day.shard(0)
    with pytest.raises(AirflowFailException, match="0 of 20 rows of the day were delivered"):
        day.account()
    assert statuses(engine, TABLES) == {"retryable": 20}


def test_rows_of_a_transform_are_divided_by_their_keys(engine, source, group):
    """The plan reads the rows if SQL has no keys, and each shard leaves the others' out."""
    fill(engine, source, rows(12))

    def moved(frame):
        return frame.assign(integration_id=frame["integration_id"].str.replace("workday", "lever"))

    day = group(transform=moved)
    assert day.deliver()["success"] == 12
    assert {one.integration_id.split(":")[0] for one in by_result(engine, TABLES).values()} == {
        "lever"
    }
    assert [one.planned for one in all_of(engine, TABLES.runs)] == [4, 4, 4]


def test_rows_without_a_result_do_not_tie_integrations_together(engine, source, group):
    """Rows with an empty `result_id` are `invalid`, one by one, and share no result."""
    fill(engine, source, [*rows(60), *(row(None, integration_id=name) for name in NAMES)])
    day = group()
    assert len(day.plan()) == 3
    for number in range(3):
        day.shard(number)
    assert day.account()["invalid"] == 6


def test_the_account_waits_for_a_dead_shard_with_rows_of_other_days(engine, source, group):
    """Rows in doubt of a query of one's own may be of any day, and none stays `sending`."""
    old = DAY - timedelta(days=40)
    fill(engine, source, [one | {"assessment_date": old} for one in rows(6)])
    day = group(table=None, sql="SELECT * FROM assessment_results")
    day.plan()
    runs, name = Runs(engine, TABLES), day.shards[1]["integration_ids"][0]
    mine = next(one.result_id for one in all_of(engine, source) if one.integration_id == name)
    task = {"dag_id": "dag", "task_id": "deliver.shard", "dag_run_id": "manual"}
    runs.start(Run("died", **task, map_index=1, try_number=1, assessment_date=DAY))
    request = delivery(mine, integration_id=name, target_id=f"candidate-{mine}")
    Ledger(engine, TABLES).claim("died", [replace(request, assessment_date=old)])
    silence(runs, "died", 58)  # the shard is tried again before the dead try is known as dead
    for number in range(3):
        day.shard(number)
    counts = day.account()
    assert (counts["planned"], counts["success"], counts["unknown"]) == (6, 5, 1)


@pytest.mark.parametrize("again", ["refused", "invalid", "redelivered"])
def test_a_row_is_counted_once_after_its_shard_ran_again(engine, source, group, standin, again):
    """A row skipped by the last run has a record, if an earlier run of the dag run wrote one."""
    fill(engine, source, rows(60))
    if again == "invalid":
        fill(engine, source, [row("bad", candidate_id=None)])
    if again == "redelivered":
        group().deliver()
    day = group(fail_on={}, redeliver=["success"] if again == "redelivered" else None)
    day.context["ti"].run_id = "second"
    if again == "refused":
        standin.add_rule(CLOSED, times=5)
    before = dict(day.deliver())
    for number in range(3):
        day.shard(number)
    assert day.account() == before
    assert before["skipped"] == 0


def test_rows_in_doubt_of_a_living_run_are_not_counted_twice(engine, source, group):
    """Rows left `unknown` by another task are in the account of that task only."""
    fill(engine, source, rows(6))
    day = group(fail_on={"unknown": 0})
    day.deliver()
    runs, links = Runs(engine, TABLES), TABLES.links
    runs.start(Run("other", "other", "hand", "deliver", -1, 1, DAY))
    Ledger(engine, TABLES).claim("other", [delivery("o1")])
    in_doubt = {"status": "unknown", "error_code": "answer_lost", "updated_at": utc_now()}
    with engine.begin() as connection:
        connection.execute(update(links).where(links.c.run_id == "other").values(in_doubt))
    runs.finish("other", {"planned": 1, "unknown": 1})
    assert day.account()["planned"] == 6
    assert day.event["unknown_of_day"] == 1
