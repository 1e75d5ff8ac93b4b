"""Look for the links of all rows in doubt, and write the evidence."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from airflow_kombo.exceptions import RowsHeldError
from airflow_kombo.ledger.doubtful_rows import Control, DoubtfulRow, DoubtfulRows, RowGroup
from airflow_kombo.ledger.evidence import Evidence, record_evidence
from airflow_kombo.ledger.unknown_rows import UnknownRowsFilter
from airflow_kombo.reconciliation.integration_reader import (
    Client,
    IntegrationReader,
    IntegrationUnreadableError,
    UnreadableError,
)
from airflow_kombo.reconciliation.look import look
from airflow_kombo.reconciliation.recipes import Recipe, Recipes
from airflow_kombo.reconciliation.rules import (
    FoundControl,
    evidence_of,
    executed_by,
    is_due,
)
from airflow_kombo.reconciliation.targets import Places, places_of
from airflow_kombo.reconciliation.url_search import Seen
from airflow_kombo.statuses import HELD

log = logging.getLogger(__name__)

_INTEGRATIONS_AT_ONCE: Final = 16
_CONTROLS_TRIED: Final = 3
"""Controls that are looked for at most, for the newest row in doubt and for the oldest one."""

NOT_DUE: Final = "not due"
NO_ADDRESS: Final = "no address"
NO_HISTORY: Final = "no history"
NO_RECIPE: Final = "no recipe"
UNDECIDED: Final = "undecided"
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True)
class Settings:
    """Settings of a reconciliation.

    :param by: The name of the dag, for the history.
    :param look_again: Whether to look for rows that were looked for a short time ago, too.
    :param dry_run: Whether to look, and write nothing.
    """

    by: str
    look_again: bool = False
    dry_run: bool = False


class Reconciliation:
    """One look for all rows in doubt that a filter chooses."""

    def __init__(
        self, rows: DoubtfulRows, recipes: Recipes, client: Client, settings: Settings
    ) -> None:
        self._rows = rows
        self._recipes = recipes
        self._client = client
        self._settings = settings
        self.counts: dict[str, Counter[str]] = {}
        """Rows by integration, and by what became of them."""

    async def run(self, choice: UnknownRowsFilter) -> Counter[str]:
        """Look for the rows, and return their numbers by what became of them.

        :raises ConfigurationError: if the API key or the address is wrong.
        :raises LedgerError: if the ledger fails. What was decided by then stays decided.
        """
        groups = await asyncio.to_thread(self._rows.groups)
        wanted = [one for one in groups if _is_wanted(one, choice)]
        by_integration = [list(own) for _, own in groupby(wanted, lambda one: one.integration_id)]
        readers = min(len(by_integration), _INTEGRATIONS_AT_ONCE)
        slots = asyncio.Semaphore(_INTEGRATIONS_AT_ONCE)

        async def of_integration(own: Sequence[RowGroup]) -> None:
            async with slots:
                await self._reconcile_integration(own, readers, choice)

        await _all(of_integration(own) for own in by_integration)
        return sum(self.counts.values(), Counter[str]())

    async def _reconcile_integration(
        self, groups: Sequence[RowGroup], readers: int, choice: UnknownRowsFilter
    ) -> None:
        integration_id = groups[0].integration_id
        counts = self.counts.setdefault(integration_id, Counter())
        reader = IntegrationReader(self._client, readers)
        for group in groups:
            recipe = self._recipes.of(*group)
            pages = self._rows.pages(group, choice)
            while (page := await asyncio.to_thread(next, pages, None)) is not None:
                counts += Counter({NO_HISTORY: page.unread})
                due = await self._due(page.rows, recipe, counts)
                if due and recipe:
                    step = _Step(self._rows, reader, group, recipe)
                    await self._look_for(step, due, counts)
        if reader.given_up:
            log.warning("%s cannot be read: %s", integration_id, reader.given_up)

    async def _due(
        self, page: Sequence[DoubtfulRow], recipe: Recipe | None, counts: Counter[str]
    ) -> list[DoubtfulRow]:
        """Return the rows to look for now, and count the others."""
        now = await asyncio.to_thread(self._rows.now)
        due = []
        for row in page:
            if recipe is None:
                counts[NO_RECIPE] += 1
            elif row.url is None:
                counts[NO_ADDRESS] += 1
            elif executed_by(row) > now or not (self._settings.look_again or is_due(row, now)):
                counts[NOT_DUE] += 1
            else:
                due.append(row)
        return due

    async def _look_for(
        self, step: _Step, rows: Sequence[DoubtfulRow], counts: Counter[str]
    ) -> None:
        """Look for rows of one page, write the evidence, and count the rows."""
        try:
            found = await step.look_for(rows)
        except IntegrationUnreadableError:
            found = []
        if unreadable := len(rows) - len(found):
            counts[UNREADABLE] += unreadable
        if found and not self._settings.dry_run:
            try:
                found = await self._record(found)
            except RowsHeldError as error:
                counts[HELD] += len(found)
                log.warning("%s: %s The next look tries again.", step.group.integration_id, error)
                return
        for one in found:
            counts[one.decision.value if one.decision else UNDECIDED] += 1
            log.info("%s: %s", one.row.key.result_id, one.text)

    async def _record(self, found: Sequence[Evidence]) -> list[Evidence]:
        rows, by = self._rows, self._settings.by
        return await asyncio.to_thread(record_evidence, rows.engine, rows.tables, found, by)


class _Step:
    """Looks for the rows of one page."""

    def __init__(
        self, rows: DoubtfulRows, reader: IntegrationReader, group: RowGroup, recipe: Recipe
    ) -> None:
        self.group = group
        self._rows = rows
        self._reader = reader
        self._recipe = recipe

    async def look_for(self, rows: Sequence[DoubtfulRow]) -> list[Evidence]:
        """Return the evidence for rows: first for a control, then for each of them.

        The order matters. What was read before the control was found may be older than a sync. A
        row that was not read, because the integration was given up, has none.

        :raises IntegrationUnreadableError: if no read of the integration brings anything.
        """
        control = await self._control(rows) if self._recipe.may_deny else None
        places = await self._places([row.key.target_id for row in rows])
        at = await asyncio.to_thread(self._rows.now)
        found = await _all(
            self._evidence(row, places[row.key.target_id], at, control) for row in rows
        )
        return [one for one in found if one]

    async def _evidence(
        self, row: DoubtfulRow, places: Places, at: datetime, control: FoundControl | None
    ) -> Evidence | None:
        try:
            seen = await self._look(places, row.url or "")
        except IntegrationUnreadableError:
            return None
        except UnreadableError as error:
            return Evidence(row, f"{self._recipe.name} cannot be read: {error}.")
        return evidence_of(row, seen, self._recipe, at, control)

    async def _control(self, rows: Sequence[DoubtfulRow]) -> FoundControl | None:
        """Find a link that was surely made after the last moment of as many rows as possible."""
        moments = sorted({executed_by(row) for row in rows})
        tried: list[Control] = []
        for moment in (moments[-1], moments[0]):
            controls = await asyncio.to_thread(self._rows.controls, self.group, moment)
            for control in [one for one in controls if one not in tried][:_CONTROLS_TRIED]:
                tried.append(control)
                at = await asyncio.to_thread(self._rows.now)
                if await self._is_found(control):
                    return FoundControl(control, at)
        return None

    async def _is_found(self, control: Control) -> bool:
        try:
            places = await self._places([control.key.target_id])
            seen = await self._look(places[control.key.target_id], control.url)
        except IntegrationUnreadableError:
            raise
        except UnreadableError:
            return False
        return seen is Seen.FOUND

    async def _places(self, target_ids: Iterable[str]) -> dict[str, Places]:
        return await places_of(self._reader, self.group, self._recipe, target_ids)

    async def _look(self, places: Places, url: str) -> Seen:
        return await look(self._reader, self.group.integration_id, self._recipe, places, url)


def _is_wanted(group: RowGroup, choice: UnknownRowsFilter) -> bool:
    return not choice.integration_ids or group.integration_id in choice.integration_ids


async def _all(coroutines: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Wait for all, and end the others when one fails."""
    tasks = [asyncio.create_task(one) for one in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
