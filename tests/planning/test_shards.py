"""Integrations packed into shards, and the rows that each shard may send."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_kombo.planning.row_limit import RowLimit
from airflow_kombo.planning.shards import MOST_NAMED, PlannedShard, divide, limited
from airflow_kombo.rows.integration_counts import IntegrationCount
from airflow_kombo.rows.shard import WHOLE, Shard

COUNTS = st.lists(
    st.builds(
        IntegrationCount,
        st.integers(0, 60).map("workday:i{}".format) | st.sampled_from(["", "Ada Lovelace"]),
        st.integers(1, 2_000),
        st.booleans(),
    ),
    max_size=40,
    unique_by=lambda one: one.integration_id,
)


def rows_of(shard, counts):
    return sum(one.rows for one in counts if shard.has(one.integration_id))


@given(COUNTS, st.integers(1, 12))
def test_each_integration_is_in_one_shard(counts, shards):
    """Shards are never more than asked for or than integrations, and have each of them once."""
    made = divide(counts, shards)
    assert 1 <= len(made) <= max(1, min(shards, len(counts)))
    for one in [*counts, IntegrationCount("new:one", 1, shares_results=False)]:
        assert sum(shard.has(one.integration_id) for shard in made) == 1
    assert [shard.is_rest for shard in made] == [True] + [False] * (len(made) - 1)


@given(COUNTS, st.integers(2, 12))
def test_integrations_that_share_a_result_are_in_one_shard(counts, shards):
    """All of them, and all possible personal data, are in the rest, and are not named."""
    rest, *others = divide(counts, shards)
    together = [one for one in counts if one.shares_results or ":" not in one.integration_id]
    assert all(rest.has(one.integration_id) for one in together)
    assert all(name.startswith("workday:") for one in others for name in one.integration_ids)
    assert all(name.startswith("workday:") for name in rest.integration_ids)


@given(st.lists(st.integers(1, 2_000), min_size=1, max_size=60), st.integers(1, 8))
def test_shards_have_about_as_many_rows_each(rows, shards):
    """No shard has more than the smallest shard and one integration together."""
    counts = [
        IntegrationCount(f"lever:{n}", one, shares_results=False) for n, one in enumerate(rows)
    ]
    loads = [rows_of(shard, counts) for shard in divide(counts, shards)]
    assert sum(loads) == sum(rows)
    assert max(loads) <= min(loads) + max(rows)


@given(COUNTS, st.integers(2, 12))
def test_a_division_does_not_depend_on_the_order(counts, shards):
    """A database gives groups in any order, and a second plan is the same."""
    assert divide(counts, shards) == divide(counts[::-1], shards)


def test_the_smallest_of_a_great_many_integrations_are_in_the_rest():
    """No statement has more ids than a database takes, and each integration is in one shard."""
    counts = [
        IntegrationCount(f"lever:{n}", n, shares_results=False) for n in range(1, MOST_NAMED + 11)
    ]
    rest, other = divide(counts, 2)
    assert all(rest.has(f"lever:{n}") for n in range(1, 11))
    assert len(rest.integration_ids) < MOST_NAMED
    assert rest.integration_ids == other.integration_ids
    assert abs(rows_of(rest, counts) - rows_of(other, counts)) <= MOST_NAMED + 11


def test_a_day_without_rows_is_one_shard():
    """An empty day has a task without rows, and an account."""
    assert divide([], 4) == [WHOLE]


@given(COUNTS, st.integers(1, 12), st.integers(0, 3_000))
def test_all_shards_together_send_no_more_than_the_day_may(counts, shards, spare):
    """Each shard may send the planned rows, and a part of the rest of the limit."""
    rows = {one.integration_id: one.rows for one in counts}
    total = sum(rows.values())
    planned = limited(divide(counts, shards), rows, RowLimit(total + spare, "this is max_rows"))
    assert sum(shard.max_rows for shard in planned) <= total + spare
    assert all(shard.row_limit.refuses(rows_of(shard, counts)) is None for shard in planned)
    assert sum(shard.max_rows for shard in planned) > total + spare - len(planned)


def test_without_a_limit_a_shard_has_none():
    """An approved day has no limit in its shards either."""
    shards = [Shard(frozenset({"a:1"})), Shard(frozenset({"a:1"}), is_rest=False)]
    assert [one.row_limit for one in limited(shards, {"a:1": 9}, None)] == [None, None]


def test_a_shard_is_the_same_after_its_way_through_airflow():
    """The form for Airflow has the types of JSON, in one order."""
    shard = PlannedShard(frozenset({"b:2", "a:1"}), is_rest=False, max_rows=9)
    given_ = {"integration_ids": ["a:1", "b:2"], "is_rest": False, "max_rows": 9}
    assert shard.as_xcom() == given_
