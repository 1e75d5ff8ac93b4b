"""Runs: heartbeats, dead runs and their rows."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update
from support.harness import all_of, by_result, delivery, silence

from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.statuses import Status


@pytest.fixture
def runs(warehouse, tables):
    runs = Runs(warehouse, tables, dead_after=60)
    for run_id in ("old", "new"):
        runs.start(Run(run_id, dag_id="dag", try_number=2))
    return runs


def unknown(settled):
    """Count the settled rows that became `unknown`."""
    return [row.status for row in settled].count("unknown")


def claimed(runs, run_id="old"):
    return Ledger(runs.engine, runs.tables).claim(run_id, [delivery()]).won[0]


def test_a_dead_runs_rows_become_unknown(runs):
    """The `sending` rows of a dead run become `unknown` with the reason, as do their attempts."""
    claimed(runs)
    silence(runs, "old", 61)
    assert runs.silent("new")["old"] == pytest.approx(61, abs=5)
    assert unknown(runs.settle(["old"])) == 1
    link = by_result(runs.engine, runs.tables)["r1"]
    (attempt,) = all_of(runs.engine, runs.tables.attempts)
    assert (link.status, link.error_code) == ("unknown", "run_died")
    assert (attempt.status, attempt.error_code) == ("unknown", "run_died")


def test_a_living_runs_rows_are_left_alone(runs):
    """A run with a recent heartbeat is not settled."""
    claimed(runs)
    silence(runs, "old", 50)
    assert runs.settle(["old"]) == []
    assert by_result(runs.engine, runs.tables)["r1"].status == "sending"


def test_a_heartbeat_ends_the_silence(runs):
    """A run is alive again after a new heartbeat."""
    claimed(runs)
    silence(runs, "old", 61)
    runs.beat("old")
    assert runs.settle(["old"]) == []


def test_a_run_that_was_declared_dead_cannot_go_on(runs):
    """A settled run can neither renew the heartbeat nor claim."""
    claimed(runs)
    silence(runs, "old", 61)
    runs.settle(["old"])
    with pytest.raises(LedgerError, match="declared dead"):
        runs.beat("old")
    with pytest.raises(LedgerError, match="declared dead"):
        claimed(runs)


def test_the_late_response_of_a_dead_run_is_recorded(runs):
    """A response of a run declared dead still settles the attempt."""
    claim = claimed(runs)
    silence(runs, "old", 61)
    runs.settle(["old"])
    ledger = Ledger(runs.engine, runs.tables)
    ledger.record([AttemptOutcome(claim, RowOutcome(Status.SUCCESS, http_status=200))])
    assert by_result(runs.engine, runs.tables)["r1"].status == "success"


def test_a_run_that_ended_with_rows_in_doubt_is_silent_for_ever(runs):
    """The `sending` rows of an ended run are settled without any wait."""
    claimed(runs)
    runs.finish("old", {"planned": 1}, "the ledger was gone")
    assert runs.silent("new") == {"old": float("inf")}
    assert unknown(runs.settle(["old"])) == 1


def claimed_and_dead(runs, rows=3):
    """Claim rows for a run, and make the run silent."""
    requests = [delivery(f"r{n}", target_id=f"c{n}") for n in range(rows)]
    Ledger(runs.engine, runs.tables).claim("old", requests)
    silence(runs, "old", 61)


def row_statuses(runs):
    """Return the statuses of each row and of the attempt."""
    attempts = {one.result_id: one.status for one in all_of(runs.engine, runs.tables.attempts)}
    links = by_result(runs.engine, runs.tables)
    return {name: (link.status, attempts[name]) for name, link in sorted(links.items())}


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
@pytest.mark.parametrize("held", ["links", "attempts"])
def test_a_row_that_somebody_holds_is_left_for_the_next_run(runs, held):
    """Free rows are settled now. A held row is settled later, with the attempt."""
    claimed_and_dead(runs)
    table = getattr(runs.tables, held)
    with runs.engine.begin() as somebody:
        somebody.execute(select(table).where(table.c.result_id == "r1").with_for_update())
        assert unknown(runs.settle(["old"])) == 2
        assert row_statuses(runs) == {
            "r0": ("unknown", "unknown"),
            "r1": ("sending", None),
            "r2": ("unknown", "unknown"),
        }
    assert runs.silent("new") == {"old": float("inf")}
    assert unknown(runs.settle(["old"])) == 1
    assert set(row_statuses(runs).values()) == {("unknown", "unknown")}


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_a_run_that_somebody_holds_is_left_for_the_next_run(runs):
    """A run with a held row of its own may be claiming, so nothing of it is settled."""
    claimed_and_dead(runs)
    table = runs.tables.runs
    with runs.engine.begin() as somebody:
        somebody.execute(select(table).where(table.c.run_id == "old").with_for_update())
        assert runs.settle(["old"]) == []
    assert unknown(runs.settle(["old"])) == 3


def test_an_attempt_whose_row_has_moved_on_is_settled_by_itself(runs):
    """A row changed by hand keeps the status, and the attempt becomes `unknown`."""
    claimed_and_dead(runs)
    links = runs.tables.links
    with runs.engine.begin() as connection:
        moved = update(links).where(links.c.result_id == "r1")
        connection.execute(moved.values(status="retryable"))
    assert unknown(runs.settle(["old"])) == 2
    assert row_statuses(runs)["r1"] == ("retryable", "unknown")


@pytest.mark.parametrize(
    ("earlier", "response", "status"),
    [
        ([], "success", "success"),
        ([], "failed", "failed"),
        ([], "retryable", "retryable"),
        ([], "unknown", "unknown"),
        (["retryable"], "success", "success"),
        (["success"], "retryable", "success"),
        (["unknown"], "retryable", "unknown"),
    ],
)
def test_a_row_whose_attempt_has_its_outcome_is_settled_by_it(runs, earlier, response, status):
    """Recorded attempts decide the outcome of their row when the row is settled."""
    ledger = Ledger(runs.engine, runs.tables)
    for before in earlier:
        (claim,) = ledger.claim("new", [delivery()], {"success", "unknown"}).won
        ledger.record([AttemptOutcome(claim, RowOutcome(Status(before)))])
    claims = ledger.claim("old", [delivery(), delivery("r2")], {"success", "unknown"}).won
    ledger.record_attempts([AttemptOutcome(claims[0], RowOutcome(Status(response), "CODE"))])
    runs.finish("old", {"planned": 2})
    settled = {row.key.result_id: row.status for row in runs.settle(["old"])}
    assert settled == {"r1": status, "r2": "unknown"}
    links = by_result(runs.engine, runs.tables)
    assert (links["r1"].status, links["r2"].status) == (status, "unknown")
    assert links["r2"].error_code == "run_died"
    assert links["r1"].error_code != "run_died"
    assert runs.silent("new") == {}


def test_a_run_without_sending_rows_is_not_settled(runs):
    """A run without `sending` rows is not looked at, dead or alive."""
    assert runs.silent("new") == {}


def test_a_run_has_its_counts(runs):
    """The runs table has the task, the counts and the end of every run."""
    runs.finish("old", {"planned": 3, "success": 2, "failed": 1}, None)
    (row,) = [row for row in all_of(runs.engine, runs.tables.runs) if row.run_id == "old"]
    assert (row.dag_id, row.try_number, row.planned, row.success, row.failed) == ("dag", 2, 3, 2, 1)
    assert row.ended_at >= row.started_at
