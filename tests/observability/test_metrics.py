"""What Airflow's metrics are told, by a real StatsD client over a real socket."""

from __future__ import annotations

import asyncio
import socket

import pytest
from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
from airflow.sdk._shared.observability.metrics.statsd_logger import get_statsd_logger
from airflow.sdk.observability import stats
from statsd import StatsClient
from support.harness import fill, make_run, row

from airflow_kombo.exceptions import ResponseLostError
from airflow_kombo.ledger.runs import Run
from airflow_kombo.observability.metrics import BLOCKED, Metrics, SenderMetrics


class Server:
    """A StatsD server that keeps what it hears."""

    def __init__(self, receiver):
        self._receiver = receiver

    def observe(self):
        """Give what has come, by name with tags: counters as their sum, timings as their list."""
        counters, timings = {}, {}
        while True:
            try:
                line = self._receiver.recv(65_536).decode()
            except BlockingIOError:
                return counters, timings
            name, _, rest = line.partition(":")
            value, kind = rest.split("|")[:2]
            name = name.removeprefix("airflow.kombo.result_links.")
            if kind == "c":
                counters[name] = counters.get(name, 0) + int(value)
            else:
                timings.setdefault(name, []).append(float(value))


@pytest.fixture
def server():
    """Give a StatsD server that Airflow's metrics of this process go to, with their tags."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        host, port = receiver.getsockname()
        backend = get_statsd_logger(
            stats_class=StatsClient,
            host=host,
            port=port,
            prefix="airflow",
            influxdb_tags_enabled=True,
            statsd_influxdb_enabled=True,
        )
        stats.initialize(factory=lambda: backend, export_legacy_names=False)
        yield Server(receiver)
        stats.initialize(factory=NoStatsLogger, export_legacy_names=False)
        backend.statsd.close()


def test_a_run_tells_rows_calls_429s_and_blocked_lanes_by_integration(
    server, warehouse, tables, source_table, standin
):
    """Each integration's rows by status, its calls with their times, its 429s and its end."""
    rows = [row(f"r{n}", integration_id="workday:one", candidate_id=f"c{n}") for n in range(40)]
    rows += [row(f"s{n}", integration_id="lever:two", candidate_id=f"c{n}") for n in range(30)]
    rows += [row("bad", integration_id="workday:one", candidate_id=None)]
    rows += [row("whose", integration_id="eva@example.com")]
    fill(warehouse, source_table, rows)
    limit = {"kind": "answer", "status": 429, "code": "PLATFORM.RATE_LIMIT_EXCEEDED"}
    standin.add_rule(limit, url="https://results.example/r1", times=1)
    inactive = {"kind": "answer", "status": 403, "code": "INTEGRATION.INACTIVE"}
    standin.add_rule(inactive, integration_id="lever:two")
    run = make_run(warehouse, tables, run=Run("one", dag_id="dag", task_id="deliver"))

    async def deliver():
        await (await run()).deliver()

    asyncio.run(deliver())
    counters, timings = server.observe()
    one, two, other = (
        f"dag_id=dag,task_id=deliver,integration={tag}"
        for tag in ("workday_one", "lever_two", "other")
    )
    posts = standin.stats()["received"]
    assert counters.pop(f"posts,{two}") + 41 + 1 == posts
    assert counters == {
        f"rows.success,{one}": 40,
        f"rows.invalid,{one}": 1,
        f"posts,{one}": 41,
        f"http_429,{one}": 1,
        f"rows.blocked,{two}": 30,
        f"lanes.blocked,{two}": 1,
        f"rows.success,{other}": 1,
        f"posts,{other}": 1,
    }
    assert len(timings[f"post,{one}"]) == 14
    assert all(0 < time < 60_000 for times in timings.values() for time in times)


def test_what_was_told_is_not_told_again(server):
    """On the way and at the end, each is told once: counters add up, times are of new calls."""
    counts = {"success": 2}
    metrics = SenderMetrics("workday:one", counts)
    metrics = Metrics([metrics], {})
    metrics.observe(ResponseLostError("lost"), 0.25)
    asyncio.run(metrics.tell_on_the_way())
    metrics.ended_by, counts["success"], counts["blocked"] = BLOCKED, 3, 7
    metrics.tell()
    metrics.tell()
    tag = "integration=workday_one"
    assert server.observe() == (
        {
            f"rows.success,{tag}": 3,
            f"rows.blocked,{tag}": 7,
            f"posts,{tag}": 1,
            f"lanes.blocked,{tag}": 1,
        },
        {f"post,{tag}": [250.0]},
    )


def test_of_many_calls_an_even_sample_of_times_is_told(server):
    """A lane tells at most 20 times at once, over all of their order, the longest among them."""
    metrics = SenderMetrics("workday:one", {})
    for number in range(1, 1_001):
        metrics.observe(ResponseLostError("lost"), number / 1000)
    Metrics([metrics], {}).tell()
    counters, timings = server.observe()
    assert counters == {"posts,integration=workday_one": 1_000}
    assert timings == {"post,integration=workday_one": [1_000.0 - 50 * n for n in range(20)]}


@pytest.mark.parametrize(
    "hostile", ["", "eva@example.com", "a" * 300, "x=1,y", "workday:1\n", "é:1"]
)
def test_what_is_no_integration_s_id_is_no_tag(server, hostile):
    """A column that holds a person's data, or a thousand different things, is one tag: other."""
    Metrics([SenderMetrics(hostile, {"invalid": 1})], {}).tell()
    assert server.observe()[0] == {"rows.invalid,integration=other": 1}
