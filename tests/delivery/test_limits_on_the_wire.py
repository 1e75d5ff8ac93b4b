"""Whole runs against servers with unusual limit headers, on a real socket."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.harness import by_result, connect, fill, make_run, row, statuses

from airflow_kombo.delivery import progress

DONE = {"status": "success", "data": {}, "warnings": []}
TOO_MANY = {"status": "error", "error": {"code": "PLATFORM.CONCURRENCY_LIMIT_EXCEEDED"}}
PATIENCE_SECONDS = 60
HOSTILE = [
    {"ratelimit-limit": "300", "ratelimit-remaining": "298", "ratelimit-reset": "1800000000"},
    {"ratelimit-limit": "300", "ratelimit-remaining": "298", "ratelimit-reset": "1e300"},
    {"ratelimit-limit": "1e300", "ratelimit-remaining": "1e300", "ratelimit-reset": "0"},
    {"ratelimit-limit": "0", "ratelimit-remaining": "0", "ratelimit-reset": "0"},
    {"ratelimit-limit": "300", "ratelimit-remaining": "0", "ratelimit-reset": "0"},
    {"ratelimit-limit": "-1", "ratelimit-remaining": "nan", "ratelimit-reset": "-inf"},
    {"Concurrency-Limit": "1e300", "Retry-After": "1e300"},
    {"Concurrency-Limit": "1e300", "Concurrency-Remaining": "1e300"},
    {"Concurrency-Limit": "0", "Concurrency-Remaining": "-1"},
    {"Concurrency-Limit": "30", "Concurrency-Remaining": "0"},
]

# The wire is the same for every warehouse.
pytestmark = pytest.mark.parametrize("warehouse", ["sqlite"], indirect=True)


class Integration:
    """Integration with room for a number of calls at once.

    :param seconds: How long it works on a call.
    :param headers: What each of its responses has.
    """

    def __init__(self, room=1_000, seconds=0.0, headers=None):
        self.room = room
        self.seconds = seconds
        self.headers = headers or {}
        self.in_flight = self.most = self.refused = 0

    async def respond(self, _request):
        """Hold a call for a moment, or refuse it at once if there is no room."""
        if self.in_flight >= self.room:
            self.refused += 1
            return web.json_response(TOO_MANY, status=429, headers=self.headers)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        loop.call_later(self.seconds, over.set_result, None)
        await over
        self.in_flight -= 1
        return web.json_response(DONE, headers=self.headers)


async def knows_the_key(_request):
    """Respond as Kombo does to a known key."""
    return web.json_response({"status": "success", "data": {}})


@pytest.fixture
def deliver(warehouse, tables, source_table, monkeypatch):
    """Return a function to deliver a number of rows to an integration."""

    async def run(integration):
        app = web.Application()
        app.router.add_get("/v1/check-api-key", knows_the_key)
        app.router.add_post("/{path:.*}", integration.respond)
        async with TestServer(app) as server:
            connect(monkeypatch, str(server.make_url("/v1")))
            run = await make_run(warehouse, tables)()
            return await asyncio.wait_for(run.deliver(), PATIENCE_SECONDS)

    def deliver(integration, rows):
        fill(warehouse, source_table, [row(f"r{number}") for number in range(rows)])
        return asyncio.run(run(integration))

    return deliver


@pytest.mark.parametrize("headers", HOSTILE, ids=lambda headers: " ".join(headers.values()))
def test_a_day_is_delivered_whatever_the_limit_headers_say(deliver, headers, warehouse, tables):
    """Huge numbers, zeros and malformed values in limit headers do not stop a run."""
    assert deliver(Integration(headers=headers), 9).counts == {"success": 9}
    assert {one.attempts for one in by_result(warehouse, tables).values()} == {1}


def test_a_pause_after_the_last_row_is_not_waited_for(deliver):
    """A run ends with its last response, even if nothing could be sent for a minute more."""
    spent = {"ratelimit-limit": "300", "ratelimit-remaining": "0", "ratelimit-reset": "60"}
    began = time.monotonic()
    assert deliver(Integration(headers=spent), 5).counts == {"success": 5}
    assert time.monotonic() - began < 30


def test_the_log_names_a_limit_though_no_claimed_row_waits_for_it(deliver, monkeypatch, caplog):
    """Nothing is claimed long before it may leave, and the log has the reason."""
    monkeypatch.setattr(progress, "_PROGRESS_SECONDS", 0.01)
    caplog.set_level("INFO", progress.__name__)
    # A request a second, after the first six: the last row is claimed just in time.
    slow = {"ratelimit-limit": "20", "ratelimit-remaining": "10", "ratelimit-reset": "10"}
    assert deliver(Integration(headers=slow), 8).counts == {"success": 8}
    ours = [record for record in caplog.records if record.name == progress.__name__]
    said = [record.getMessage() for record in ours]
    paused = [after for line, after in pairwise(said) if line.startswith("7 of 8 rows")]
    assert paused.count("Integrations wait for: Kombo's limits (1)") > len(paused) / 2


def test_without_a_limit_in_the_answers_the_sender_grows(deliver):
    """Without a limit in the responses, more than the first five slots are used."""
    integration = Integration(seconds=0.1)
    assert deliver(integration, 200).counts == {"success": 200}
    assert 12 <= integration.most <= 30


def test_a_limit_that_only_its_429_tells_is_found(deliver, warehouse, tables):
    """A limit known only by its 429 is found with few refused calls."""
    integration = Integration(room=8, seconds=0.1)
    assert deliver(integration, 80).counts == {"success": 80}
    assert integration.most == 8
    assert 1 <= integration.refused <= 8
    assert statuses(warehouse, tables) == {"success": 80}
