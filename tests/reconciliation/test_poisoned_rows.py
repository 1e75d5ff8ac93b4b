"""Rows and answers that nobody expects: each costs itself, and no other row."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select
from support.doubt import (
    ACTIVITIES,
    DOCUMENTS,
    NOTES,
    deliver,
    leave_in_doubt,
    let_pass,
    recipes_of,
    reconcile,
)
from support.harness import by_result

from airflow_kombo.database.transactions import waiting_briefly
from airflow_kombo.kombo_api.reads import Read, ReadResult
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.reconciliation import integration_reader
from airflow_kombo.reconciliation.integration_reader import (
    IntegrationReader,
    IntegrationUnreadableError,
)

BROKEN = ReadResult(KomboResponse(500, {}, from_kombo=True, error_code="PLATFORM.UNKNOWN_ERROR"))
REFUSED = ReadResult(KomboResponse(400, {}, from_kombo=True, error_code="PLATFORM.INPUT_INVALID"))
GOOD = KomboResponse(200, {}, from_kombo=True, succeeded=True)


def answering(answer):
    """Return a wrapper of the client that answers some reads itself.

    :param answer: A function that returns the result of a read, or None for the stand-in's.
    """

    class Answering:
        def __init__(self, client):
            self._client = client

        async def read(self, read):
            return answer(read) or await self._client.read(read)

    return Answering


@pytest.fixture
def doubt(warehouse, tables, source_table, standin):
    """Leave rows in doubt, and let the time pass."""

    def leave(**options):
        leave_in_doubt(warehouse, tables, source_table, standin, **options)
        let_pass(warehouse, tables)

    return leave


@pytest.fixture
def status(warehouse, tables):
    return lambda result_id: by_result(warehouse, tables)[result_id].status


def test_rows_that_cannot_be_read_hold_no_other_row_back(
    warehouse, tables, doubt, standin, tmp_path, monkeypatch
):
    """Records that Kombo never reads are looked for more rarely, and the others meanwhile."""
    monkeypatch.setattr(integration_reader, "_COOL_DOWN_SECONDS", 0.05)
    standin.set_ats(default={"kept_as": "documents"})
    doubt(made=[f"bad{one}" for one in range(8)] + [f"good{one}" for one in range(8)])
    recipes = recipes_of(tmp_path, DOCUMENTS, source="inferred", when_absent=None)
    wrap = answering(lambda read: BROKEN if "candidate-bad" in read.path else None)
    for _ in range(6):
        reconcile(warehouse, tables, recipes, wrap=wrap)
    found = {name: row.status for name, row in by_result(warehouse, tables).items()}
    assert found == {name: "success" if "good" in name else "unknown" for name in found}


def test_an_id_that_kombo_refuses_hides_no_other_record(
    warehouse, tables, doubt, standin, status, tmp_path
):
    """Ids are asked for together; one that Kombo refuses leaves the others readable."""
    standin.set_ats(default={"kept_as": "activities"})
    doubt(made=["r1", "r2", "r3", "strange"])
    recipes = recipes_of(tmp_path, ACTIVITIES)
    wrap = answering(
        lambda read: REFUSED if "candidate-strange" in read.params.get("ids", "") else None
    )
    assert reconcile(warehouse, tables, recipes, wrap=wrap) == {"created": 3, "undecided": 1}
    assert status("strange") == "unknown"


def test_long_ids_are_asked_for_in_addresses_of_usual_length(
    warehouse, tables, doubt, standin, tmp_path
):
    """An address that is too long for a server hides the records of a whole page."""
    standin.set_ats(default={"kept_as": "activities"})
    doubt(made=["r1"])
    lengths = []
    for one in range(8):
        doubt(made=[f"long{one}"], candidate_id=f"{'ü' * 100}{one}")
    wrap = answering(lambda read: lengths.append(len(read.path_and_query)))
    assert reconcile(warehouse, tables, recipes_of(tmp_path, ACTIVITIES), wrap=wrap) == {
        "created": 9
    }
    assert max(lengths) < 4000


def test_a_target_without_a_record_denies_nothing(
    warehouse, tables, doubt, source_table, standin, status, tmp_path
):
    """Kombo's copy shows nothing of a target that it does not track, whatever the ATS has."""
    standin.set_ats(default={"kept_as": "notes"}, untracked_ids=["candidate-r1"])
    doubt(made=["r1"])
    deliver(warehouse, tables, source_table, "later")
    empty = ReadResult(GOOD, {"results": [], "next": None})
    wrap = answering(
        lambda read: empty if read.params.get("candidate_ids") == "candidate-r1" else None
    )
    recipes = recipes_of(tmp_path, NOTES)
    assert reconcile(warehouse, tables, recipes, wrap=wrap) == {"undecided": 1}
    assert status("r1") == "unknown"


def test_an_answer_that_is_nested_deeply_is_searched(
    warehouse, tables, doubt, standin, status, tmp_path
):
    """Foreign data may be nested more deeply than functions can be called."""
    standin.set_ats(default={"kept_as": "documents"})
    doubt(made=["r1", "r2"])
    entry = "https://results.example/r1"
    for _ in range(2000):
        entry = [entry]
    deep = ReadResult(GOOD, {"results": [{"data_url": entry}]})
    wrap = answering(lambda read: deep if "candidate-r1" in read.path else None)
    assert reconcile(warehouse, tables, recipes_of(tmp_path, DOCUMENTS), wrap=wrap) == {
        "created": 2
    }


@pytest.mark.parametrize("status_of_ats", ["x" * 100_000, ["secret"], {"a": 1}, None, 500, True])
def test_evidence_has_nothing_of_a_foreign_answer(
    warehouse, tables, doubt, standin, tmp_path, status_of_ats
):
    """An answer of another shape is named, and no part of it is kept."""
    standin.set_ats(default={"kept_as": "activities"})
    doubt(made=["r1"])
    foreign = ReadResult(GOOD, {"status": status_of_ats, "data": []})
    wrap = answering(lambda read: foreign if read.body else None)
    recipes = recipes_of(tmp_path, ACTIVITIES)
    assert reconcile(warehouse, tables, recipes, wrap=wrap) == {"undecided": 1}
    with warehouse.connect() as connection:
        (kept,) = connection.execute(tables.attempts.select()).all()
    assert len(kept.evidence) < 200
    assert "secret" not in kept.evidence


@pytest.mark.parametrize("stored", ["***", "[]", "null", '"https://x.example"', "{", '{"url": 1}'])
def test_a_request_that_somebody_has_masked_stops_no_other_row(
    warehouse, tables, doubt, standin, status, tmp_path, stored
):
    """A person may overwrite a stored request with anything."""
    standin.set_ats(default={"kept_as": "documents"})
    doubt(made=["r1", "r2"])
    attempts = tables.attempts
    with warehouse.begin() as connection:
        masked = attempts.update().where(attempts.c.result_id == "r1")
        connection.execute(masked.values(request=stored))
    counts = reconcile(warehouse, tables, recipes_of(tmp_path, DOCUMENTS))
    assert counts == {"no address": 1, "created": 1}


def test_a_value_that_may_repeat_proves_nothing(warehouse, tables, doubt, standin, tmp_path):
    """A write without `once` has no hash of its address: another row may have made the link."""
    standin.set_ats(default={"kept_as": "documents"})
    doubt(made=["r1"])
    with warehouse.begin() as connection:
        connection.execute(tables.links.update().values(url_hash=None))
    assert reconcile(warehouse, tables, recipes_of(tmp_path, DOCUMENTS)) == {"undecided": 1}


def test_an_earlier_attempt_without_its_request_may_have_made_the_link(
    warehouse, tables, source_table, doubt, standin, tmp_path
):
    """A link is no proof for a redelivery, if nobody knows the first attempt's address."""
    standin.set_ats(default={"kept_as": "documents"})
    doubt(made=["r1"])
    attempts = tables.attempts
    with warehouse.begin() as connection:
        (first,) = connection.execute(attempts.select()).all()
        again = {**first._mapping, "attempt": 2}
        connection.execute(attempts.update().values(request=None, status="success"))
        connection.execute(attempts.insert().values(again))
        connection.execute(tables.links.update().values(attempts=2))
    assert reconcile(warehouse, tables, recipes_of(tmp_path, DOCUMENTS)) == {"undecided": 1}


def test_a_slow_integration_is_left_in_time(monkeypatch):
    """Reads end with the time of the integration, and those that wait begin no more."""
    clock = [0.0]
    monkeypatch.setattr(integration_reader, "monotonic", lambda: clock[0])

    class Slow:
        async def read(self, _read):
            clock[0] += 100
            return ReadResult(GOOD, {})

    async def read_many():
        reader = IntegrationReader(Slow(), 1)
        reads = [reader.data_of(Read("workday:one", "/ats/notes")) for _ in range(40)]
        return await asyncio.gather(*reads, return_exceptions=True)

    found = asyncio.run(read_many())
    assert found.count({}) == 3
    assert sum(isinstance(one, IntegrationUnreadableError) for one in found) == 37


def test_limits_end_with_the_time_of_the_integration():
    """A storm of refusals holds one integration no longer than its time."""
    limited = KomboResponse(429, {"Retry-After": "3600"}, from_kombo=True)

    class Limited:
        async def read(self, _read):
            return ReadResult(limited)

    reader = IntegrationReader(Limited(), 1, seconds=0.3)
    with pytest.raises(IntegrationUnreadableError):
        asyncio.run(reader.data_of(Read("workday:one", "/ats/notes")))


def test_rows_without_a_history_are_counted(warehouse, tables, doubt, standin, tmp_path):
    """A row whose attempts were deleted is in a count of its own, and decides nothing."""
    standin.set_ats(default={"kept_as": "documents"})
    doubt(made=["r1", "r2"])
    with warehouse.begin() as connection:
        connection.execute(tables.attempts.delete().where(tables.attempts.c.result_id == "r1"))
    counts = reconcile(warehouse, tables, recipes_of(tmp_path, DOCUMENTS))
    assert counts == {"no history": 1, "created": 1}


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_a_held_row_holds_no_other_integration_back(warehouse, tables, doubt, standin, tmp_path):
    """Rows that an open transaction holds are counted, and the others are settled."""
    standin.set_ats(default={"kept_as": "documents"})
    doubt(made=["held"], integration_id="workday:a")
    doubt(made=["free"], integration_id="workday:b")
    links = tables.links
    with warehouse.begin() as somebody:
        somebody.execute(select(links).where(links.c.result_id == "held").with_for_update())
        counts = reconcile(
            waiting_briefly(warehouse), tables, recipes_of(tmp_path, DOCUMENTS), look_again=True
        )
    assert counts == {"held": 1, "created": 1}
    assert reconcile(warehouse, tables, recipes_of(tmp_path, DOCUMENTS)) == {"created": 1}
