"""Outcome of an action: the rows as the tables have them now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Final
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Connection, func, select

from airflow_kombo.ledger.tables import Tables
from airflow_kombo.web.action_plan import MOST_DAYS, MOST_ROWS
from airflow_kombo.web.actions import ACTIONS, LEAVE_OUT, TAKE_BACK, PageAction
from airflow_kombo.web.database import Warehouse
from airflow_kombo.web.dry_runs import DryRunList, ShownDryRun
from airflow_kombo.web.lookups import left_out_at
from airflow_kombo.web.pagination import Id

_PART: Final = 1_000
"""Ids of one query."""


def _action(name: str) -> str:
    if name not in ACTIONS and name != "file":
        raise ValueError("must be an action")
    return name


class StartedRuns(BaseModel):
    """The runs of a plan after their end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Annotated[str, AfterValidator(_action)]
    dag_run_ids: Annotated[list[Id], Field(max_length=MOST_DAYS)]
    result_ids: Annotated[list[Id], Field(max_length=MOST_ROWS)]


class Sentence(BaseModel):
    """Sentence about rows after an action.

    :param address: The view with more about the rows; None if there is none.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    address: str | None = None


def sentences(started: StartedRuns, warehouse: Warehouse) -> list[Sentence]:
    """Describe the rows after an action.

    :raises LedgerError: if the warehouse cannot be read.
    """
    action = ACTIONS.get(started.action)
    with warehouse.reading() as connection:
        if action and action.is_dry_run:
            return list(_of_dry_runs(connection, warehouse.tables, started.dag_run_ids))
        texts = _of_rows(connection, warehouse.tables, started.result_ids, action)
        return [Sentence(text=text) for text in texts]


def _of_dry_runs(
    connection: Connection, tables: Tables, dag_run_ids: Sequence[str]
) -> Iterator[Sentence]:
    found = DryRunList(connection, tables).of_dag_runs(dag_run_ids)
    if not found:
        text = "The dry run shows no row: a later dry run of the day has taken its place."
        yield Sentence(text=text)
        return
    for dry_run in found:
        text = f"A run of {dry_run.first.run_date} would do this"
        address = f"dry-run?{urlencode({'run_id': dry_run.first.run_id})}"
        counts = _listed(dry_run.counts.most_common())
        yield Sentence(text=f"{text}: {counts}.", address=address)
    for text, rows in _messages(connection, tables, found).most_common(5):
        yield Sentence(text=f"{_rows(rows)}, {text}")


def _messages(
    connection: Connection, tables: Tables, dry_runs: Sequence[ShownDryRun]
) -> Counter[str]:
    """Count the rows of dry runs by action and reason."""
    preview, run_ids = tables.preview.c, [one.first.run_id for one in dry_runs]
    query = select(preview.action, preview.error_message, func.count())
    query = query.where(preview.run_id.in_(run_ids), preview.error_message.is_not(None))
    groups = connection.execute(query.group_by(preview.action, preview.error_message))
    return Counter({f"{action}: {message}": rows for action, message, rows in groups})


def _of_rows(
    connection: Connection, tables: Tables, result_ids: Sequence[str], action: PageAction | None
) -> Iterator[str]:
    links, is_out = tables.links.c, left_out_at(connection, tables)
    counts, left_out = Counter[str](), 0
    for start in range(0, len(result_ids), _PART):
        wanted: ColumnElement[bool] = links.result_id.in_(result_ids[start : start + _PART])
        flag = is_out.is_not(None).label("is_left_out")
        rows = select(links.status, flag).where(wanted).subquery()
        query = select(*rows.c).group_by(*rows.c)
        for group in connection.execute(query.add_columns(func.count().label("rows"))):
            counts[group.status] += group.rows
            left_out += group.rows if group.is_left_out else 0
    yield f"{_rows(counts.total())} now: {_listed(counts.most_common()) or 'none'}."
    if left_out or action in {LEAVE_OUT, TAKE_BACK}:
        yield f"{_rows(left_out)} of them left out."


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{rows:,} {name}" for name, rows in counts)
