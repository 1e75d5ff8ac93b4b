"""The failure policy, applied to the account of a run."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from airflow_kombo.delivery.run_report import RunReport
from airflow_kombo.exceptions import (
    KomboError,
    PolicyError,
    TooFewDeliveredError,
    TooManyRefusedError,
)
from airflow_kombo.operators.failure_policy import Policy, written
from airflow_kombo.statuses import HELD, NOT_DELIVERED, PASSING, Status

log = logging.getLogger(__name__)

_CAUSES: Final = 3
"""Causes that a message names, the most frequent ones."""


@dataclass(frozen=True)
class Delivered:
    """Rows of a run's own day: those that were tried, and those that were delivered.

    Tried is each row that became a request: also a row that was refused, that was not reached, or
    that another transaction held. A row that was done before was not tried, nor was an `invalid`
    one.
    """

    tried: int
    delivered: int
    passing: int
    """Rows that another try may deliver."""

    @classmethod
    def by(cls, report: RunReport) -> Delivered:
        """Return the rows of a run."""
        own, held = report.day.own, report.counts[HELD]
        # A `sending` row of a run that has ended is counted as held.
        tried = _requests(own) - own[Status.SENDING] + held
        passing = held + sum(own[status] for status in PASSING)
        return cls(tried, own[Status.SUCCESS], passing)

    @classmethod
    def of_day(cls, report: RunReport) -> Delivered:
        """Return all rows of the task's day in the ledger, whichever run tried them."""
        counts = report.day.counts
        return cls(_requests(counts), counts[Status.SUCCESS], passing=0)

    def is_below(self, share: float) -> bool:
        """Return True if less than a share of the tried rows was delivered."""
        return bool(self.tried) and self.delivered / self.tried < share

    def may_reach(self, share: float) -> bool:
        """Return True if another try may deliver enough rows."""
        return (self.delivered + self.passing) / self.tried >= share


@dataclass(frozen=True)
class AppliedPolicy:
    """The failure policy of a task.

    :param fail_below: The least share of a day's tried rows to deliver.
    :param is_whole: Whether the run covers its whole day, and so has an asset event.
    :param where: The table and the run, for messages.
    """

    fail_on: Policy
    fail_below: float
    is_whole: bool
    where: str

    @contextmanager
    def after(self, report: RunReport) -> Iterator[None]:
        """Apply the policy after a block, also after one that failed.

        The next try skips the refused rows, so it could not apply the policy to them.

        :raises PolicyError: if the policy makes the task fail; it has the block's error, too.
        """
        try:
            yield
        except KomboError as error:
            try:
                self.apply(report)
            except PolicyError as failed:
                message = f"{failed} Also: {error}"
                raise type(failed)(message, lasting=failed.lasting) from None
            raise
        self.apply(report)

    def apply(self, report: RunReport) -> None:
        """Warn of rows without a delivery, and raise if the policy does not allow them.

        :raises TooManyRefusedError: if more rows ended with a status than allowed.
        :raises TooFewDeliveredError: if too few rows of the day were delivered.
        """
        counts = report.counts
        for status in NOT_DELIVERED:
            # Invalid and held rows are in the log already.
            if counts[status] and status not in {Status.INVALID, HELD}:
                log.warning("%d rows are %s; see %s", counts[status], status, self.where)
        reasons = self.fail_on.exceeded(counts, max(report.tried, report.rows_of_days))
        too_few = self._too_few(report)
        if reasons:
            reasons += [too_few] if too_few else []
            raise TooManyRefusedError(self._written("; ".join(reasons)))
        if too_few:
            lasting = not self._may_pass(report)
            raise TooFewDeliveredError(self._written(too_few), lasting=lasting)

    def apply_to_shard(self, report: RunReport) -> None:
        """Raise if another try of a shard may deliver enough of its rows.

        Everything else is decided when all shards of the day have ended.

        :raises TooFewDeliveredError: if too few rows were delivered, and the cause may pass.
        """
        too_few = self._too_few(report)
        if too_few and self._may_pass(report):
            raise TooFewDeliveredError(self._written(too_few), lasting=False)

    def _may_pass(self, report: RunReport) -> bool:
        rows = Delivered.by(report)
        return bool(rows.tried) and rows.may_reach(self.fail_below)

    def _too_few(self, report: RunReport) -> str | None:
        """Describe too few deliveries, with host and cause; None if there are enough.

        A run whose own rows failed is all right if the day is: somebody sent a few of its rows
        again. So is a run whose own rows were delivered: somebody mends a day step by step.
        """
        rows, day = Delivered.by(report), Delivered.of_day(report)
        if not rows.tried and day.tried == 0 and self._has_only_invalid_rows(report):
            invalid = report.day.own[Status.INVALID]
            return f"None of {invalid} rows of the day became a request{_causes(report)}"
        if not rows.is_below(self.fail_below) or not day.is_below(self.fail_below):
            return None
        return (
            f"{rows.delivered} of {rows.tried} rows of the day were delivered through"
            f" {report.host}, and at least {written(self.fail_below)} have to be{_causes(report)}"
        )

    def _has_only_invalid_rows(self, report: RunReport) -> bool:
        return bool(self.fail_below and self.is_whole and report.day.own[Status.INVALID])

    def _written(self, reasons: str) -> str:
        return f"{reasons}. All rows were tried; see {self.where}."


def _requests(counts: Counter[str]) -> int:
    return counts.total() - counts[Status.INVALID]


def _causes(report: RunReport) -> str:
    """Write the most frequent causes, with the numbers of rows of the day."""
    causes = Counter[str]()
    for (status, cause), rows in report.day.causes.items():
        if status != Status.INVALID:  # it was not tried
            causes[cause] += rows
    if not causes:
        causes = Counter({cause: rows for (_, cause), rows in report.day.causes.items()})
    named = ", ".join(f"{rows} {cause}" for cause, rows in causes.most_common(_CAUSES))
    return f": {named}" if named else ""
