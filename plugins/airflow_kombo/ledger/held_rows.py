"""Write to the ledger without rows held by other open transactions.

A write is one transaction if it meets no held row. After a wait for a lock in vain, it is tried
again without the rows that are found to be held. If it still waits for a lock, a search by halves
finds the held row. Each half is a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, NamedTuple, TypeVar

from airflow_kombo.database.transactions import waiting_briefly
from airflow_kombo.delivery_key import Keyed, LinkKey
from airflow_kombo.exceptions import LedgerError, RowsHeldError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.fast_path import FastPath
from airflow_kombo.ledger.outcomes import (
    AttemptOutcome,
    Claim,
    ClaimResult,
    Claims,
    Held,
    RowOutcome,
    UnconfirmedClaimError,
    UnsentRow,
)
from airflow_kombo.ledger.row_locks import find_held

_BRIEF_SECONDS: Final = 60.0
"""Time after a held row in which every write waits for a lock only briefly at first."""
_SEARCH_SECONDS: Final = 5.0
"""Time of the search by halves. A part that still waits after it counts as held."""


_Item = TypeVar("_Item", bound=Keyed)


class _Placed(NamedTuple):
    """A request, and the place among the requests of a claim."""

    place: int
    request: RowRequest

    @property
    def key(self) -> LinkKey:
        return self.request.key


@dataclass(frozen=True)
class RecordedUnsent:
    """Rows left without their new outcome."""

    left: Sequence[LinkKey]
    """Keys of the rows that stay as they are."""
    left_out: Sequence[LinkKey]
    """Keys of the rows that a person has left out."""
    held: Sequence[LinkKey]
    """Keys of the rows that another transaction holds."""


class LockTolerantLedger:
    """A ledger for writes without held rows.

    A lock on a whole table, or on the run's own row, is no held row: it is a `LedgerError`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        brief = waiting_briefly(ledger.engine)
        self._brief = Ledger(brief, ledger.tables, ledger.redact, ledger.seen)
        self._fast, self._fast_and_brief = FastPath(self._ledger), FastPath(self._brief)
        self._brief_until = 0.0

    def claim(
        self,
        run_id: str,
        requests: Sequence[RowRequest],
        redeliver: Collection[str] = (),
        *,
        are_held: bool = False,
    ) -> Claims:
        """Claim rows as `Ledger.claim` does, except held ones.

        :param are_held: True if the rows were held a moment ago.
        :returns: One result for each request, in the order of the requests.
        :raises UnconfirmedClaimError: as `Ledger.claim`, with all claims that may exist.
        """
        fast = {} if are_held else self._claim_fast(run_id, requests)
        results: dict[int, ClaimResult] = {
            place: fast[one.key] for place, one in enumerate(requests) if one.key in fast
        }

        def write(ledger: Ledger, part: Sequence[_Placed]) -> None:
            claims = ledger.claim(run_id, [one.request for one in part], redeliver)
            results.update(zip((one.place for one in part), claims.results, strict=True))

        placed = [_Placed(place, one) for place, one in enumerate(requests) if place not in results]
        write_all = self._write_others if are_held else self._write
        try:
            held = write_all(placed, write, run_id) if placed else []
        except LedgerError as error:
            won = [one for one in results.values() if isinstance(one, Claim)]
            unconfirmed = error.claims if isinstance(error, UnconfirmedClaimError) else ()
            raise UnconfirmedClaimError(str(error), (*won, *unconfirmed)) from None
        results.update((one.place, Held(one.request)) for one in held)
        return Claims([results[place] for place in range(len(requests))])

    def record_unsent(self, run_id: str, rows: Sequence[UnsentRow]) -> RecordedUnsent:
        """Write outcomes as `Ledger.record_unsent` does, except those of held rows.

        :raises LedgerError: if nothing, or only a part, was written.
        """
        left: list[LinkKey] = []
        left_out: list[LinkKey] = []

        def write(ledger: Ledger, part: Sequence[UnsentRow]) -> None:
            unwritten = ledger.record_unsent(run_id, part)
            left.extend(unwritten.left)
            left_out.extend(unwritten.left_out)

        held = self._write(rows, write, run_id)
        return RecordedUnsent(left, left_out, [one.key for one in held])

    def record(self, outcomes: Sequence[AttemptOutcome]) -> list[AttemptOutcome]:
        """Write outcomes as `Ledger.record` does, and return those of held rows.

        The attempts of held rows get their outcomes too, so these are durable.

        :raises LedgerError: if not all outcomes were written.
        """
        try:
            late = self._fast_path.record(outcomes)
        except RowsHeldError:
            self._wait_briefly()
            late = list(outcomes)
        held = self._write(late, lambda ledger, part: ledger.record(part)) if late else []
        if held:
            self._brief.record_attempts(held)
        return held

    def record_again(self, outcomes: Sequence[AttemptOutcome]) -> list[AttemptOutcome]:
        """Write outcomes of rows held before, and return those of rows still held.

        :raises LedgerError: if not all outcomes were written.
        """
        return self._write_others(outcomes, lambda ledger, part: ledger.record(part))

    def release(self, claims: Sequence[Claim], outcome: RowOutcome) -> list[Claim]:
        """Release claims as `Ledger.release` does, and return those of held rows.

        The attempts of held rows get the outcome. The next run settles the rows by it.

        :param outcome: The outcome of attempts that were not made.
        :raises LedgerError: if not all claims were released.
        """
        held = self._write(claims, lambda ledger, part: ledger.release(part, outcome))
        if held:
            self._brief.record_attempts([AttemptOutcome(claim, outcome) for claim in held])
        return held

    def _claim_fast(self, run_id: str, requests: Sequence[RowRequest]) -> Mapping[LinkKey, Claim]:
        try:
            return self._fast_path.claim(run_id, requests)
        except RowsHeldError:
            self._wait_briefly()
            return {}

    @property
    def _fast_path(self) -> FastPath:
        return self._fast_and_brief if self._waits_briefly else self._fast

    @property
    def _waits_briefly(self) -> bool:
        return monotonic() < self._brief_until

    def _wait_briefly(self) -> None:
        self._brief_until = monotonic() + _BRIEF_SECONDS

    def _write(
        self,
        items: Sequence[_Item],
        write: Callable[[Ledger, Sequence[_Item]], None],
        run_id: str | None = None,
    ) -> list[_Item]:
        """Write all items in one transaction, or all except the held ones. Return the held ones.

        :param write: Writes some of the items in one transaction.
        :param run_id: The run that writes, if it has to be alive.
        """
        try:
            write(self._brief if self._waits_briefly else self._ledger, items)
        except RowsHeldError:
            self._wait_briefly()
        else:
            return []
        return self._write_others(items, write, run_id)

    def _write_others(
        self,
        items: Sequence[_Item],
        write: Callable[[Ledger, Sequence[_Item]], None],
        run_id: str | None = None,
    ) -> list[_Item]:
        """Write all items except the held ones, and return the held ones."""
        ledger = self._ledger
        found = find_held(ledger.engine, ledger.tables, (one.key for one in items), run_id)
        held = [one for one in items if one.key.result_id in found]
        parts = [[one for one in items if one.key.result_id not in found]]
        until = monotonic() + _SEARCH_SECONDS
        while parts:
            part = parts.pop()
            try:
                if part:
                    write(self._brief, part)
            except RowsHeldError:
                middle = len(part) // 2
                if middle and monotonic() < until:
                    parts += [part[middle:], part[:middle]]
                else:
                    held += part
        return held
