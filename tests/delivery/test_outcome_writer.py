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
    """A ledger that fails as often as it is told to, and keeps what it was given."""

    def __init__(self, failures=0):
        self.failures = failures
        self.batches = []
        self.told = []

    async def write(self, batch):
        if self.failures:
            self.failures -= 1
            raise LedgerError("gone")
        self.batches.append(list(batch))
        await asyncio.sleep(0)


def record(ledger, rows=ROWS, give_up_after=60.0):
    async def run():
        recorder = OutcomeWriter(ledger.write, ledger.told.append, give_up_after=give_up_after)
        return await asyncio.gather(*map(recorder.record, rows), return_exceptions=True)

    return asyncio.run(run())


def test_what_comes_together_is_written_together():
    """Outcomes that come while another batch is being written share the next one."""
    ledger = Ledger()
    assert record(ledger) == [None] * 9
    assert [len(batch) for batch in ledger.batches] == [9]


def test_every_outcome_is_written_once():
    """Whenever outcomes come, each is in one batch when `record` returns."""
    ledger = Ledger()

    async def run():
        recorder = OutcomeWriter(ledger.write, ledger.told.append)

        async def later(turns, row):
            for _ in range(turns):
                await asyncio.sleep(0)
            await recorder.record(row)
            assert row in [one for batch in ledger.batches for one in batch]

        await asyncio.gather(*(later(turns, row) for turns, row in enumerate(ROWS)))

    asyncio.run(run())
    written = [one.claim.delivery.key for batch in ledger.batches for one in batch]
    assert sorted(written) == sorted(row.claim.delivery.key for row in ROWS)


def test_a_ledger_that_comes_back_is_told():
    """A failure stops the run at once, and the outcomes are written when the ledger is back."""
    ledger = Ledger(failures=1)
    assert record(ledger) == [None] * 9
    assert [str(error) for error in ledger.told] == ["gone"]
    assert sum(map(len, ledger.batches)) == 9


def test_a_ledger_that_stays_away_is_an_error():
    """When the time is over, everyone who waits hears that nothing was written."""
    ended = record(Ledger(failures=99), give_up_after=0.0)
    assert [type(error) for error in ended] == [LedgerError] * 9


def test_an_error_in_this_program_is_not_a_ledger_that_failed():
    """What is no error of the database is raised at once, and not tried again."""
    ledger = Ledger()
    ledger.write = None
    assert {type(error) for error in record(ledger)} == {TypeError}
    assert ledger.told == []


def test_an_outcome_is_written_though_nobody_waits_for_it():
    """Who asks for the second outcome finds the first one written, too."""
    ledger = Ledger()

    async def run():
        recorder = OutcomeWriter(ledger.write, ledger.told.append)
        recorder.record(ROWS[0])
        await asyncio.sleep(0)
        await recorder.record(ROWS[1])

    asyncio.run(run())
    assert [one for batch in ledger.batches for one in batch] == ROWS[:2]
