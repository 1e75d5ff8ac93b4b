"""The trigger forms of the dags: sections, titles, and fields allowed to stay empty."""

from __future__ import annotations

import runpy

import pytest
from support.harness import ROOT

from airflow_kombo.operators.parameters import PlanParameters

SECTIONS = {
    "kombo_result_links": ["Which rows", "How carefully", "Second chances"],
    "kombo_reconcile": ["Which rows", "How carefully"],
    "kombo_resolve_unknown": ["Which rows", "The decision", "Many rows"],
}


def form(dag_id):
    """Return the params of a dag by name, in the order of the form."""
    dag = runpy.run_path(str(ROOT / "dags" / f"{dag_id}.py"))["dag"]
    return {name: dag.params.get_param(name) for name in dag.params}


@pytest.mark.parametrize("dag_id", SECTIONS)
def test_a_form_has_sections_and_words(dag_id):
    """Each field is in a section, the title is in words, and the sections are in order."""
    schemas = [param.schema for param in form(dag_id).values()]
    assert list(dict.fromkeys(schema["section"] for schema in schemas)) == SECTIONS[dag_id]
    titles = [schema["title"] for schema in schemas]
    assert len(set(titles)) == len(titles)
    assert not [title for title in titles if "_" in title or not title[0].isupper()]
    assert all(param.description for param in form(dag_id).values())


@pytest.mark.parametrize("dag_id", SECTIONS)
def test_no_field_is_marked_as_required(dag_id):
    """Airflow's form marks a field as required unless the type includes null."""
    for param in form(dag_id).values():
        assert "null" in param.schema["type"]
        param.resolve(None)  # Airflow's check of an empty field


def test_empty_fields_are_the_operator_s_defaults():
    """A run with all fields emptied has the operator's own defaults."""

    class Emptied:
        task_id = "plan"
        sql = "SELECT 1"

        def __getattr__(self, name):
            return None

    parameters = PlanParameters.of(Emptied())
    assert (parameters.lookback_days, parameters.shards, parameters.integration_ids) == (0, 1, ())
    assert (parameters.dry_run, parameters.approve_rows, parameters.redeliver) == (False, False, ())
