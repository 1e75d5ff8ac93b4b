"""The names in a dag run's configuration, which Airflow itself does not check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.suggestions import did_you_mean

if TYPE_CHECKING:
    from airflow.sdk import Context


def refuse_misspelled_params(context: Context) -> None:
    """Refuse a name that is no param of the dag, and resembles one.

    Airflow takes any name and ignores it: with `dryrun` instead of `dry_run`, a run would send.
    Names that resemble none may be meant for other tasks of the dag.

    :raises ConfigurationError: with the name that was meant.
    """
    dag, dag_run = context.get("dag"), context.get("dag_run")
    known = [*getattr(dag, "params", ()), *getattr(context.get("task"), "params", ())]
    for name in getattr(dag_run, "conf", None) or {}:
        if name not in known and (meant := did_you_mean(name, known)):
            raise ConfigurationError(
                f"The run's configuration has '{name}', which is no parameter of this dag{meant}."
                " Nothing was done. Trigger the run again with the right name."
            )
