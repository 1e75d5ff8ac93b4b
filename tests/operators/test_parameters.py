"""Values of the operators' parameters, rendered by Airflow's own templates."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

import pandas as pd
import pytest
from airflow.sdk import DAG

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.operators.parameters import ResolveParameters, RunParameters
from airflow_kombo.operators.resolve_unknown import KomboResolveUnknownOperator
from airflow_kombo.operators.result_link import KomboResultLinkOperator
from airflow_kombo.statuses import Decision

TEMPLATED = [
    ("approve_rows", False, False),
    ("approve_rows", True, True),
    ("approve_rows", "False", False),
    ("approve_rows", " true ", True),
    ("approve_rows", None, False),
    ("dry_run", True, True),
    ("limit", 5, 5),
    ("limit", "5", 5),
    ("limit", 5.0, 5),
    ("limit", None, None),
    ("limit", "", None),
    ("max_rows", 1, 1),
    ("lookback_days", 0, 0),
    ("lookback_days", None, 0),
    ("integration_ids", ["workday:one"], ("workday:one",)),
    ("integration_ids", "workday:one", ("workday:one",)),
    ("integration_ids", "['a', 'b']", ("a", "b")),
    ("integration_ids", '["a"]', ("a",)),
    ("integration_ids", [], ()),
    ("integration_ids", "[]", ()),
    ("integration_ids", None, ()),
    ("result_ids", ["a", "b", "a"], ("a", "b")),
    ("result_ids", ["a", " ", "b "], ("a", "b")),
    ("result_ids", [95.0, "95.0", 7], ("95", "95.0", "7")),
    ("redeliver", ["failed", "changed"], ("failed", "changed")),
    ("redeliver", "unknown", ("unknown",)),
    ("seen", {"ar-1": "unknown 2"}, {"ar-1": "unknown 2"}),
    ("seen", "{'ar-1': 'unknown 2', 7: 'failed 1'}", {"ar-1": "unknown 2", "7": "failed 1"}),
    ("seen", {}, {}),
    ("seen", None, {}),
    ("assessment_date", "2026-11-03", date(2026, 11, 3)),
    ("not_before", " 2026-11-13 ", date(2026, 11, 13)),
    ("not_before", None, None),
    ("max_in_flight", 5, 5),
    ("max_in_flight", "5", 5),
    ("max_in_flight", None, None),
    ("max_in_flight", {"workday": 4, "default": 28}, {"workday": 4, "default": 28}),
    ("max_in_flight", {"workday": "4"}, {"workday": 4}),
    ("max_in_flight", {}, {}),
]

REFUSED = [
    ("approve_rows", "maybe", r"'maybe' \(str\), and has to be true or false"),
    ("approve_rows", 1, r"1 \(int\), and has to be true or false"),
    ("dry_run", [], "a list, and has to be true or false"),
    ("limit", 0, r"0 \(int\), and has to be a whole number, at least 1"),
    ("limit", -3, "a whole number, at least 1"),
    ("limit", True, r"True \(bool\), and has to be a whole number"),
    ("limit", 2.5, "a whole number, at least 1"),
    ("limit", float("nan"), r"nan \(float\), and has to be a whole number"),
    ("limit", "all", r"'all' \(str\), and has to be a whole number"),
    ("max_rows", 0, "a whole number, at least 1"),
    ("lookback_days", -1, "a whole number from 0 to 366"),
    ("lookback_days", 10**9, "a whole number from 0 to 366"),
    ("integration_ids", "a, b", r"'a, b' \(str\), and has to be a list of ids such as"),
    ("integration_ids", "['a', 'b'", "a list of ids"),
    ("integration_ids", {"a": 1}, "a dict, and has to be a list of ids"),
    ("integration_ids", [" ", ""], "nothing but blanks"),
    ("result_ids", [True], r"one of them is True \(bool\)"),
    ("result_ids", [["a"]], "one of them is a list"),
    ("result_ids", "a\nb", "one of them is 'a\\\\nb'"),
    ("redeliver", ["faild"], r"'faild' is none \(did you mean 'failed'\?\)"),
    ("redeliver", "Failed", r"did you mean 'failed'\?"),
    ("redeliver", ["sending"], "'sending' is none"),
    ("seen", ["ar-1"], "a list, and has to be statuses and attempts by result id"),
    ("seen", {"ar-1": "unknown"}, "'unknown' is none"),
    ("seen", {"ar-1": 2}, "'2' is none"),
    ("assessment_date", "3/11/2026", "a day such as 2026-11-03"),
    ("not_before", datetime(2026, 11, 3), "a day such as 2026-11-03"),
    ("not_before", 20261103, "a day such as 2026-11-03"),
    ("max_in_flight", 0, r"0 \(int\), and has to be a whole number, at least 1, or such numbers"),
    ("max_in_flight", True, r"True \(bool\)"),
    ("max_in_flight", [4], r"a list, and has to be .* as in {'workday': 4, 'default': 28}"),
    ("max_in_flight", {"workday": 0}, r"a dict, and has to be .*: workday has 0 \(int\)"),
    ("max_in_flight", {"workday": None}, r"a dict, .*: workday has a NoneType"),
    ("max_in_flight", {"workday:one": 4}, r"a dict, .*: 'workday:one' \(str\) is no tool"),
    ("max_in_flight", "{'workday': 4", "a text of 13 characters, and has to be a whole number"),
    ("sql", ["SELECT 1"], "a list, and has to be a text"),
]


def rendered(*, native, value, **named):
    """Render an operator's templates over `value`, as a worker does."""
    with DAG("own", schedule=None, render_template_as_native_obj=native) as dag:
        task = KomboResultLinkOperator(task_id="deliver", mapping={}, **named)
    task.render_template_fields({"value": value}, dag.get_template_env())
    return task


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(("name", "value", "read"), TEMPLATED)
def test_values_of_templates_are_read(native, name, value, read):
    """A template's value is read alike as a native object and as text."""
    task = rendered(native=native, value=value, table="t", **{name: "{{ value }}"})
    assert getattr(RunParameters.of(task), name) == read


@pytest.mark.parametrize(("name", "value", "why"), REFUSED)
def test_values_without_one_meaning_are_refused(name, value, why):
    """The error names the parameter, its value and the values that it takes."""
    given = {"table": "t"} | {name: value}
    task = KomboResultLinkOperator(task_id="deliver", mapping={}, **given)
    with pytest.raises(ConfigurationError, match=f"deliver cannot run: {name} is .*{why}"):
        RunParameters.of(task)


def test_all_mistakes_are_reported_at_once():
    """Two mistakes are one message."""
    task = KomboResultLinkOperator(task_id="deliver", mapping={}, table="t", limit=0, max_rows="x")
    with pytest.raises(ConfigurationError, match=r"limit is 0 .*; max_rows is 'x' "):
        RunParameters.of(task)


def test_a_name_that_a_template_does_not_know_is_refused():
    """A mistyped name in a native template renders without an error, and is refused here."""
    task = rendered(native=True, value=5, table="t", limit="{{ valeu }}")
    with pytest.raises(ConfigurationError, match="limit is undefined in its template"):
        RunParameters.of(task)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("many", [1, 3])
def test_rows_for_ids_are_refused_and_not_quoted(native, many):
    """The error for whole rows names their type, and no content of a row."""
    rows = [{"result_id": "r1", "candidate": "canary5e1f"}] * many
    task = rendered(native=native, value=rows, table="t", result_ids="{{ value }}")
    with pytest.raises(ConfigurationError, match="one of them is a dict") as raised:
        RunParameters.of(task)
    assert "canary5e1f" not in str(raised.value)


def test_objects_other_than_lists_are_refused():
    """A DataFrame or bytes are no ids, and the message quotes none of their content."""
    frame = pd.DataFrame({"result_id": ["canary5e1f"]})
    for value, kind in [(frame, "DataFrame"), (b"canary5e1f", "bytes")]:
        task = KomboResultLinkOperator(task_id="deliver", mapping={}, table="t", result_ids=value)
        with pytest.raises(ConfigurationError, match=f"result_ids is a {kind}, and") as raised:
            RunParameters.of(task)
        assert "canary5e1f" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"store_request": "no"}, "store_request is 'no'"),
        ({"masked_fields": {"label": 1}}, "masked_fields is a dict"),
        ({"keep_responses_days": -1}, "keep_responses_days is '?-1"),
    ],
)
def test_other_parameters_are_checked_too(given, why):
    """A value for a parameter without templates is refused as well."""
    task = KomboResultLinkOperator(task_id="deliver", mapping={}, table="t", **given)
    with pytest.raises(ConfigurationError, match=why):
        RunParameters.of(task)


def test_one_masked_field_is_not_its_letters():
    """`masked_fields="label"` masks the label."""
    task = KomboResultLinkOperator(task_id="deliver", mapping={}, table="t", masked_fields="label")
    assert RunParameters.of(task).masked_fields == ("label",)


@pytest.mark.parametrize(
    "given", [{}, {"sql": "SELECT 1", "table": "t"}, {"sql": "", "table": "None"}]
)
def test_rows_have_one_source(given):
    """A task without a source of rows, or with two, is refused."""
    task = KomboResultLinkOperator(task_id="deliver", mapping={}, **given)
    with pytest.raises(ConfigurationError, match="deliver needs one of sql, table and rows_task"):
        RunParameters.of(task)


def test_the_deciding_operator_reads_the_same():
    """Ids, a day, a flag and texts are read alike; a number is read as a text."""
    task = KomboResolveUnknownOperator(
        task_id="resolve",
        result_ids="r1",
        integration_ids="['a']",
        assessment_date="2026-11-03",
        error_code="None",
        run_id=UUID(int=5),
        decision=" not created ",
        reason=2026,
        dry_run="False",
    )
    assert ResolveParameters.of(task) == ResolveParameters(
        result_ids=("r1",),
        integration_ids=("a",),
        assessment_date=date(2026, 11, 3),
        run_id=str(UUID(int=5)),
        decision=Decision.NOT_CREATED,
        reason="2026",
    )


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"decision": "Created"}, r"decision is 'Created' .*did you mean 'created'\?"),
        ({"decision": "yes"}, "one of created, not created, leave out, take back: 'yes' is none"),
        ({"reason": ["x"]}, "reason is a list, and has to be a text"),
        ({"dry_run": "x"}, "dry_run is 'x' .* true or false"),
        ({"result_ids": [""]}, "nothing but blanks"),
        ({"decisions": ["x"]}, "decisions is a list, and has to be the text of a CSV file"),
        ({"export_to": 7, "decision": "created"}, "export_to does not go together with decision"),
        ({"export_to": "x", "dry_run": True}, "export_to does not go together with dry_run"),
        ({"export_to": "x", "decisions": "x", "decisions_from": "y"}, "decisions and decisions_fr"),
        ({"decisions": "x", "decisions_from": "y"}, "together with decisions_from"),
        ({"decisions_from": "y", "decision": "created"}, "together with decision"),
    ],
)
def test_the_deciding_operator_refuses_the_same(given, why):
    """The deciding operator's error names each parameter and its value too."""
    task = KomboResolveUnknownOperator(task_id="resolve", **given)
    with pytest.raises(ConfigurationError, match=f"resolve cannot run: .*{why}"):
        ResolveParameters.of(task)
