"""Rows of one dry run: filters, pages, and each row's place in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from sqlalchemy import ColumnElement, Connection, Row, or_, select

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import Action
from airflow_kombo.web.pagination import Id
from airflow_kombo.web.row_filter import OptionalText, none_if_empty

PAGE_ROWS: Final = 50
"""Number of rows on one page."""
_COLUMNS: Final = (
    "number", *KEY, "assessment_date", "action", "status", "error_code", "error_message", "request",
)  # fmt: skip

EFFECTS: Final = {
    Action.SEND: "A run sends the row.",
    Action.DELIVERED: "Nothing: the row was delivered, and its request is the same.",
    Action.CHANGED: "Nothing: the row was delivered, and its request is another one now.",
    Action.REFUSED: "Nothing: the row was refused, and its request is the same.",
    Action.INVALID: "A run marks the row invalid: no request can be made of it.",
    Action.DUPLICATE: "A run marks the row invalid: another row has the same link.",
    Action.MOVED: "Nothing: the row was sent, or may have been sent, to another target.",
    Action.UNKNOWN: "Nothing: a person decides about the row.",
    Action.SENDING: "Nothing: another run sends the row.",
    Action.LEFT_OUT: "Nothing: a person has left the row out.",
}
"""Effect of a run on a row, by action."""
_Number = Annotated[int, Field(ge=-1, lt=2**31)]


class DryRunFilter(BaseModel):
    """Conditions for the rows of a dry run; a row has to meet all of them.

    :param run_id: The dry run.
    :param q: The id of a result, of a target or of an integration.
    :param after: The number of the last row of the page before.
    :param before: The number of the first row of the page after.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: Id
    action: Annotated[Action | None, BeforeValidator(none_if_empty)] = None
    integration: OptionalText = None
    q: OptionalText = None
    after: Annotated[_Number | None, BeforeValidator(none_if_empty)] = None
    before: Annotated[_Number | None, BeforeValidator(none_if_empty)] = None

    @property
    def conditions(self) -> dict[str, str]:
        """All conditions as parameters of an address, without the place in the list."""
        given = self.model_dump(mode="json", exclude={"after", "before"}, exclude_none=True)
        return {name: str(value) for name, value in given.items()}


@dataclass(frozen=True)
class PlannedRow:
    """Row of a dry run.

    :param known: The key of the result's row in the ledger; None for a result without a row.
    """

    row: Row[Any]
    known: LinkKey | None


@dataclass(frozen=True)
class PlannedPage:
    """Some rows of a dry run.

    :param before: The number to read the page before from; None if this page is the first.
    :param after: The number to read the next page from; None if this page is the last.
    """

    rows: Sequence[PlannedRow]
    before: int | None
    after: int | None


class DryRunRows:
    """Rows of dry runs in the preview table of one write.

    :param connection: A connection that reads the warehouse.
    :param tables: The tables of the write that is shown.
    """

    def __init__(self, connection: Connection, tables: Tables) -> None:
        self._connection = connection
        self._preview = tables.preview.c
        self._links = tables.links.c

    def page(self, wanted: DryRunFilter, size: int = PAGE_ROWS) -> PlannedPage:
        """Read a page, in the order of the rows' numbers.

        :param size: The most rows on the page.
        """
        number = self._preview.number
        backwards = wanted.before is not None and wanted.after is None
        query = select(*(self._preview[name] for name in _COLUMNS)).where(*self._where(wanted))
        if wanted.after is not None:
            query = query.where(number > wanted.after)
        elif wanted.before is not None:
            query = query.where(number < wanted.before)
        query = query.order_by(number.desc() if backwards else number).limit(size + 1)
        found = self._connection.execute(query).all()
        more, rows = len(found) > size, found[:size]
        if backwards:
            rows = rows[::-1]
        has_before, has_after = (more, True) if backwards else (wanted.after is not None, more)
        return PlannedPage(
            self._with_known(rows),
            before=rows[0].number if rows and has_before else None,
            after=rows[-1].number if rows and has_after else None,
        )

    def integrations(self, run_id: str) -> list[str]:
        """Return the integrations of a dry run's rows."""
        name = self._preview.integration_id
        query = select(name).where(self._preview.run_id == run_id).distinct().order_by(name)
        return list(self._connection.execute(query).scalars())

    def _where(self, wanted: DryRunFilter) -> list[ColumnElement[bool]]:
        preview = self._preview
        conditions = [preview.run_id == wanted.run_id]
        if wanted.action:
            conditions.append(preview.action == wanted.action.value)
        if wanted.integration:
            conditions.append(preview.integration_id == wanted.integration)
        if wanted.q:
            ids = (preview.result_id, preview.target_id, preview.integration_id)
            conditions.append(or_(*(one == wanted.q for one in ids)))
        return conditions

    def _with_known(self, rows: Sequence[Row[Any]]) -> list[PlannedRow]:
        """Return rows with the key of their result in the ledger, on the same target if it is."""
        wanted = {row.result_id for row in rows}
        query = select(*(self._links[name] for name in KEY))
        query = query.where(self._links.result_id.in_(sorted(wanted)))
        known = [LinkKey.of(row) for row in self._connection.execute(query)] if wanted else []
        own, by_result = set(known), {key.result_id: key for key in known}
        return [
            PlannedRow(row, key if key in own else by_result.get(row.result_id))
            for row in rows
            for key in [LinkKey.of(row)]
        ]
