"""The fast path: usual rows are claimed and recorded in one statement each."""

from __future__ import annotations

from operator import itemgetter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import NullPool, create_engine, delete, event, text
from support.harness import all_of, by_result, delivery
from support.quick import examples

from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.fast_path import FastPath
from airflow_kombo.ledger.held_rows import LockTolerantLedger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome, UnsentRow
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.statuses import Status

pytestmark = pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)

SUCCESS = RowOutcome(Status.SUCCESS, http_status=200, warnings=("100 % too long", "it's \\ new"))
RETRYABLE = RowOutcome(Status.RETRYABLE, "REMOTE.SERVICE_UNAVAILABLE", http_status=503)
TIMES = {"first_sent_at", "updated_at", "claimed_at", "answered_at"}


@pytest.fixture(params=["psycopg", "psycopg2"])
def ledger(request, warehouse, tables):
    """Return a ledger with two runs, on each driver that has a fast path."""
    with warehouse.connect() as connection:
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    url = warehouse.url.set(drivername=f"postgresql+{request.param}")
    engine = prepare(create_engine(url, connect_args={"options": f"-c search_path={schema}"}))
    for run_id in ("run", "other"):
        Runs(engine, tables).start(Run(run_id))
    yield Ledger(engine, tables)
    engine.dispose()


@pytest.fixture
def fast(ledger):
    return FastPath(ledger)


def named(*names):
    return [delivery(name) for name in names]


def claimed(fast, *names):
    return {key.result_id for key in fast.claim("run", named(*names))}


def stored(ledger, table):
    """Return the rows of a table in order, without their times."""
    rows = all_of(ledger.engine, getattr(ledger.tables, table))
    shown = [
        {name: value for name, value in row._asdict().items() if name not in TIMES} for row in rows
    ]
    return sorted(shown, key=itemgetter("result_id"))


def test_new_rows_are_claimed_and_known_ones_are_left(ledger, fast):
    """A row that the ledger has is left to the ledger, whatever its status is."""
    ledger.record_unsent("other", [UnsentRow(one.key, None, RETRYABLE) for one in named("known")])
    assert claimed(fast, "a", "known", "b") == {"a", "b"}
    links = by_result(ledger.engine, ledger.tables)
    assert {name: link.status for name, link in links.items()} == {
        "a": "sending",
        "b": "sending",
        "known": "retryable",
    }
    assert claimed(fast, "a", "c") == {"c"}


def test_a_result_on_another_target_is_left(ledger, fast):
    """A result that the ledger has on another target is no new one."""
    ledger.claim("other", [delivery("a", target_id="elsewhere")])
    assert claimed(fast, "a") == set()


def test_a_link_of_another_result_is_left(ledger, fast):
    """The link of a target under another result id is left to the rules for duplicates."""
    ledger.claim("other", [delivery("first", target_id="one", url="https://results.example/1")])
    again = [delivery("second", target_id="one", url="https://results.example/1")]
    assert fast.claim("run", again) == {}


def test_results_and_links_that_come_twice_are_left(fast):
    """Of a group with two rows of one result, or of one link, neither is claimed."""
    twice = [
        delivery("a", target_id="one"),
        delivery("a", target_id="two"),
        delivery("b", target_id="three", url="https://results.example/1"),
        delivery("c", target_id="three", url="https://results.example/1"),
        delivery("d"),
    ]
    assert {key.result_id for key in fast.claim("run", twice)} == {"d"}


def test_a_dead_run_claims_nothing(ledger, fast):
    """A run that was declared dead gets no claim."""
    Runs(ledger.engine, ledger.tables, dead_after=0.0).settle(["run"])
    assert claimed(fast, "a") == set()
    assert all_of(ledger.engine, ledger.tables.links) == []


def test_outcomes_in_time_are_recorded_and_late_ones_are_left(ledger, fast):
    """The outcome of a row that was settled since is left, and changes nothing."""
    claims = fast.claim("run", named("a", "late"))
    Runs(ledger.engine, ledger.tables, dead_after=0.0).settle(["run"])
    ledger.record([AttemptOutcome(one, SUCCESS) for key, one in claims.items() if key[3] == "late"])
    outcomes = [AttemptOutcome(one, SUCCESS, 12) for one in claims.values()]
    left = fast.record(outcomes)
    assert [one.key.result_id for one in left] == ["late"]
    assert by_result(ledger.engine, ledger.tables)["a"].status == "success"


def test_an_outcome_that_depends_on_earlier_attempts_is_left(ledger, fast):
    """A later attempt that made no link is left, because earlier ones decide with it."""
    (first,) = fast.claim("run", named("a")).values()
    ledger.record([AttemptOutcome(first, RETRYABLE)])
    (again,) = ledger.claim("other", named("a")).won
    outcome = AttemptOutcome(again, RETRYABLE)
    assert fast.record([outcome]) == [outcome]


@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_the_tables_are_as_if_the_ledger_had_written_them(ledger, fast, data):
    """For any texts, the fast path leaves the same rows as the ledger does, but for the times."""
    texts = st.text(
        st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)),
        min_size=1,
        max_size=20,
    )
    requests = [
        delivery(result_id, target_id=data.draw(texts), body=data.draw(texts).encode())
        for result_id in data.draw(st.lists(texts, min_size=1, max_size=5, unique=True))
    ]
    outcome = RowOutcome(
        Status.SUCCESS, error_message=data.draw(texts), warnings=(data.draw(texts),)
    )
    written = []
    for path in (ledger, fast):
        with ledger.engine.begin() as connection:
            connection.execute(delete(ledger.tables.links))
            connection.execute(delete(ledger.tables.attempts))
        claims = path.claim("run", requests)
        won = claims.won if path is ledger else claims.values()
        assert len(won) == len(requests)
        path.record([AttemptOutcome(one, outcome, 7) for one in won])
        written.append((stored(ledger, "links"), stored(ledger, "attempts")))
    assert written[0] == written[1]


def test_a_group_is_two_messages_to_the_server(ledger, tmp_path):
    """A claim and a record are one message each, and one for the commit."""
    if ledger.engine.dialect.driver != "psycopg":
        pytest.skip("psycopg2 shows no messages; it sends one more, for the BEGIN")
    traced = tmp_path / "messages"
    tolerant = LockTolerantLedger(ledger)
    with traced.open("w") as file:

        @event.listens_for(ledger.engine, "checkout", insert=True)  # before a test of it
        def trace(connection, *_):
            connection.pgconn.trace(file.fileno())

        @event.listens_for(ledger.engine, "checkin")
        def end(connection, *_):
            connection.pgconn.untrace()

        claims = tolerant.claim("run", named(*(f"r{number}" for number in range(50))))
        tolerant.record([AttemptOutcome(one, SUCCESS) for one in claims.won])
    sent = [line for line in traced.read_text().splitlines() if "\tF\t" in line]
    assert len(claims.won) == 50
    assert ["COMMIT" in line for line in sent] == [False, True, False, True]


def test_a_lost_connection_costs_no_claim_before_its_commit(ledger):
    """A statement whose connection is lost has written nothing, so the ledger runs again."""
    tolerant = LockTolerantLedger(ledger)
    first = tolerant.claim("run", named("a")).won
    end_sessions_of(ledger.engine)
    assert [one.key.result_id for one in tolerant.claim("run", named("b")).won] == ["b"]
    end_sessions_of(ledger.engine)
    assert tolerant.record([AttemptOutcome(one, SUCCESS) for one in first]) == []
    links = by_result(ledger.engine, ledger.tables)
    assert {name: link.status for name, link in links.items()} == {"a": "success", "b": "sending"}


def end_sessions_of(engine):
    """End the session of each pooled connection, as a server that restarts does."""
    with engine.connect() as connection:
        session = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    assert engine.pool.checkedin() == 1
    owner = create_engine(engine.url, poolclass=NullPool)
    with owner.connect() as connection:
        ended = text("SELECT pg_terminate_backend(:session, 10000)")
        assert connection.execute(ended, {"session": session}).scalar_one()
