"""Plan of an action: the dag runs to start, their rows, and warnings.

The page starts no run. The browser of the person starts the runs of a plan through Airflow's API,
after a confirmation, so that permissions, checks and the audit log are Airflow's.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Annotated, Any, Final

from pydantic import AfterValidator
from sqlalchemy import select

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.decision_file import DecidedLine, lines_of_decisions
from airflow_kombo.ledger.ledger_rows import version_of
from airflow_kombo.statuses import MEANINGS, SENT_AGAIN, Link, Status
from airflow_kombo.web.actions import ACTIONS, PageAction, why_left
from airflow_kombo.web.database import Warehouse
from airflow_kombo.web.duration import seconds_to_send
from airflow_kombo.web.row_filter import OptionalText, RowFilter
from airflow_kombo.web.rows import Rows, batches
from airflow_kombo.web.shown_write import ShownWrite

MOST_DAYS: Final = 31
"""Days of a plan at most, each a dag run."""
MOST_IDS: Final = 1_000
"""Rows of one dag run at most."""
MOST_ROWS: Final = MOST_DAYS * MOST_IDS
"""Rows at most that a plan reads."""
_DIGITS: Final = 16
"""Digits of a plan's identity in the id of a dag run."""


def _known(name: str) -> str:
    if name not in ACTIONS:
        raise ValueError(f"must be one of {', '.join(ACTIONS)}")
    return name


class PlanFilter(RowFilter):
    """Rows of a plan: those of a filtered list, or one row by its key."""

    action: Annotated[str, AfterValidator(_known)]
    integration_id: OptionalText = None
    target_type: OptionalText = None
    target_id: OptionalText = None
    result_id: OptionalText = None

    @property
    def key(self) -> LinkKey | None:
        """The key of the one row; None for a list."""
        if not (self.target_type and self.target_id and self.result_id):
            return None
        return LinkKey(self.integration_id or "", self.target_type, self.target_id, self.result_id)

    @property
    def listed(self) -> dict[str, str]:
        """The conditions of the list, as parameters of an address."""
        names = RowFilter.model_fields
        return {name: value for name, value in self.conditions.items() if name in names}

    @property
    def may_repeat(self) -> bool:
        """True if the person chose delivered rows: one row, or the filter for them."""
        is_made = self.status is not None and MEANINGS[self.status].link is Link.MADE
        return self.key is not None or is_made


@dataclass(frozen=True)
class PlannedRun:
    """A dag run of a plan.

    :param dag_id: The dag; None if the page cannot know the dag.
    :param dag_run_id: The id, which two people with the same plan share.
    :param day: The day of the rows; None for rows without one, or for a file of decisions.
    :param conf: The configuration, without the reason of the person.
    :param result_ids: The results of the rows.
    """

    dag_id: str | None
    dag_run_id: str
    day: date | None
    conf: Mapping[str, Any]
    result_ids: Sequence[str]

    @property
    def json(self) -> str:
        """The configuration as a person reads it."""
        return json.dumps(self.conf, indent=2, ensure_ascii=False)

    @property
    def ids(self) -> str:
        """The results as the browser hands them on."""
        return json.dumps(list(self.result_ids))


@dataclass
class Plan:
    """A plan, and everything to know before the confirmation.

    :param left: Rows that match and are left as they are, by reason.
    :param is_too_large: True if the rows are more than one plan may have.
    :param seconds: The time of the runs; None if nobody knows.
    :param needs_reason: True if the confirmation asks for a reason.
    """

    action: PageAction
    runs: Sequence[PlannedRun] = ()
    left: Counter[str] = field(default_factory=Counter)
    is_too_large: bool = False
    rows: int = 0
    integrations: int = 0
    made: int = 0
    may_exist: int = 0
    seconds: float | None = None
    needs_reason: bool = True

    @property
    def minutes(self) -> int | None:
        """Minutes of the runs, at least 1; None if nobody knows."""
        return None if self.seconds is None else max(1, round(self.seconds / 60))


def plan_of(chosen: PlanFilter, warehouse: Warehouse, write: ShownWrite) -> Plan:
    """Plan an action on the rows of a filter.

    :raises LedgerError: if the warehouse cannot be read.
    """
    action = ACTIONS[chosen.action]
    plan, rows, read = Plan(action, needs_reason=not action.is_dry_run), list[Any](), 0
    for batch in _batches(chosen, warehouse):
        read += len(batch)
        if read > MOST_ROWS:
            plan.is_too_large = True
            return plan
        for row in batch:
            if why := why_left(action, row, may_repeat=chosen.may_repeat):
                plan.left[why] += 1
            else:
                rows.append(row)
    with warehouse.reading() as connection:
        dags = _dags(connection, warehouse, rows) if action.decision is None else {}
        plan.seconds = seconds_to_send(connection, warehouse.tables, len(rows))
    if action.decision:
        plan.seconds = None
    groups = _grouped(action, rows, dags, write)
    plan.is_too_large = len(groups) > MOST_DAYS or any(
        len(group) > MOST_IDS for group in groups.values()
    )
    if plan.is_too_large:
        return plan
    plan.rows, plan.integrations = len(rows), len({row.integration_id for row in rows})
    links = Counter(MEANINGS[Status(row.status)].link for row in rows)
    if action.sends:
        plan.made, plan.may_exist = links[Link.MADE], links[Link.MAY_EXIST]
    plan.runs = [
        _run(action, dag_id, day, group)
        for (dag_id, day), group in sorted(groups.items(), key=_order)
    ]
    return plan


def plan_of_file(lines: Sequence[DecidedLine], write: ShownWrite) -> PlannedRun:
    """Return the run of the deciding dag for a file of decisions."""
    text = lines_of_decisions(lines)
    return PlannedRun(
        dag_id=write.decision_dag_id,
        dag_run_id=f"page__file__{_identity(text)}",
        day=None,
        conf={"decisions": text},
        result_ids=[line.key.result_id for line in lines],
    )


def _batches(chosen: PlanFilter, warehouse: Warehouse) -> Iterator[Sequence[Any]]:
    """Yield the rows of a filter, each batch read in one transaction."""
    if chosen.key:
        with warehouse.reading() as connection:
            row = Rows(connection, warehouse.tables).one(chosen.key)
        yield [row] if row else []
    else:
        yield from batches(chosen, warehouse)


_Group = tuple[str | None, date | None]
"""Dag and day of a run."""


def _grouped(
    action: PageAction, rows: Sequence[Any], dags: Mapping[str, str | None], write: ShownWrite
) -> dict[_Group, list[Any]]:
    """Group rows by dag and day."""
    groups: defaultdict[_Group, list[Any]] = defaultdict(list)
    for row in rows:
        dag_id = write.decision_dag_id
        if action.decision is None:
            dag_id = dags.get(row.run_id) or write.delivery_dag_id
        groups[dag_id, row.assessment_date].append(row)
    return groups


def _order(item: tuple[_Group, Any]) -> tuple[str, date]:
    (dag_id, day), _ = item
    return dag_id or "", day or date.min


def _dags(connection: Any, warehouse: Warehouse, rows: Sequence[Any]) -> dict[str, str | None]:
    """Return the dags of the last runs of the rows."""
    runs, wanted = warehouse.tables.runs.c, sorted({row.run_id for row in rows})
    found: dict[str, str | None] = {}
    for start in range(0, len(wanted), MOST_IDS):
        query = select(runs.run_id, runs.dag_id)
        query = query.where(runs.run_id.in_(wanted[start : start + MOST_IDS]))
        found.update({run.run_id: run.dag_id for run in connection.execute(query)})
    return found


def _run(
    action: PageAction, dag_id: str | None, day: date | None, rows: Sequence[Any]
) -> PlannedRun:
    rows = sorted(rows, key=LinkKey.of)
    versions = [[*LinkKey.of(row), version_of(row), str(row.updated_at)] for row in rows]
    conf = _decisions(action, rows) if action.decision else _delivery(action, day, rows)
    return PlannedRun(
        dag_id=dag_id,
        dag_run_id=f"page__{action.name}__{day or 'no-day'}__{_identity(versions)}",
        day=day,
        conf=conf,
        result_ids=sorted({row.result_id for row in rows}),
    )


def _decisions(action: PageAction, rows: Sequence[Any]) -> dict[str, Any]:
    lines = (
        DecidedLine(0, LinkKey.of(row), row.attempts, action.decision, reason="")
        for row in rows
        if action.decision
    )
    return {"decisions": lines_of_decisions(lines)}


def _delivery(action: PageAction, day: date | None, rows: Sequence[Any]) -> dict[str, Any]:
    conf: dict[str, Any] = {
        "assessment_date": str(day),
        "result_ids": sorted({row.result_id for row in rows}),
    }
    if action.is_dry_run:
        return conf | {"dry_run": True}
    on_purpose = sorted({row.status for row in rows} - SENT_AGAIN)
    seen = {row.result_id: version_of(row) for row in rows}
    return conf | {"redeliver": on_purpose, "seen": seen} if on_purpose else conf


def _identity(plan: object) -> str:
    """Return the identity of a plan: the same for the same rows as long as they do not change."""
    return sha256(json.dumps(plan).encode()).hexdigest()[:_DIGITS]
