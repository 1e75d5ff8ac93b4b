"""Another server in Kombo's place during a run."""

from __future__ import annotations

import itertools

import pytest
from support.another_server import CREATED, KNOWN, PAGE, another_server, foreign, kombo_error
from support.harness import all_of, by_result, connect, fill, row, run_day, statuses

from airflow_kombo.delivery.run_context import Settings
from airflow_kombo.delivery.wrong_server import MOST, WrongServerDetector
from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.kombo_api.response import KomboResponse

ONE_AT_A_TIME = Settings(first_retry=0.001, max_in_flight=1)


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (PAGE, "unknown"),
        (foreign(200, b'{"ok": true}'), "unknown"),
        (foreign(204, b""), "unknown"),
        (foreign(302, Location="/"), "retryable"),
        *((foreign(http_status), "retryable") for http_status in (401, 403, 404, 407, 413, 425)),
    ],
)
def test_a_run_stops_after_a_few_foreign_responses(
    warehouse, tables, source_table, monkeypatch, response, status
):
    """Three foreign responses in a row stop the run, and no row is `failed`."""
    fill(warehouse, source_table, [row(f"r{n:02}") for n in range(60)])
    with another_server(KNOWN, response) as asked:
        connect(monkeypatch, asked.url)
        with pytest.raises(ConfigurationError, match=r"3 responses in a row .* 127.0.0.1: HTTP"):
            run_day(warehouse, tables, settings=ONE_AT_A_TIME)
    assert asked.count("POST") == MOST
    counts = statuses(warehouse, tables)
    attempted = {one.result_id for one in all_of(warehouse, tables.attempts)}
    assert {by_result(warehouse, tables)[name].status for name in attempted} == {status}
    assert counts == {"retryable": 60} if status == "retryable" else {"unknown": 3, "retryable": 57}


def test_all_integrations_of_a_run_count_together(warehouse, tables, source_table, monkeypatch):
    """Foreign responses of all integrations count together."""
    fill(warehouse, source_table, [row(f"r{n}", integration_id=f"ats:{n % 3}") for n in range(60)])
    with another_server(KNOWN, PAGE) as asked:
        connect(monkeypatch, asked.url)
        with pytest.raises(ConfigurationError, match="not Kombo's"):
            run_day(warehouse, tables, settings=ONE_AT_A_TIME)
    assert asked.count("POST") <= MOST + 2


def test_a_row_that_never_gets_through_does_not_stop_a_day(
    warehouse, tables, source_table, monkeypatch
):
    """A 413 for one row costs the tries of this row only."""
    fill(warehouse, source_table, [row(f"r{n:03}") for n in range(100)] + [row("large")])

    def post(_, path):
        return foreign(413) if "candidate-large" in path else CREATED

    with another_server(KNOWN, post) as asked:
        connect(monkeypatch, asked.url)
        report = run_day(warehouse, tables, settings=Settings(first_retry=0.05))
    assert report.counts == {"success": 100, "retryable": 1}
    assert asked.count("POST") == 104
    assert by_result(warehouse, tables)["large"].http_status == 413


def test_a_load_balancers_503_for_one_row_costs_that_row(
    warehouse, tables, source_table, monkeypatch
):
    """A load balancer's 503 for one of 600 rows costs the tries of this row only."""
    fill(warehouse, source_table, [row(f"r{n:03}") for n in range(599)] + [row("unlucky")])

    def post(_, path):
        return foreign(503) if "candidate-unlucky" in path else CREATED

    with another_server(KNOWN, post) as asked:
        connect(monkeypatch, asked.url)
        report = run_day(warehouse, tables)
    assert report.counts == {"success": 599, "retryable": 1}
    assert asked.count("POST") == 599 + 4


def test_a_proxy_that_loses_requests_sends_each_once(warehouse, tables, source_table, monkeypatch):
    """A proxy's 503 after the request was passed on makes the row `unknown`."""
    fill(warehouse, source_table, [row("r1"), row("r2")])
    lost = foreign(
        503,
        b"upstream connect error or disconnect/reset before headers."
        b" reset reason: connection termination",
    )
    with another_server(KNOWN, lost) as asked:
        connect(monkeypatch, asked.url)
        assert run_day(warehouse, tables).counts == {"unknown": 2}
    assert asked.count("POST") == 2


NEUTRAL = [foreign(408), foreign(429), foreign(499), foreign(500), foreign(502), foreign(503)]
KOMBOS = [
    CREATED,
    kombo_error(400, "ATS.JOB_CLOSED"),
    kombo_error(404, None),
    (200, {"Concurrency-Limit": "30"}, b""),
]
FOREIGN = [PAGE, foreign(301), foreign(403), foreign(204, b"")]


def observe(responses):
    wrong_server = WrongServerDetector("api.kombo.dev")
    return [wrong_server.observe(KomboResponse.of(*response)) for response in responses]


@pytest.mark.parametrize("between", NEUTRAL, ids=lambda response: str(response[0]))
def test_what_says_nothing_neither_counts_nor_interrupts(between):
    """A load balancer's own responses do not change the count of foreign ones."""
    assert not any(observe([between] * 20))
    assert observe([PAGE, between, PAGE, between, PAGE])[-1]


@pytest.mark.parametrize("between", KOMBOS)
def test_a_response_of_kombos_begins_anew(between):
    """Any response of Kombo resets the count."""
    for one, other in itertools.product(FOREIGN, FOREIGN):
        assert not any(observe([one, other, between, one, other, between]))
        assert observe([one, other, between, one, other, one])[-1]
