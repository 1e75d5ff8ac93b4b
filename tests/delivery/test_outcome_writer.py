from __future__ import annotations

import asyncio

from support.harness import delivery

from airflow_kombo.delivery.outcome_writer import OutcomeWriter
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.outcomes import AttemptOutcome, Claim, RowOutcome
from airflow_kombo.statuses import Status

ROWS = [
    AttemptOutcome(Claim(delivery(f"r{number}"), "run", 1), RowOutcome(Status.SUCCESS))
    for number in range(9)
]


class Ledger:
    """Ledger with a number of failures, and a record of its batches."""

    def __init__(self, failures=0):
        self.failures = failures
        self.batches = []
        self.errors = []

    async def write(self, batch):
        if self.failures:
            self.failures -= 1
            raise LedgerError("gone")
        self.batches.append(list(batch))
        await asyncio.sleep(0)


def record(ledger, rows=ROWS, give_up_after=60.0):
    async def run():
        writer = OutcomeWriter(ledger.write, ledger.errors.append, give_up_after=give_up_after)
        return await asyncio.gather(*map(writer.record, rows), return_exceptions=True)

    return asyncio.run(run())


def test_what_comes_together_is_written_together():
    """Outcomes added during a write share the next write."""
    ledger = Ledger()
    assert record(ledger) == [None] * 9
    assert [len(batch) for batch in ledger.batches] == [9]


def test_every_outcome_is_written_once():
    """Each outcome is in one batch when `record` returns."""
    ledger = Ledger()

    async def run():
        writer = OutcomeWriter(ledger.write, ledger.errors.append)

        async def later(turns, row):
            for _ in range(turns):
                await asyncio.sleep(0)
            await writer.record(row)
            assert row in [one for batch in ledger.batches for one in batch]

        await asyncio.gather(*(later(turns, row) for turns, row in enumerate(ROWS)))

    asyncio.run(run())
    written = [one.claim.request.key for batch in ledger.batches for one in batch]
    assert sorted(written) == sorted(row.claim.request.key for row in ROWS)


def test_a_ledger_that_comes_back_is_written():
    """A failure stops the run at once, and the outcomes are written when the ledger is back."""
    ledger = Ledger(failures=1)
    assert record(ledger) == [None] * 9
    assert [str(error) for error in ledger.errors] == ["gone"]
    assert sum(map(len, ledger.batches)) == 9


def test_a_ledger_that_stays_away_is_an_error():
    """After the time limit, every caller gets the ledger's error."""
    ended = record(Ledger(failures=99), give_up_after=0.0)
    assert [type(error) for error in ended] == [LedgerError] * 9


def test_an_error_in_this_program_is_not_a_ledger_that_failed():
    """An error other than the ledger's is raised at once, without a retry."""
    ledger = Ledger()
    ledger.write = None
    assert {type(error) for error in record(ledger)} == {TypeError}
    assert ledger.errors == []


def test_an_outcome_is_written_though_nobody_waits_for_it():
    """An outcome is written even if no caller waits for the write."""
    ledger = Ledger()

    async def run():
        writer = OutcomeWriter(ledger.write, ledger.errors.append)
        writer.record(ROWS[0])
        await asyncio.sleep(0)
        await writer.record(ROWS[1])

    asyncio.run(run())
    assert [one for batch in ledger.batches for one in batch] == ROWS[:2]
