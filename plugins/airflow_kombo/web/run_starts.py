"""Starters of dag runs: the schedule, a backfill, another dag, or a person."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)

DagRunKey = tuple[str, str]
"""Ids of a dag and of a dag run."""
Starters = Callable[[Collection[DagRunKey]], Mapping[DagRunKey, str]]
"""Function that finds the starters of dag runs, as far as they are known."""

_BY_NAME: Final[Mapping[str, str]] = {
    "scheduled": "the schedule",
    "backfill": "a backfill",
    "asset_triggered": "an asset of another dag",
    "asset_materialization": "a person, for an asset",
    "operator_triggered": "another dag",
    "manual": "a person or a program",
}
"""Starters by the kind of a run, with which Airflow begins the name of a dag run."""


def no_starters(_: Collection[DagRunKey]) -> dict[DagRunKey, str]:
    """Return the starters of dag runs where there is no Airflow."""
    return {}


def starters_in_airflow(keys: Collection[DagRunKey]) -> dict[DagRunKey, str]:
    """Return the starters of dag runs, with the user where Airflow knows one."""
    from airflow_kombo.airflow_plans import starts_of_dag_runs  # noqa: PLC0415 - the bench has none

    try:
        found = starts_of_dag_runs(keys)
    except SQLAlchemyError as error:
        log.warning("The starters of runs cannot be read: %s", type(error).__name__)
        return {}
    return {
        key: f"{_BY_NAME.get(kind, kind)}: {user}" if user else _BY_NAME.get(kind, kind)
        for key, (kind, user) in found.items()
    }


def starter_by_name(dag_run_id: str | None) -> str:
    """Return the starter of a dag run by the beginning of the name."""
    kind = (dag_run_id or "").partition("__")[0]
    return _BY_NAME.get(kind, "not known")
