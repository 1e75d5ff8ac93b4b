"""Airflow's `execution_timeout` during a delivery."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from airflow.sdk.execution_time.timeout import timeout
from support.harness import fill, make_run, row, statuses, until_received

from airflow_kombo.delivery.run_context import Settings
from airflow_kombo.exceptions import RunStoppedError
from airflow_kombo.operators.execution_timeout import execution_timeout


def test_calls_in_flight_end_before_the_task_does(warehouse, tables, source_table, standin):
    """At Airflow's alarm no call starts, calls in flight end, and no row becomes `unknown`."""
    standin.set_latency((0.4, 0.4))
    fill(warehouse, source_table, [row(f"r{number}") for number in range(40)])

    async def deliver():
        run = await make_run(warehouse, tables, settings=Settings())()
        with execution_timeout(run.stop):
            sending = asyncio.create_task(run.deliver())
            await until_received(standin)
            os.kill(os.getpid(), signal.SIGALRM)
            await sending

    with (
        timeout(3_600),
        pytest.raises(RunStoppedError, match="execution_timeout is over"),
    ):
        asyncio.run(deliver())
    sent = standin.stats()["received"]
    assert 0 < sent < 40
    left = statuses(warehouse, tables)
    assert left.pop("success") == sent
    assert set(left) <= {"retryable"}  # rows that were not reached need no status


def test_airflows_handler_of_the_alarm_is_restored():
    """After a run, Airflow handles an alarm as before."""

    async def run():
        with execution_timeout(print):
            pass

    with timeout(3_600) as airflows_timeout:
        asyncio.run(run())
        assert signal.getsignal(signal.SIGALRM) == airflows_timeout.handle_timeout
