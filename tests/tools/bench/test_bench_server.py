"""Server of the bench: the limits of Kombo, and correct counts."""

import asyncio
import json

import aiohttp
import pytest

from tools.bench import server
from tools.bench.orders import Behaviour, Orders
from tools.kombo_standin import client

LIMITS = {
    "concurrency-limit",
    "concurrency-remaining",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
}
ONE, TWO = "workday:one", "workday:two"


@pytest.fixture(scope="module")
def running():
    with server.running() as running:
        yield running


@pytest.fixture
def post(running):
    """Return a function that posts (integration, number) links under given orders."""

    def post_all(orders, *links, body=None):
        running.obey(orders)
        return asyncio.run(_post(running.url, links, body))

    return post_all


async def _post(url, links, body):
    async with aiohttp.ClientSession() as http:
        return [await _post_one(http, url, *link, body) for link in links]


async def _post_one(http, url, integration_id, number, body=None):
    link = {"label": "Coding", "url": f"https://results.example/{number}"}
    path = f"{url}/ats/candidates/c{number}/result-links"
    headers = {"X-Integration-Id": integration_id}
    async with http.post(path, json=body or link, headers=headers) as response:
        answer = json.loads(await response.read())
        code = answer["error"]["code"] if answer["status"] == "error" else None
        return response.status, code, response.headers


def statuses(answers):
    return [(status, code) for status, code, _ in answers]


async def until_seen(running, posts):
    """Wait until the server has received enough requests."""
    while running.counts().total("posts") < posts:  # noqa: ASYNC110 - its word
        await asyncio.sleep(0)


def test_it_counts_by_integration(running, post):
    """Requests, different links and repetitions are counted by integration."""
    post(Orders(), (ONE, 1), (ONE, 2), (ONE, 1), (TWO, 1))
    one, two = (running.counts().by_integration[name] for name in (ONE, TWO))
    assert (one.posts, one.links, one.duplicates, one.refused, one.invalid) == (3, 2, 1, 0, 0)
    assert (two.posts, two.links, two.duplicates) == (1, 1, 0)
    assert one.first <= one.last <= one.answered
    assert sum(running.counts().taken.values()) == 4


def test_new_orders_forget(running, post):
    """Each measurement begins with empty counts."""
    post(Orders(), (ONE, 1))
    running.obey(Orders())
    assert running.counts().total("posts") == 0
    assert running.counts().answered == 0


def test_it_answers_as_the_stand_in_does(running):
    """A link's response has the stand-in's status, body and limit headers."""
    with client.running() as standin:
        standin_answer = asyncio.run(_answer(standin.url, client.DEFAULT_KEY))
    running.obey(Orders(rate=1_000_000))
    answer = asyncio.run(_answer(running.url, client.DEFAULT_KEY))
    assert answer == standin_answer
    assert set(answer[2]) == LIMITS


async def _answer(url, key):
    headers = {"X-Integration-Id": ONE, "Authorization": f"Bearer {key}"}
    body = {"label": "Coding", "url": "https://results.example/1"}
    path = f"{url}/ats/candidates/c1/result-links"
    async with aiohttp.ClientSession() as http, http.post(path, json=body, headers=headers) as got:
        headers = {name.lower(): value for name, value in got.headers.items()}
        limits = {name: value for name, value in headers.items() if name in LIMITS}
        return got.status, await got.json(), limits


def test_it_answers_a_check_of_the_key_as_the_stand_in_does(running):
    """A check of the key has the stand-in's response, and needs no integration."""
    with client.running() as standin:
        standin_status, standin_body, _ = asyncio.run(_check(standin.url))
    running.obey(Orders())
    status, body, headers = asyncio.run(_check(running.url))
    assert (status, body["status"]) == (standin_status, standin_body["status"]) == (200, "success")
    assert set(body) == set(standin_body)
    assert set(body["data"]) == set(standin_body["data"])
    assert headers["Content-Type"] == "application/json"


def test_a_check_of_the_key_is_neither_counted_nor_limited(running, post):
    """A check of the key uses up no rate, and is not counted."""
    running.obey(Orders(rate=1))
    assert [asyncio.run(_check(running.url))[0] for _ in range(2)] == [200, 200]
    assert running.counts().by_integration == {}
    answers = post(Orders(rate=1), (ONE, 1), (ONE, 2))
    assert [status for status, _, _ in answers] == [200, 429]
    assert asyncio.run(_check(running.url))[0] == 200
    assert running.counts().total("posts") == 2


def test_it_knows_no_other_reads(running):
    """A GET of another path is a 404."""
    assert asyncio.run(_check(running.url, "/check-api-keys"))[0] == 404


async def _check(url, path="/check-api-key"):
    headers = {"Authorization": f"Bearer {client.DEFAULT_KEY}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(url + path) as got:
        return got.status, await got.json(), got.headers


def test_the_rate_is_refused_beyond_the_limit(running, post):
    """Requests beyond the window's rate are 429s, for all integrations together."""
    answers = post(Orders(rate=2), (ONE, 1), (TWO, 2), (ONE, 3), (TWO, 4))
    too_many = (429, "PLATFORM.RATE_LIMIT_EXCEEDED")
    assert statuses(answers) == [(200, None), (200, None), too_many, too_many]
    assert answers[1][2]["ratelimit-remaining"] == "0"
    assert running.counts().total("refused") == 2
    assert running.counts().total("links") == 2


def test_calls_in_flight_are_limited(running):
    """A call beyond the integration's limit is a 429; other integrations are not affected."""
    hanging = Behaviour(limit=2, hangs=True)

    async def overrun():
        running.obey(Orders(by_integration={ONE: hanging}))
        async with aiohttp.ClientSession() as http:
            calls = [asyncio.create_task(_post_one(http, running.url, ONE, n)) for n in (1, 2)]
            await until_seen(running, 2)
            refused = await _post_one(http, running.url, ONE, 3)
            other = await _post_one(http, running.url, TWO, 4)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
        return statuses([refused, other])

    assert asyncio.run(overrun()) == [(429, "PLATFORM.CONCURRENCY_LIMIT_EXCEEDED"), (200, None)]
    seen = running.counts().by_integration[ONE]
    assert (seen.posts, seen.links, seen.refused, seen.most_in_flight) == (3, 2, 1, 2)


def test_a_slot_is_free_again_when_its_client_gives_up(running):
    """A disconnected client holds no slot: a killed run does not limit the next."""

    async def give_up():
        running.obey(Orders(default=Behaviour(limit=1, hangs=True)))
        for number in (1, 2):
            async with aiohttp.ClientSession() as http:
                call = asyncio.create_task(_post_one(http, running.url, ONE, number))
                await until_seen(running, number)
                call.cancel()
                await asyncio.wait([call])

    asyncio.run(give_up())
    assert running.counts().total("refused") == 0


def test_what_a_client_does_not_wait_for_is_counted(running, post):
    """A link in flight whose client disconnects is counted, an answered one is not."""

    async def give_up():
        running.obey(Orders(by_integration={ONE: Behaviour(hangs=True)}))
        async with aiohttp.ClientSession() as http:
            await _post_one(http, running.url, TWO, 1)
            calls = [asyncio.create_task(_post_one(http, running.url, ONE, n)) for n in (1, 2)]
            await until_seen(running, 3)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
        while running.counts().total("cut") < 2:  # noqa: ASYNC110 - its word
            await asyncio.sleep(0)

    asyncio.run(give_up())
    assert (running.counts().total("cut"), running.counts().total("responses")) == (2, 1)


def test_the_limit_falls_in_the_middle(post):
    """After enough requests an integration's limit changes, also in the headers."""
    falling = Behaviour(limit=30, falls_to=8, falls_after=2)
    answers = post(Orders(by_integration={ONE: falling}), (ONE, 1), (TWO, 1), (ONE, 2), (TWO, 2))
    assert [headers["Concurrency-Limit"] for _, _, headers in answers] == ["30", "30", "8", "30"]


def test_latency_passes_before_the_answer(running, post):
    """An integration with a latency responds later."""
    post(Orders(default=Behaviour(latency=(0.01, 0.02))), (ONE, 1), (ONE, 2))
    seen = running.counts().by_integration[ONE]
    assert seen.answered > seen.last > seen.first
    assert (seen.links, seen.responses) == (2, 2)
    assert 0.02 <= seen.work <= 0.04


def test_an_invalid_body_is_no_link(running, post):
    """An invalid body is not counted as a link."""
    answers = post(Orders(), (ONE, 1), body={"label": "Coding"})
    assert statuses(answers) == [(400, "PLATFORM.INPUT_INVALID")]
    counts = running.counts()
    assert (counts.total("invalid"), counts.total("links")) == (1, 0)
