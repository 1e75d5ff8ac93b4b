from __future__ import annotations

import asyncio
import itertools
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text, update
from support.harness import (
    all_of,
    by_result,
    can_store,
    connect,
    delivery,
    fill,
    make_run,
    row,
    run_day,
    statuses,
    until_received,
)

from airflow_kombo.delivery.run_context import Settings
from airflow_kombo.exceptions import ConfigurationError, LedgerError, RunStoppedError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.rows.task_source import TaskSource

# Each response of the API to a row, with the final status of the row.
RESPONSES = [
    ({"kind": "success"}, "success"),
    ({"kind": "success", "warnings": ["The label was cut"]}, "success"),
    ({"kind": "raw", "status": 200, "headers": {"Concurrency-Limit": "30"}}, "success"),
    ({"kind": "truncate"}, "success"),
    ({"kind": "answer", "status": 200, "code": "PLATFORM.INPUT_INVALID"}, "failed"),
    ({"kind": "answer", "status": 200, "code": None}, "unknown"),
    ({"kind": "answer", "status": 429, "code": "REMOTE.RATE_LIMIT_EXCEEDED"}, "retryable"),
    ({"kind": "answer", "status": 503, "code": "REMOTE.SERVICE_UNAVAILABLE"}, "retryable"),
    ({"kind": "answer", "status": 400, "code": "PLATFORM.INPUT_INVALID"}, "failed"),
    ({"kind": "answer", "status": 400, "code": "REMOTE.INPUT_INVALID"}, "failed"),
    ({"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}, "failed"),
    ({"kind": "answer", "status": 400, "code": "ATS.APPLICATION_ALREADY_EXISTS"}, "failed"),
    ({"kind": "answer", "status": 422, "code": None}, "failed"),
    ({"kind": "answer", "status": 404, "code": "PLATFORM.INTEGRATION_NOT_FOUND"}, "blocked"),
    *(
        ({"kind": "answer", "status": 400, "code": f"INTEGRATION.{code}"}, "blocked")
        for code in (
            "PERMISSION_MISSING",
            "AUTHENTICATION_INVALID",
            "QA_FAILED",
            "SETUP_SYNC_PENDING",
            "SETUP_INCOMPLETE",
            "INACTIVE",
            "MODEL_NOT_AVAILABLE",
            "MODEL_DISABLED",
            "ACTION_NOT_AVAILABLE",
            "ACTION_DISABLED",
        )
    ),
    ({"kind": "answer", "status": 504, "code": "PLATFORM.TASK_TIMED_OUT"}, "unknown"),
    ({"kind": "answer", "status": 500, "code": "PLATFORM.UNKNOWN_ERROR"}, "unknown"),
    ({"kind": "answer", "status": 500, "code": "REMOTE.UNKNOWN_HTTP_ERROR"}, "unknown"),
    ({"kind": "answer", "status": 400, "code": "REMOTE.NEVER_HEARD_OF"}, "unknown"),
    ({"kind": "answer", "status": 400, "code": "ATS.NEVER_HEARD_OF"}, "unknown"),
    ({"kind": "answer", "status": 500, "code": None}, "unknown"),
    ({"kind": "raw", "status": 503, "body": "<html>No server is available</html>"}, "retryable"),
    ({"kind": "raw", "status": 503, "body": "reset reason: connection termination"}, "unknown"),
    *(
        ({"kind": "raw", "status": status, "body": "<html>Bad Gateway</html>"}, "unknown")
        for status in (500, 502, 504)
    ),
    ({"kind": "reset"}, "unknown"),
    ({"kind": "close"}, "unknown"),
    ({"kind": "hang"}, "unknown"),
]


def created(standin):
    """Count how often each link was made, by its URL."""
    return Counter({link["url"]: link["count"] for link in standin.links()})


@pytest.mark.parametrize("effect", ["none", "created"])
def test_every_response_gives_its_status(
    warehouse, tables, source_table, standin, monkeypatch, effect
):
    """Each row gets the status proven by the response, with and without a created link."""
    connect(monkeypatch, standin.url, timeout=0.5)
    rows = [row(f"r{place:02}", integration_id=f"ats:{place}") for place in range(len(RESPONSES))]
    fill(warehouse, source_table, rows)
    for one, (outcome, _) in zip(rows, RESPONSES, strict=True):
        standin.add_rule(outcome, effect=effect, integration_id=one["integration_id"])
    report = run_day(warehouse, tables, settings=Settings(first_retry=0.01, max_tries=2))
    ended = by_result(warehouse, tables)
    ended_as = {one["result_id"]: ended[one["result_id"]].status for one in rows}
    assert ended_as == {
        one["result_id"]: status for one, (_, status) in zip(rows, RESPONSES, strict=True)
    }
    assert report.counts["unknown"] == sum(status == "unknown" for _, status in RESPONSES)
    assert ended["r01"].warnings == ["The label was cut"]


def test_two_thousand_rows_and_the_servers_own_count(warehouse, tables, source_table, standin):
    """The rows called delivered are exactly the links created by the server, each once."""
    integrations = [f"workday:{number}" for number in range(6)]
    rows = [row(f"r{number:04}", integration_id=integrations[number % 6]) for number in range(2000)]
    expected = {}
    hostile = [
        ({"candidate_id": None}, "invalid"),
        ({"candidate_id": ".."}, "invalid"),
        ({"candidate_id": "a\nb"}, "invalid"),
        ({"candidate_id": "x/y z?"}, "success"),
        ({"integration_id": None}, "invalid"),
        ({"result_url": "javascript:alert(1)"}, "invalid"),
        ({"result_url": "https://results.example/r0000"}, "success"),  # of another candidate
        ({"assessment_name": "  "}, "invalid"),
        ({"assessment_name": "é" * 5000}, "success"),
        ({"remote_fields": "{"}, "invalid"),
        ({"remote_fields": '{"new_ats": {"a": null}}'}, "success"),
        ({"score": float("inf")}, "invalid"),
        ({"score": None, "max_score": None}, "success"),
        ({"max_score": 0.0}, "invalid"),
    ]
    hostile = [one for one in hostile if can_store(warehouse, one[0])]
    for place, (changes, status) in enumerate(hostile * 10):
        rows[place * 7] |= changes
        expected[f"r{place * 7:04}"] = status
    rows[1] |= {"candidate_id": rows[13]["candidate_id"], "result_url": rows[13]["result_url"]}
    rows[1] |= {"integration_id": rows[13]["integration_id"]}
    for place, code in [(1502, "ATS.JOB_CLOSED"), (1508, "PLATFORM.UNKNOWN_ERROR")]:
        response = {"kind": "answer", "status": 500, "code": code}
        standin.add_rule(response, url=rows[place]["result_url"])
    fill(warehouse, source_table, rows)
    report = run_day(warehouse, tables)
    links = by_result(warehouse, tables)
    assert {name: links[name].status for name in expected} == expected
    assert links["r1502"].status == "failed"
    assert links["r1508"].status == "unknown"
    assert {links["r0001"].status, links["r0013"].status} == {"success", "invalid"}
    urls = {one["result_id"]: one["result_url"] for one in rows}
    delivered = {
        (link.integration_id, link.target_type, link.target_id, urls[link.result_id]): 1
        for link in links.values()
        if link.status == "success"
    }
    assert delivered == {
        (made["integration_id"], made["target_type"], made["target_id"], made["url"]): made["count"]
        for made in standin.links()
    }
    assert report.planned == 2000 == len(links)
    assert report.counts == statuses(warehouse, tables)


def test_a_second_run_posts_nothing(warehouse, tables, source_table, standin):
    """A delivered day is not sent again."""
    fill(warehouse, source_table, [row(f"r{number}") for number in range(40)])
    run_day(warehouse, tables)
    again = run_day(warehouse, tables)
    assert standin.stats()["received"] == 40
    assert again.planned == 0


def test_two_runs_of_one_day_at_once(warehouse, tables, source_table, standin):
    """Two runs over the same rows at the same time send each row once."""
    standin.set_latency((0.005, 0.02))
    fill(warehouse, source_table, [row(f"r{number}") for number in range(120)])
    with ThreadPoolExecutor(2) as threads:
        reports = list(threads.map(lambda _: run_day(warehouse, tables), range(2)))
    assert set(created(standin).values()) == {1}
    assert len(created(standin)) == 120
    assert sum(report.counts["success"] for report in reports) == 120


def test_a_blocked_integration_is_not_hammered(warehouse, tables, source_table, standin):
    """One blocking response makes the integration's rows `blocked`; others are sent."""
    response = {"kind": "answer", "status": 403, "code": "INTEGRATION.PERMISSION_MISSING"}
    standin.add_rule(response, integration_id="lever:two")
    rows = [row(f"r{n:03}", integration_id=["lever:two", "workday:one"][n % 2]) for n in range(200)]
    fill(warehouse, source_table, rows)
    report = run_day(warehouse, tables)
    assert report.senders["lever:two"] == {"blocked": 100}
    assert report.senders["workday:one"] == {"success": 100}
    assert standin.stats()["received"] < 110
    standin.clear_rules()
    assert run_day(warehouse, tables).counts == {"success": 100}


def test_a_blocked_integration_has_kombos_sentence_in_every_row(
    warehouse, tables, source_table, standin
):
    """Unsent rows have Kombo's sentence, without a word of the row that was sent."""
    message = "Grant c-0 (Ada@Example.com) the scope results:write in the ATS."
    response = {"kind": "answer", "status": 403, "code": "INTEGRATION.PERMISSION_MISSING"}
    standin.add_rule({**response, "message": message}, integration_id="lever:two")
    rows = [row(f"r{n}", integration_id="lever:two", candidate_id="c-0") for n in range(100)]
    fill(warehouse, source_table, rows)
    report = run_day(warehouse, tables)
    links = by_result(warehouse, tables).values()
    sent = [link for link in links if link.http_status]
    assert {link.error_message for link in sent} == {message}
    assert {link.error_message for link in links if link not in sent} == {
        "Grant *** (***) the scope results:write in the ATS."
    }
    assert 0 < len(sent) < 40
    (causes,) = report.causes.values()
    assert {(cause.status, cause.error_code) for cause in causes} == {
        ("blocked", "INTEGRATION.PERMISSION_MISSING")
    }
    assert causes.total() == 100


@pytest.mark.parametrize(
    ("outcome", "ended"),
    [
        ({"kind": "close"}, "unknown"),
        ({"kind": "answer", "status": 500, "code": None}, "unknown"),
    ],
)
def test_an_integration_that_keeps_failing_is_given_up(
    warehouse, tables, source_table, standin, outcome, ended
):
    """A failing integration is paused, probed and given up; its other rows are `retryable`."""
    standin.add_rule(outcome, integration_id="lever:two")
    rows = [row(f"r{n:03}", integration_id=["lever:two", "workday:one"][n % 2]) for n in range(200)]
    fill(warehouse, source_table, rows)
    report = run_day(warehouse, tables, settings=Settings(cool_down=0.05))
    assert report.senders["workday:one"] == {"success": 100}
    failing = report.senders["lever:two"]
    assert failing[ended] <= 5 + 5 + 1  # what opened the breaker, what was out then, the probe
    assert failing["retryable"] == 100 - failing[ended]
    reasons = {one.error_code for one in by_result(warehouse, tables).values()}
    assert "integration_failing" in reasons


def test_an_integration_that_recovers_goes_on(warehouse, tables, source_table, standin):
    """After a successful probe the integration's other rows are sent in the same run."""
    standin.add_rule({"kind": "close"}, times=5)
    fill(warehouse, source_table, [row(f"r{number}") for number in range(60)])
    report = run_day(warehouse, tables, settings=Settings(cool_down=0.05))
    assert report.counts == {"success": 55, "unknown": 5}


def test_a_key_that_is_refused_in_the_middle_stops_the_run(
    warehouse, tables, source_table, standin, monkeypatch
):
    """A key refused during the run stops the run; the next run sends the rows."""
    refused = {"kind": "answer", "status": 401, "code": "PLATFORM.AUTHENTICATION_INVALID"}
    standin.add_rule(refused)
    fill(warehouse, source_table, [row(f"r{n}", integration_id=f"ats:{n % 3}") for n in range(90)])
    with pytest.raises(ConfigurationError, match="refuses this key"):
        run_day(warehouse, tables)
    assert statuses(warehouse, tables) == {"retryable": 90}
    assert standin.stats()["received"] < 20
    (run,) = all_of(warehouse, tables.runs)
    assert (run.planned, run.retryable) == (90, 90)
    assert "refuses this key" in run.error
    standin.clear_rules()
    assert run_day(warehouse, tables).counts == {"success": 90}


def test_only_what_surely_was_not_created_is_sent_again(warehouse, tables, source_table, standin):
    """A row is sent again if nothing was created; each try is in the history."""
    fill(warehouse, source_table, [row("r1")])
    response = {"kind": "answer", "status": 503, "code": "REMOTE.SERVICE_UNAVAILABLE"}
    standin.add_rule(response, times=2)
    run_day(warehouse, tables)
    attempts = sorted(all_of(warehouse, tables.attempts), key=lambda one: one.attempt)
    assert [one.status for one in attempts] == ["retryable", "retryable", "success"]
    assert by_result(warehouse, tables)["r1"].attempts == 3


def test_tries_are_bounded(warehouse, tables, source_table, standin):
    """A row without tries left is `retryable`, for the next run."""
    fill(warehouse, source_table, [row("r1")])
    response = {"kind": "answer", "status": 503, "code": "REMOTE.SERVICE_UNAVAILABLE"}
    standin.add_rule(response)
    run_day(warehouse, tables, settings=Settings(first_retry=0.01, max_tries=3))
    link = by_result(warehouse, tables)["r1"]
    assert (link.status, link.attempts) == ("retryable", 3)
    assert link.error_code == "REMOTE.SERVICE_UNAVAILABLE"


def test_a_limit_costs_no_try(warehouse, tables, source_table, standin):
    """Rows refused by a limit wait and are delivered, without using up tries."""
    standin.set_limits(rate=5, window=1, retry_after=True)
    fill(warehouse, source_table, [row(f"r{number}") for number in range(12)])
    report = run_day(warehouse, tables, settings=Settings(max_tries=1))
    assert report.counts == {"success": 12}


def test_concurrency_follows_the_responses(warehouse, tables, source_table, standin):
    """A run alone uses all slots of the limit in the responses, and none beyond."""
    standin.set_limits(concurrency=9)
    standin.set_latency((0.02, 0.05))
    fill(warehouse, source_table, [row(f"r{number}") for number in range(120)])
    run_day(warehouse, tables)
    assert standin.stats()["max_in_flight"] == {"workday:one": 9}
    assert standin.stats()["refused_429"] == 0


def test_a_failed_row_goes_again_when_it_was_mended(warehouse, tables, source_table, standin):
    """A refused row is sent again only after a change of its content."""
    fill(warehouse, source_table, [row("r1")])
    standin.add_rule({"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}, times=1)
    run_day(warehouse, tables)
    assert run_day(warehouse, tables).counts == {"skipped": 1}
    with warehouse.begin() as connection:
        connection.execute(update(source_table).values(assessment_name="Mended"))
    assert run_day(warehouse, tables).counts == {"success": 1}


def test_a_silent_run_of_the_day_is_waited_for_last(warehouse, tables, source_table, standin):
    """A run sends its own rows first, waits for a silent run of its day, and counts its rows."""
    fill(warehouse, source_table, [row("r1"), row("r2")])
    Runs(warehouse, tables).start(Run("dead"))
    Ledger(warehouse, tables).claim("dead", [delivery("r1", target_id="candidate-r1")])
    report = run_day(warehouse, tables, dead_after=1.0, settings=Settings(heartbeat=0.2))
    assert report.counts == {"success": 1, "unknown": 1}
    assert report.planned == 2
    assert by_result(warehouse, tables)["r1"].status == "unknown"
    assert len(created(standin)) == 1


def test_a_living_runs_rows_are_not_touched(warehouse, tables, source_table, standin):
    """A living run keeps its rows, and no other run waits for its end."""
    standin.set_latency((1.5, 1.5), by_integration={"lever:fast": (0, 0)})
    fill(warehouse, source_table, [row("r1"), row("r2", integration_id="lever:fast")])
    settings = Settings(heartbeat=0.1)

    async def both():
        slow = await make_run(warehouse, tables, settings=settings, dead_after=1.0)()
        sending = asyncio.create_task(slow.deliver())
        await until_received(standin)
        fast = await make_run(warehouse, tables, settings=settings, dead_after=1.0)()
        return await fast.deliver(), await sending

    fast, slow = asyncio.run(both())
    assert fast.settled == {}
    assert slow.counts["success"] + fast.counts["success"] == 2
    assert by_result(warehouse, tables)["r1"].status == "success"


def test_a_run_that_is_stopped(warehouse, tables, source_table, standin):
    """After a stop, calls in flight are recorded, claims go back, and other rows stay unsent."""
    standin.set_latency((0.2, 0.2))
    fill(warehouse, source_table, [row(f"r{number:02}") for number in range(60)])

    async def stopped():
        run = await make_run(warehouse, tables)()
        sending = asyncio.create_task(run.deliver())
        await until_received(standin)
        run.stop("The task was ended_as to end.")
        with pytest.raises(RunStoppedError):
            await sending
        return run.report

    report = asyncio.run(stopped())
    ended_as = statuses(warehouse, tables)
    assert ended_as["success"] == standin.stats()["created"] > 0
    assert ended_as["sending"] == ended_as["unknown"] == 0
    assert report.counts["success"] == ended_as["success"]
    assert report.counts["retryable"] == 60 - ended_as["success"]
    assert run_day(warehouse, tables).counts == {"success": 60 - ended_as["success"]}
    assert set(created(standin).values()) == {1}


def test_what_does_not_end_in_time_is_in_doubt(warehouse, tables, source_table, standin):
    """A request in flight at the end of the drain is recorded as `unknown`."""
    standin.add_rule({"kind": "hang"}, effect="created")
    fill(warehouse, source_table, [row("r1")])

    async def stopped():
        run = await make_run(warehouse, tables, settings=Settings(drain=0.1))()
        sending = asyncio.create_task(run.deliver())
        await until_received(standin)
        run.stop("The task was ended_as to end.")
        with pytest.raises(RunStoppedError):
            await sending

    asyncio.run(stopped())
    assert by_result(warehouse, tables)["r1"].status == "unknown"


def test_what_could_not_be_recorded_is_counted_as_in_doubt(
    warehouse, tables, source_table, standin
):
    """A response not written to the ledger counts as `unknown`."""
    standin.set_latency((0.2, 0.2))
    fill(warehouse, source_table, [row("r1")])

    async def stopped():
        run = await make_run(warehouse, tables, settings=Settings(drain=0.5))()
        sending = asyncio.create_task(run.deliver())
        await until_received(standin)
        with warehouse.begin() as connection:
            connection.execute(text("ALTER TABLE kombo_result_link_attempts RENAME TO gone"))
        run.stop("The task was ended_as to end.")
        with pytest.raises(RunStoppedError):
            await sending
        return run.report

    assert asyncio.run(stopped()).counts == {"unknown": 1}
    assert by_result(warehouse, tables)["r1"].status == "sending"
    assert len(created(standin)) == 1


def test_what_cannot_be_recorded_is_not_sent(warehouse, tables, source_table, standin):
    """A failing ledger stops the run before anything is sent."""
    fill(warehouse, source_table, [row(f"r{number}") for number in range(60)])
    with warehouse.begin() as connection:
        connection.execute(text("ALTER TABLE kombo_result_link_attempts RENAME TO gone"))
    with pytest.raises(LedgerError, match="could not claim rows"):
        run_day(warehouse, tables)
    assert standin.stats()["received"] == 0


@pytest.fixture
def unconfirmed_commits(warehouse):
    """Lose the confirmations of the COMMITs of some claims, by number.

    Each has a function that is called before.
    """
    unconfirmed, claims = {}, itertools.count(1)
    thread = threading.local()  # another one may record outcomes meanwhile

    @event.listens_for(warehouse, "before_cursor_execute")
    def record_claim(_connection, _cursor, statement, *_):
        if "INSERT INTO kombo_result_link_attempts" in statement:
            thread.is_claiming = True

    do_commit = warehouse.dialect.do_commit

    def commit_unconfirmed(connection):
        do_commit(connection)
        if getattr(thread, "is_claiming", False):
            thread.is_claiming = False
            if before := unconfirmed.get(next(claims)):
                before()
                raise warehouse.dialect.loaded_dbapi.OperationalError("the connection is gone")

    warehouse.dialect.do_commit = commit_unconfirmed
    return unconfirmed


def test_a_claim_whose_commit_was_not_confirmed_goes_back(
    warehouse, tables, source_table, standin, unconfirmed_commits
):
    """Claims with an unconfirmed COMMIT go back: their rows are not in doubt."""
    fill(warehouse, source_table, [row(f"r{number}") for number in range(20)])
    unconfirmed_commits[1] = lambda: None
    with pytest.raises(LedgerError, match="is gone"):
        run_day(warehouse, tables)
    # The first five slots of a sender, and a row ahead.
    assert statuses(warehouse, tables) == {"retryable": 6}
    assert all_of(warehouse, tables.attempts) == []
    assert run_day(warehouse, tables).counts == {"success": 20}
    assert standin.stats()["received"] == 20


def test_a_claim_that_failed_gives_nothing_back_that_is_on_the_wire(
    warehouse, tables, standin, unconfirmed_commits
):
    """A failed claim does not release a call in flight for the same row."""
    standin.add_rule({"kind": "reset"}, effect="created", delay=1, target_id="candidate-a")

    def first_is_sent():
        while not standin.stats()["received"]:
            pass

    unconfirmed_commits[2] = first_is_sent
    # Of a batch, the first by key goes first; the second batch begins with the same row.
    rows = [row("a"), *(row(f"r{number}") for number in range(5)), row("a"), row("last")]
    with pytest.raises(LedgerError, match="is gone"):
        run_day(warehouse, tables, source=TaskSource(rows))
    links = by_result(warehouse, tables)
    assert (links["a"].status, links["last"].status) == ("unknown", "retryable")


def test_a_key_that_appears_twice_is_sent_once(warehouse, tables, source_table, standin):
    """The first of several rows with one key is sent, and the others are counted as skipped."""
    fill(warehouse, source_table, [row("r1"), row("r1"), row("r1", assessment_name="Other")])
    report = run_day(warehouse, tables)
    assert report.counts == {"success": 1, "skipped": 2}
    assert standin.stats()["received"] == 1


def test_rows_of_an_upstream_task_are_delivered(warehouse, tables, standin):
    """Rows of an upstream task are delivered once, without a warehouse query."""
    rows = [row("a"), row("b", integration_id=None, completed_at="2026-11-03T10:00:00Z")]
    for counts in ({"success": 2}, {"skipped": 2}):
        source = TaskSource(rows)
        report = run_day(warehouse, tables, source=source, default="lever:two")
        assert report.counts == counts
