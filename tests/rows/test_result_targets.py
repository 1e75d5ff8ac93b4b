"""Results with two targets, found over all rows of a run."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.harness import delivery

from airflow_kombo.exceptions import ConfigurationError, RowError
from airflow_kombo.kombo_api.request import InvalidRow
from airflow_kombo.rows.result_targets import ResultTargets
from airflow_kombo.statuses import ErrorCode

KEYS = st.builds(
    delivery,
    st.sampled_from(["r1", "r2", "r'3", "Ä r"]),
    integration_id=st.sampled_from(["workday:1", "lever:2 of 3"]),
    target_id=st.sampled_from(["c1", "c2", "c 3", "1 of lever:2 of 3"]),
    target_type=st.sampled_from(["candidate", "application"]),
)


@given(st.lists(st.lists(KEYS, max_size=4), max_size=6), st.integers(1, 5))
def test_each_row_of_an_ambiguous_result_is_marked(chunks, size):
    """A row is marked if and only if its result has another target; the message names one."""
    targets, named = ResultTargets(), defaultdict(set)
    rows = [row for chunk in chunks for row in chunk]
    for chunk in chunks:
        targets.add(row.key for row in chunk)
        for row in chunk:
            named[row.key.result_id].add(row.key.target)
    marked = []
    for start in range(0, len(rows), size):
        marked += targets.marked(rows[start : start + size])
    assert [one.key for one in marked] == [one.key for one in rows]
    for row, made in zip(rows, marked, strict=True):
        others = named[row.key.result_id] - {row.key.target}
        if not others:
            assert made is row
            continue
        assert (made.error.code, made.assessment_date) == (
            "duplicate_result_id",
            made.assessment_date,
        )
        texts = {
            f"for {one.target_type} {one.target_id} of {one.integration_id}:" for one in others
        }
        assert any(text in str(made.error) for text in texts)


def test_a_row_with_a_wrong_key_keeps_its_own_reason():
    """A row without a target is told so, also beside two rows that name its result twice."""
    targets = ResultTargets()
    one, other = delivery("r1", target_id="a"), delivery("r1", target_id="b")
    targets.add([one.key, other.key])
    wrong = RowError(ErrorCode.MISSING_FIELD, "candidate_id", "is empty: fill it")
    nowhere = InvalidRow(one.key._replace(target_id=""), None, wrong, is_addressed=False)
    unmapped = InvalidRow(one.key, None, RowError(ErrorCode.MISSING_FIELD, "label", "is empty"))
    kept, marked = targets.marked([nowhere, unmapped])
    assert kept is nowhere
    assert marked.error.code == "duplicate_result_id"


def test_a_disk_without_room_is_named():
    """A full disk ends the plan with what to do, before a row is sent."""
    targets = ResultTargets()
    targets._database.execute("PRAGMA max_page_count = 4")  # as a disk that is full after 16 kB
    with pytest.raises(ConfigurationError, match=r"cannot take the rows .* full\. Give it room"):
        targets.add(delivery(f"r{number}").key for number in range(10_000))
