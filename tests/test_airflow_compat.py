"""Differences between versions of Airflow; `make test-matrix` runs this in each of them."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from airflow.sdk import Asset
from airflow.sdk.execution_time.context import OutletEventAccessors
from support.harness import DAY

from airflow_kombo import airflow_compat
from airflow_kombo.observability.asset_events import add_to_asset_events
from airflow_kombo.operators.assessment_day import day_of
from airflow_kombo.timetables.nightly import NightlyTimetable


def test_a_dag_run_of_an_airflow_without_partitions_has_the_day_of_its_logical_date():
    """A dag run without the attribute of a partition is for the logical date."""
    moment = datetime.combine(DAY, datetime.min.time(), timezone.utc)
    dag_run = SimpleNamespace(logical_date=moment)
    assert day_of({"dag_run": dag_run, "dag": SimpleNamespace(timezone=timezone.utc)}) == DAY


def test_an_event_has_the_counts_and_the_day_where_airflow_has_partitions():
    """An asset's event has the counts in each Airflow, and the partition from 3.3 on."""
    asset, events = Asset("kombo_result_links"), OutletEventAccessors()
    add_to_asset_events([asset], events, DAY, {"success": 3}, in_doubt=1)
    assert events[asset].extra == {"success": 3, "unknown_of_day": 1}
    partitions = getattr(events[asset], "partition_keys", None)
    assert bool(partitions) == airflow_compat.has_partitions()


def test_the_nights_are_those_of_the_airflow_that_runs():
    """Runs of the night have a partition where Airflow has them whole, else a logical date."""
    whole = airflow_compat.has_partitions()
    module = "by_partition" if whole else "by_logical_date"
    assert NightlyTimetable.__mro__[1].__module__ == f"airflow_kombo.timetables.{module}"
    assert NightlyTimetable.deserialize(NightlyTimetable(2, "Europe/Berlin").serialize()).hour == 2


@pytest.mark.parametrize("send", [airflow_compat.count_metric, airflow_compat.time_metric])
def test_metrics_go_to_the_backend_of_the_airflow_that_runs(send, caplog):
    """Each version's sender of metrics takes ours: nothing is logged."""
    send("kombo.result_links.posts", 1, {"integration": "workday_one"})
    assert caplog.text == ""


def test_a_setting_is_read_in_each_airflow():
    """A task reads Airflow's settings wherever the version has them."""
    assert airflow_compat.configuration().get("core", "load_examples") == "False"
