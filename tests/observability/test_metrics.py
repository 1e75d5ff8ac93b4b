"""Metrics of a run, sent by a real StatsD client over a real socket."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest
from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
from airflow.sdk._shared.observability.metrics.statsd_logger import get_statsd_logger
from airflow.sdk.observability import stats
from statsd import StatsClient
from support.harness import DAY, ROOT, delivery, fill, make_run, row

from airflow_kombo import airflow_compat
from airflow_kombo.exceptions import ResponseLostError
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.kombo_api.writes import Request, Write
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.observability.metrics import BLOCKED, Metrics, SenderMetrics
from airflow_kombo.rows.result_link_mapping import mapping_of
from airflow_kombo.rows.task_source import TaskSource


class Server:
    """StatsD server that reads metrics from its socket."""

    def __init__(self, receiver):
        self._receiver = receiver

    def read(self):
        """Return the sums of the counters, and the lists of the timings, by name with tags."""
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
    """Start a StatsD server, and send this process's metrics to it, with tags."""
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


def test_a_run_sends_rows_calls_429s_and_blocked_integrations(
    server, warehouse, tables, source_table, standin
):
    """Metrics of an integration: rows by status, calls, times, 429s, its end; all documented."""
    rows = [row(f"r{n}", integration_id="workday:one", candidate_id=f"c{n}") for n in range(40)]
    rows += [row(f"s{n}", integration_id="lever:two", candidate_id=f"c{n}") for n in range(30)]
    rows += [row("bad", integration_id="workday:one", candidate_id=None)]
    rows += [row("other", integration_id="eva@example.com")]
    fill(warehouse, source_table, rows)
    limit = {"kind": "answer", "status": 429, "code": "PLATFORM.RATE_LIMIT_EXCEEDED"}
    standin.add_rule(limit, url="https://results.example/r1", times=1)
    inactive = {"kind": "answer", "status": 403, "code": "INTEGRATION.INACTIVE"}
    standin.add_rule(inactive, integration_id="lever:two")
    run = make_run(warehouse, tables, run=Run("one", dag_id="dag", task_id="deliver"))

    async def deliver():
        await (await run()).deliver()

    asyncio.run(deliver())
    counters, timings = server.read()
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
        f"integrations.blocked,{two}": 1,
        f"rows.success,{other}": 1,
        f"posts,{other}": 1,
    }
    assert len(timings[f"post,{one}"]) == 14
    assert all(0 < time < 60_000 for times in timings.values() for time in times)
    assert undocumented(*counters, *timings) == set()


def undocumented(*metrics):
    """Return the names of metrics without a line in docs/monitoring.md."""
    names = {re.sub(r"^rows\..*", "rows.<status>", one.partition(",")[0]) for one in metrics}
    docs = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    return {name for name in names if f"| `kombo.result_links.{name}` |" not in docs}


def test_rows_of_a_dead_run_are_in_the_metrics(server, warehouse, tables, source_table, standin):
    """A row left in doubt by a dead run is counted, also without a sender."""
    runs = Runs(warehouse, tables)
    runs.start(Run("dead"))
    ledger = Ledger(warehouse, tables)
    ledger.claim("dead", [delivery("a"), delivery("b", integration_id="lever:two")])
    runs.finish("dead", {})
    fill(warehouse, source_table, [row("r1")])
    run = make_run(warehouse, tables, run=Run("one", assessment_date=DAY))

    async def deliver():
        await (await run()).deliver()

    asyncio.run(deliver())
    counters, _ = server.read()
    assert {name: rows for name, rows in counters.items() if name.startswith("rows.")} == {
        "rows.success,integration=workday_one": 1,
        "rows.unknown,integration=workday_one": 1,
        "rows.unknown,integration=lever_two": 1,
    }


class Note(Request):
    content: str


def test_metrics_of_another_write_have_its_name(server, warehouse, standin):
    """The metrics of another write are named after it, and none says link or url."""
    notes = Write("note", "/ats/candidates/{target_id}/notes", Note, {"candidate": "candidate_id"})
    tables = Tables.named(notes.status_table)
    tables.create(warehouse)
    source = TaskSource([row("r1")])
    mapping = mapping_of(notes).parse({"content": "{{ assessment_name }}"})
    run = make_run(warehouse, tables, run=Run("one"), source=source, mapping=mapping)

    async def deliver():
        await (await run()).deliver()

    asyncio.run(deliver())
    counters, timings = server.read()
    names = {name.split(",")[0].removeprefix("airflow.kombo.") for name in (*counters, *timings)}
    assert {"notes.posts", "notes.post"} < names
    assert all(name.startswith("notes.") for name in names)
    assert not any(word in name for name in names for word in ("link", "url"))


def test_a_measure_is_sent_once(server):
    """During the run and at its end, counters add up and times are of new calls only."""
    counts = {"success": 2}
    sender = SenderMetrics("workday:one", counts)
    metrics = Metrics([sender], {}, RESULT_LINKS)
    sender.observe(ResponseLostError("lost"), 0.25)
    asyncio.run(metrics.send_in_turns())
    sender.ended_by, counts["success"], counts["blocked"] = BLOCKED, 3, 7
    metrics.send()
    metrics.send()
    tag = "integration=workday_one"
    assert server.read() == (
        {
            f"rows.success,{tag}": 3,
            f"rows.blocked,{tag}": 7,
            f"posts,{tag}": 1,
            f"integrations.blocked,{tag}": 1,
        },
        {f"post,{tag}": [250.0]},
    )


def test_of_many_calls_an_even_sample_of_times_is_sent(server):
    """At most 20 times of a sender are sent at once, evenly sampled, with the longest."""
    sender = SenderMetrics("workday:one", {})
    for number in range(1, 1_001):
        sender.observe(ResponseLostError("lost"), number / 1000)
    Metrics([sender], {}, RESULT_LINKS).send()
    counters, timings = server.read()
    assert counters == {"posts,integration=workday_one": 1_000}
    assert timings == {"post,integration=workday_one": [1_000.0 - 50 * n for n in range(20)]}


@pytest.mark.parametrize(
    "hostile", ["", "eva@example.com", "a" * 300, "x=1,y", "workday:1\n", "é:1"]
)
def test_only_an_integrations_id_is_a_tag(server, hostile):
    """Texts that are no integration's id, such as personal data, have the tag `other`."""
    Metrics([SenderMetrics(hostile, {"invalid": 1})], {}, RESULT_LINKS).send()
    assert server.read()[0] == {"rows.invalid,integration=other": 1}


class Broken:
    """Backend with errors of its own, as a full disk or a name that nobody resolves."""

    def incr(self, *_, **__):
        raise OSError("canary")

    timing = incr


def test_a_backend_that_fails_fails_no_run(
    warehouse, tables, source_table, standin, caplog, monkeypatch
):
    """The rows are delivered, and the log names the metrics that were lost, once each."""
    fill(warehouse, source_table, [row(f"r{n}") for n in range(5)])
    run = make_run(warehouse, tables, run=Run("one"))
    monkeypatch.setattr(airflow_compat, "_lost_metrics", set())
    stats.initialize(factory=Broken, export_legacy_names=False)

    async def deliver():
        return await (await run()).deliver()

    try:
        report = asyncio.run(deliver())
    finally:
        stats.initialize(factory=NoStatsLogger, export_legacy_names=False)
    assert report.numbers["success"] == 5
    lost = [one for one in caplog.messages if "could not be sent" in one]
    assert len(lost) == len(set(lost)) >= 2
    assert "canary" not in caplog.text
