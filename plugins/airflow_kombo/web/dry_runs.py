"""Dry runs: the list, newest first, each with its rows by action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    func,
    inspect,
    literal,
    literal_column,
    null,
    or_,
    select,
)
from sqlalchemy.exc import NoSuchTableError

from airflow_kombo.database.sql import in_utc
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.web.pagination import Id, read_token, token_of
from airflow_kombo.web.row_filter import OptionalText
from airflow_kombo.web.runs import RunKey

PAGE_DRY_RUNS: Final = 10
"""Number of dry runs on one page of the list. The rows of all of them are counted."""
_TASK: Final = ("dag_id", "dag_run_id", "task_id", "map_index")


class DryRunPosition(BaseModel):
    """Position of a dry run in the list, as part of an address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    began: AwareDatetime
    run_id: Id

    @property
    def token(self) -> str:
        """Position as text for an address."""
        return token_of(self.began.isoformat(), self.run_id)

    @classmethod
    def read(cls, token: str) -> DryRunPosition:
        """Read the text of a position.

        :raises InvalidPositionError: if the text is not one that `token` made.
        """
        return read_token(token, lambda began, run_id: cls(began=began, run_id=run_id))


class DryRunListFilter(BaseModel):
    """Place in the list of dry runs.

    :param after: The position of the last dry run of the page before.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    after: OptionalText = None


@dataclass(frozen=True)
class ShownDryRun:
    """Dry run of one task, with its rows by action.

    :param first: The first row in the preview table, which has the task and the time.
    """

    first: Row[Any]
    counts: Counter[str]

    @property
    def key(self) -> RunKey:
        """Key of the dag run that made the dry run."""
        first = self.first
        if first.dag_run_id is None:
            return RunKey(run_id=first.run_id)
        return RunKey(dag_id=first.dag_id, dag_run_id=first.dag_run_id)

    @property
    def began_at(self) -> datetime:
        """Time of the first rows."""
        return in_utc(self.first.previewed_at)


@dataclass(frozen=True)
class DryRunPage:
    """Some dry runs of the list, newest first.

    :param after: The position to read the next page from; None if this page is the last.
    """

    dry_runs: Sequence[ShownDryRun]
    after: str | None


class DryRunList:
    """Dry runs in the preview table of one write.

    Each dry run numbers its rows from 0. So the rows with the number 0 are the dry runs, and they
    have a small index of their own.

    :param connection: A connection that reads the warehouse.
    :param tables: The tables of the write that is shown.
    """

    def __init__(self, connection: Connection, tables: Tables) -> None:
        self._connection = connection
        self._preview = tables.preview.c
        self._exists = _exists(connection, tables)

    def page(self, wanted: DryRunListFilter, size: int = PAGE_DRY_RUNS) -> DryRunPage:
        """Read a page.

        :param size: The most dry runs on the page.
        :raises InvalidPositionError: if the position in the address is not valid.
        """
        position = DryRunPosition.read(wanted.after) if wanted.after else None
        if not self._exists:
            return DryRunPage([], None)
        began, run_id = self._preview.previewed_at, self._preview.run_id
        query = self._first_rows().order_by(began.desc(), run_id.desc()).limit(size + 1)
        if position:
            moment = literal(position.began, began.type)
            same = and_(began == moment, run_id < position.run_id)
            query = query.where(or_(began < moment, same))
        found = self._shown(query)
        after = None
        if len(found) > size:
            last = found[size - 1]
            after = DryRunPosition(began=last.began_at, run_id=last.first.run_id).token
        return DryRunPage(found[:size], after)

    def one(self, run_id: str) -> ShownDryRun | None:
        """Return one dry run, or None if there is no such dry run."""
        found = self._of(self._preview.run_id == run_id)
        return found[0] if found else None

    def of_dag_runs(self, dag_run_ids: Collection[str]) -> list[ShownDryRun]:
        """Return the dry runs of some dag runs, in the order of their days."""
        found = self._of(self._preview.dag_run_id.in_(sorted(dag_run_ids)))
        return sorted(found, key=lambda one: str(one.first.run_date))

    def _of(self, condition: Any) -> list[ShownDryRun]:
        return self._shown(self._first_rows().where(condition)) if self._exists else []

    def _first_rows(self) -> Select[Any]:
        preview = self._preview
        columns = [preview[name] for name in ("run_id", *_TASK, "run_date", "previewed_at")]
        try_number = null().label("try_number")  # the table has none
        # A parameter in the place of the 0 would keep a database from the index for this number.
        is_first = preview.number == literal_column("0")
        return select(*columns, try_number).where(is_first)

    def _shown(self, query: Select[Any]) -> list[ShownDryRun]:
        first_rows = self._connection.execute(query).all()
        preview = self._preview
        counts: dict[str, Counter[str]] = {row.run_id: Counter() for row in first_rows}
        by_action = select(preview.run_id, preview.action, func.count())
        by_action = by_action.where(preview.run_id.in_(sorted(counts)))
        groups = self._connection.execute(by_action.group_by(preview.run_id, preview.action))
        for run_id, action, rows in groups:
            counts[run_id][action] = rows
        return [ShownDryRun(row, counts[row.run_id]) for row in first_rows]


def _exists(connection: Connection, tables: Tables) -> bool:
    """Return True if a dry run of this version has made the preview table."""
    preview = tables.preview
    try:
        columns = inspect(connection).get_columns(preview.name, preview.schema)
    except NoSuchTableError:
        return False
    return preview.c.action.name in {column["name"] for column in columns}
