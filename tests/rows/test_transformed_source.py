"""Rows after a function of the dag's author."""

from __future__ import annotations

import pandas as pd
import pytest
from support.harness import mapped_rows, row

from airflow_kombo.exceptions import ConfigurationError, MappingError, TransformError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.rows.source import Selection
from airflow_kombo.rows.task_source import TaskSource
from airflow_kombo.rows.transformed_source import TransformedSource

SECRET = "Ada Lovelace"


def transformed(transform, rows=None, selection=None):
    source = TaskSource([row("a"), row("b", score=None)] if rows is None else rows)
    return mapped_rows(TransformedSource(source, transform), selection)


def made(rows):
    counts = rows.plan()
    return [
        one for name, count in counts.items() for page in rows.pages(name, count) for one in page
    ]


def test_a_function_makes_the_keys():
    """Ids, the integration and the day may come from other columns, in any dtype of pandas."""
    raw = [{"attempt": 9007199254740993, "customer": 1, "who": "c1", "day": "2026-11-03"}] * 2
    raw[1] = raw[1] | {"attempt": 2, "customer": 2}
    customers = pd.DataFrame({"customer": [1, 2], "integration_id": ["workday:1", "lever:2"]})

    def derive(frame):
        frame = frame.merge(customers, on="customer", how="left")
        frame["result_id"] = frame.pop("attempt").astype("Int64")
        frame["assessment_date"] = pd.to_datetime(frame.pop("day"))
        frame = frame.rename(columns={"who": "candidate_id"})
        return frame.assign(**{name: None for name in row("x") if name not in frame.columns})

    keys = [(one.key, one.assessment_date.isoformat()) for one in made(transformed(derive, raw))]
    assert keys == [
        (("workday:1", "candidate", "c1", "9007199254740993"), "2026-11-03"),
        (("lever:2", "candidate", "c1", "2"), "2026-11-03"),
    ]


def test_a_function_filters_and_copies():
    """A frame may lose rows, come in another order, and name one result twice."""

    def copy(frame):
        frame = pd.concat([frame, frame.assign(candidate_id="other")]).sort_index(ascending=False)
        return frame[(frame["result_id"] != "b") | (frame["candidate_id"] != "other")]

    a, other, b = sorted(made(transformed(copy)), key=lambda one: one.key.result_id)
    assert [one.error.code for one in (a, other)] == ["duplicate_result_id"] * 2
    assert isinstance(b, RowRequest)


def test_what_is_selected_is_what_the_function_made():
    """Ids and days of a run's selection are those of the frame after the function."""
    selection = Selection(integration_ids=frozenset({"new:1"}), result_ids=frozenset({"A"}))
    rows = transformed(
        lambda frame: frame.assign(
            integration_id="new:1", result_id=frame["result_id"].str.upper()
        ),
        selection=selection,
    )
    assert [one.key[0::3] for one in made(rows)] == [("new:1", "A")]
    assert not rows.unmatched.result_ids
    assert not rows.unmatched.integration_ids


def test_a_missing_value_of_pandas_is_a_missing_value():
    """NaN, NaT and NA, which functions of pandas leave behind, drop their attribute."""
    rows = transformed(lambda frame: frame.convert_dtypes())
    bodies = [one.body for one in made(rows)]
    assert [b"Score" in body for body in bodies] == [True, False]
    assert b"95%" in bodies[0]


@pytest.mark.parametrize(
    ("transform", "what"),
    [
        (lambda _: None, "The function transform returned a NoneType: return a DataFrame"),
        (lambda frame: frame["result_id"], "returned a Series"),
        (lambda frame: pd.concat([frame, frame], axis=1), "the column 'result_id' twice"),
        (lambda frame: frame.rename(columns={"score": 1}), "with the name 1, which is no text"),
    ],
)
def test_what_is_no_frame_is_refused(transform, what):
    """Another return value than a frame of named columns is refused with the fix."""
    with pytest.raises(ConfigurationError, match=what):
        transformed(transform).plan()


def test_a_lost_column_is_named():
    """A column that the function drops or renames is named as in any other rows."""
    with pytest.raises(MappingError, match=r"no column 'result_url'.*did you mean 'result_urls'"):
        transformed(lambda frame: frame.rename(columns={"result_url": "result_urls"})).plan()
    with pytest.raises(MappingError, match="no column 'result_id'"):
        transformed(lambda frame: frame.drop(columns="result_id")).plan()


def fails(frame):
    return frame.assign(label=[int(SECRET) for _ in frame.index])  # the line of the message


def test_what_the_function_raises_is_told_without_the_rows():
    """The message has the kind and the author's line, and no text of the error."""
    with pytest.raises(TransformError) as told:
        transformed(fails).plan()
    assert "raised ValueError" in str(told.value)
    line = fails.__code__.co_firstlineno + 1
    assert f"test_transformed_source.py, line {line}, in " in str(told.value)
    assert "Nothing was sent" in str(told.value)
    assert SECRET not in str(told.value)
    assert told.value.__suppress_context__


def test_a_column_that_the_function_misspells_is_suggested():
    """A KeyError of pandas names the author's line, the column and the nearest one."""

    def misspell(frame):
        return frame.assign(x=frame["assesment_name"])

    expected = r"in misspell: the rows have no column 'assesment_name' \(did you mean 'assessment_n"
    with pytest.raises(TransformError, match=expected):
        transformed(misspell).plan()


def test_a_key_that_a_row_has_is_not_told():
    """A KeyError at a cell's value, looked up in a dictionary or an index, never quotes it."""
    levels = pd.DataFrame({"level": [1]}, index=["junior"])

    def look_up(frame):
        return frame.assign(level=[{"junior": 1}[one] for one in frame["assessment_name"]])

    def locate(frame):
        return frame.assign(level=[levels.loc[one, "level"] for one in frame["assessment_name"]])

    for function in (look_up, locate):
        with pytest.raises(TransformError, match=r"raised KeyError, at .*Nothing was sent") as told:
            transformed(function, [row("a", assessment_name="Lovelace")]).plan()
        assert "Lovelace" not in str(told.value)


def test_a_chunk_may_become_a_frame_without_columns():
    """A function that keeps no row of a chunk may return `DataFrame()`, as of an empty list."""

    def best(frame):
        return pd.DataFrame([one for one in frame.to_dict("records") if one["score"] > 99])

    rows = [row(f"r{number}", score=100 if number == 0 else 1) for number in range(2_001)]
    assert transformed(best, rows).plan() == {"workday:one": 1}
    rows[0], rows[-1] = rows[-1], rows[0]
    assert transformed(best, rows).plan() == {"workday:one": 1}


def test_a_function_gets_no_chunk_without_rows():
    """A day without rows calls no function, and plans nothing."""
    assert transformed(fails, rows=[]).plan() == {}


@pytest.mark.parametrize("kind", ["float32", "Float32", "float16"])
def test_an_id_in_a_small_float_is_invalid_where_it_may_be_another(kind):
    """A float of 32 bits holds 16777217 as 16777216, which may be another candidate."""
    number = 2_049 if kind == "float16" else 16_777_217

    def shrink(frame):
        return frame.assign(candidate_id=pd.Series([number, 7], index=frame.index).astype(kind))

    wrong, right = made(transformed(shrink))
    assert (wrong.error.code, wrong.error.field) == ("invalid_field", "candidate_id")
    assert right.key.target_id == "7"
