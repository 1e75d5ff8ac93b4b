"""Write to the ledger without the rows that somebody else's open transaction holds.

A write is one transaction, as long as it meets no such row. One that has waited for a lock in vain
goes again without the rows that are found to be held. If it still waits for a lock, the held row is
found by halves. Each part is a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeVar

from airflow_kombo.database.transactions import waiting_briefly
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import LedgerError, RowsHeldError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import (
    AttemptOutcome,
    Claim,
    Claims,
    RowOutcome,
    UnconfirmedClaimError,
    UnsentRow,
)
from airflow_kombo.ledger.row_locks import find_held

Item = TypeVar("Item", RowRequest, UnsentRow, AttemptOutcome, Claim)

_BRIEF_SECONDS: Final = 60.0
"""How long, after a held row was met, every write waits for a lock only briefly at first."""
_SEARCH_SECONDS: Final = 5.0
"""How long held rows are searched for by halves; a part that waits then counts as held."""


@dataclass(frozen=True)
class RecordedUnsent:
    """What became of rows that were to be noted."""

    left: Sequence[LinkKey]
    """Rows that were left as they were."""
    held: Sequence[LinkKey]
    """Rows that somebody else's transaction holds: nothing was written of them."""


class LockTolerantLedger:
    """A ledger's writes, of which a held row costs that row only.

    A lock on a whole table, or on the run's own row, is no held row: it is a `LedgerError`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._brief = Ledger(waiting_briefly(ledger.engine), ledger.tables, ledger.redact)
        self._brief_until = 0.0

    def claim(
        self,
        run_id: str,
        deliveries: Sequence[RowRequest],
        redeliver: Collection[str] = (),
        *,
        are_held: bool = False,
    ) -> Claims:
        """Claim rows as `Ledger.claim` does, but for those that are held.

        :param are_held: Whether they were held a moment ago.
        :raises UnheardClaimError: as `Ledger.claim`, also with what was claimed before the failure.
        """
        parts: list[Claims] = []

        def write(ledger: Ledger, part: Sequence[RowRequest]) -> None:
            parts.append(ledger.claim(run_id, part, redeliver))

        try:
            if are_held:
                held = self._write_others(deliveries, write, run_id)
            else:
                held = self._write(deliveries, write, run_id)
        except LedgerError as error:
            won = [claim for part in parts for claim in part.won]
            unheard = error.claims if isinstance(error, UnconfirmedClaimError) else ()
            raise UnconfirmedClaimError(str(error), (*won, *unheard)) from None
        return Claims.together(parts, held)

    def record_unsent(self, run_id: str, rows: Sequence[UnsentRow]) -> RecordedUnsent:
        """Write the fate of rows as `Ledger.record_unsent` does, but for those that are held.

        :raises LedgerError: if nothing, or only a part, was written.
        """
        left: list[LinkKey] = []
        held = self._write(
            rows, lambda ledger, part: left.extend(ledger.record_unsent(run_id, part)), run_id
        )
        return RecordedUnsent(left, [one.key for one in held])

    def record(self, recorded: Sequence[AttemptOutcome]) -> list[AttemptOutcome]:
        """Write what became of claims as `Ledger.record` does; return those whose rows are held.

        Of these the attempts are written: what became of them is durable.

        :raises LedgerError: if not all of it was written.
        """
        held = self._write(recorded, lambda ledger, part: ledger.record(part))
        if held:
            self._brief.record_attempts(held)
        return held

    def record_again(self, recorded: Sequence[AttemptOutcome]) -> list[AttemptOutcome]:
        """Write what became of claims whose rows were held; return those whose rows still are.

        :raises LedgerError: if not all of it was written.
        """
        return self._write_others(recorded, lambda ledger, part: ledger.record(part))

    def release(self, claims: Sequence[Claim], outcome: RowOutcome) -> list[Claim]:
        """Give back claims as `Ledger.release` does; return those whose rows are held.

        The attempts of these get the outcome: they were not made, and the next run settles the
        rows by that.

        :raises LedgerError: if not all of it was written.
        """
        held = self._write(claims, lambda ledger, part: ledger.release(part, outcome))
        if held:
            self._brief.record_attempts([AttemptOutcome(claim, outcome) for claim in held])
        return held

    def _write(
        self,
        items: Sequence[Item],
        write: Callable[[Ledger, Sequence[Item]], None],
        run_id: str | None = None,
    ) -> list[Item]:
        """Write all items, or all but the held ones, and return these."""
        try:
            write(self._brief if monotonic() < self._brief_until else self._ledger, items)
        except RowsHeldError:
            self._brief_until = monotonic() + _BRIEF_SECONDS
        else:
            return []
        return self._write_others(items, write, run_id)

    def _write_others(
        self,
        items: Sequence[Item],
        write: Callable[[Ledger, Sequence[Item]], None],
        run_id: str | None = None,
    ) -> list[Item]:
        ledger = self._ledger
        seen = find_held(ledger.engine, ledger.tables, map(_key_of, items), run_id)
        held = [one for one in items if _key_of(one).result_id in seen]
        parts = [[one for one in items if _key_of(one).result_id not in seen]]
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


def _key_of(item: RowRequest | UnsentRow | AttemptOutcome | Claim) -> LinkKey:
    if isinstance(item, AttemptOutcome):
        item = item.claim
    return (item.delivery if isinstance(item, Claim) else item).key
