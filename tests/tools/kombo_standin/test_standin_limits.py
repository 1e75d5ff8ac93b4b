"""Limits and latencies of the stand-in."""

import asyncio
import time
from collections import Counter

import aiohttp
import httpx
import pytest

from tools.kombo_standin.client import DEFAULT_KEY

INTEGRATION = "workday:HWUTwvyx2wLoSUHphiWVrp28"
OTHER = "greenhouse:x"
RATE_LIMITED = (429, "PLATFORM.RATE_LIMIT_EXCEEDED")


def outcome(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("error", {}).get("code")


async def post_at_once(url: str, number: int) -> Counter[int]:
    """Post links at the same time, and count the statuses."""
    headers = {"Authorization": f"Bearer {DEFAULT_KEY}", "X-Integration-Id": INTEGRATION}

    async def post(session: aiohttp.ClientSession, index: int) -> int:
        path = f"{url}/ats/applications/a{index}/result-links"
        body = {"label": "Coding", "url": "https://example.com/1"}
        async with session.post(path, json=body) as answer:
            return answer.status

    async with aiohttp.ClientSession(headers=headers) as session:
        return Counter(await asyncio.gather(*(post(session, i) for i in range(number))))


def test_no_more_than_the_slots_are_in_flight(standin):
    """Of ten requests at once with three slots, seven are refused at once."""
    standin.set_limits(concurrency=100, concurrency_by_integration={INTEGRATION: 3})
    standin.set_latency(by_integration={INTEGRATION: (0.3, 0.3)})
    assert asyncio.run(post_at_once(standin.url, 10)) == {200: 3, 429: 7}
    stats = standin.stats()
    assert stats["max_in_flight"] == {INTEGRATION: 3}
    assert stats["refused_429"] == 7
    assert stats["answers"]["429 PLATFORM.CONCURRENCY_LIMIT_EXCEEDED"] == 7
    assert stats["created"] == 3


def test_a_hanging_request_holds_its_slot(post, standin, connection, raw_request, until):
    """A slot belongs to one integration, and is free again after the client has gone."""
    standin.set_limits(concurrency=1)
    standin.add_rule({"kind": "hang"}, times=1)
    connection.sendall(raw_request)
    until(lambda: "hang" in standin.stats()["answers"])
    refused = post()
    assert outcome(refused) == (429, "PLATFORM.CONCURRENCY_LIMIT_EXCEEDED")
    assert refused.headers["Concurrency-Limit"] == "1"
    assert refused.headers["Concurrency-Remaining"] == "0"
    assert post(integration_id=OTHER).status_code == 200
    connection.close()
    assert until(lambda: post().status_code == 200)


def test_a_request_counts_among_the_slots_it_is_told_of(post):
    """A single request with 30 slots reads 29 remaining."""
    headers = post().headers
    assert (headers["Concurrency-Limit"], headers["Concurrency-Remaining"]) == ("30", "29")


def test_the_rate_limit_counts_down_and_refuses(post, standin):
    """With three requests per minute, the fourth is refused, for any integration."""
    standin.set_limits(rate=3, window=60)
    answers = [post(), post(integration_id=OTHER), post(), post()]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert all(0 < int(answer.headers["ratelimit-reset"]) <= 60 for answer in answers)
    assert outcome(answers[-1]) == RATE_LIMITED
    assert "Retry-After" not in answers[-1].headers
    assert sum(link["count"] for link in standin.links()) == 3


def test_the_rate_limit_may_be_each_integrations_own(post, standin):
    """With the other scope, a refused integration does not stop another one."""
    standin.set_limits(rate=1, rate_scope="integration")
    assert post().status_code == 200
    assert outcome(post()) == RATE_LIMITED
    assert post(integration_id=OTHER).status_code == 200


def test_retry_after_comes_if_it_is_wanted(post, standin):
    """Retry-After equals ratelimit-reset."""
    standin.set_limits(rate=1, retry_after=True)
    post()
    headers = post().headers
    assert headers["Retry-After"] == headers["ratelimit-reset"]


def test_a_new_window_begins(post, standin, until):
    """A refused request is accepted in the next window."""
    standin.set_limits(rate=1, window=0.2)
    post()
    assert outcome(post()) == RATE_LIMITED
    assert until(lambda: post().status_code == 200)


@pytest.mark.parametrize("integration_id", [INTEGRATION, OTHER])
def test_answers_take_their_integrations_time(post, standin, integration_id):
    """Latency is drawn between two bounds, for one integration or for all."""
    standin.set_latency(default=(0.1, 0.15), by_integration={OTHER: (0.2, 0.25)})
    begin = time.perf_counter()
    post(integration_id=integration_id)
    shortest = 0.2 if integration_id == OTHER else 0.1
    assert shortest <= time.perf_counter() - begin < shortest + 1


def test_what_is_left_out_gets_its_default(post, standin):
    """New limits replace all old ones."""
    standin.set_limits(rate=1)
    post()
    standin.set_limits(concurrency=5)
    answer = post()
    assert answer.status_code == 200
    assert answer.headers["Concurrency-Limit"] == "5"
