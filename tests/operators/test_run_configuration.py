"""Names in a dag run's configuration."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from support.harness import MAPPING, fill, row

from airflow_kombo.airflow_compat import AirflowFailException
from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.operators.reconcile import KomboReconcileOperator
from airflow_kombo.operators.resolve_unknown import KomboResolveUnknownOperator
from airflow_kombo.operators.result_link import KomboResultLinkOperator
from airflow_kombo.operators.run_configuration import refuse_misspelled_params

DAG_OF_OURS = DAG("own", schedule=None, params={"dry_run": False, "limit": None})


def triggered_with(context, **conf):
    """Return the context of a run that was triggered with a configuration."""
    dag_run = SimpleNamespace(**{**vars(context["dag_run"]), "conf": conf})
    return {**context, "dag": DAG_OF_OURS, "dag_run": dag_run}


@pytest.mark.parametrize("name", ["dryrun", "dry-run", "DryRun", "dry", "limits"])
def test_a_misspelled_param_is_refused(context, name):
    """A name that resembles a param is refused with the name that was meant."""
    with pytest.raises(ConfigurationError, match=r"did you mean '(dry_run|limit)'"):
        refuse_misspelled_params(triggered_with(context, **{name: True}))


@pytest.mark.parametrize("conf", [{}, {"dry_run": True}, {"ticket": "OPS-1"}])
def test_other_names_are_left_alone(context, conf):
    """A param, and a name for another task of the dag, are no mistake."""
    refuse_misspelled_params(triggered_with(context, **conf))


def test_a_param_of_the_task_is_known(context):
    """A task may have params of its own beside those of the dag."""
    task = SimpleNamespace(params={"dry_runs": 1})
    refuse_misspelled_params(triggered_with(context, dry_runs=1) | {"task": task})


def test_a_misspelled_dry_run_sends_nothing(context, engine, source, standin):
    """A run with `dryrun` fails before the first request, and is not tried again."""
    fill(engine, source, [row("r1")])
    task = KomboResultLinkOperator(task_id="deliver", mapping=MAPPING, table="assessment_results")
    with pytest.raises(AirflowFailException, match="did you mean 'dry_run'"):
        task.execute(triggered_with(context, dryrun=True))
    assert standin.stats()["received"] == 0


@pytest.mark.parametrize(
    "task",
    [
        KomboResolveUnknownOperator(task_id="resolve", result_ids=["r1"], decision="created"),
        KomboReconcileOperator(task_id="reconcile", recipes="recipes.yaml"),
    ],
    ids=lambda task: task.task_id,
)
def test_a_misspelled_dry_run_decides_nothing(context, task):
    """A decision or a look with `dryrun` fails before a row is settled."""
    with pytest.raises(AirflowFailException, match="did you mean 'dry_run'"):
        task.execute(triggered_with(context, dryrun=True))
