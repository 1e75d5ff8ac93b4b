"""Shards of a day's rows: each row is in one of them, wherever the rows come from."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from support.harness import DAY, SQL, fill, mapped_rows, row

from airflow_kombo.rows.integration_counts import IntegrationCount
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.shard import WHOLE, Shard
from airflow_kombo.rows.source import Selection
from airflow_kombo.rows.task_source import TaskSource

IDS = (
    "workday:one",
    "lever:two",
    "ashby:three",
    " lever:two ",
    "WORKDAY:one",
    "",
    " ",
    "Ada L",
    "é",
)
"""Ids as a table may have them: two spellings of one, two that a collation may take for one."""
DEFAULT = "ashby:three"


def shards_of(*named):
    """Return shards with named integrations, and the rest."""
    return [
        Shard(frozenset().union(*named)),
        *(Shard(frozenset(ids), is_rest=False) for ids in named),
    ]


def source_of(engine, tables, shard=WHOLE, **options):
    selection = Selection(shard=shard)
    days = parameters_of(DAY)
    return QuerySource(
        engine, tables, SQL, days, selection=selection, default_integration=DEFAULT, **options
    )


def read(source, shard):
    """Return how often each result is among the rows of a shard."""
    rows = mapped_rows(source, Selection(shard=shard), DEFAULT, page_rows=2)
    counts = rows.plan()
    return Counter(
        one.key.result_id
        for name, number in counts.items()
        for page in rows.pages(name, number)
        for one in page
    )


def test_the_rest_has_what_no_other_shard_names():
    """A shard has the named integrations; the rest has all others, also unknown ones."""
    rest, own = shards_of({"a:1", "b:2"})
    assert [own.has(name) for name in ("a:1", "b:2", "new:3", "")] == [True, True, False, False]
    assert [rest.has(name) for name in ("a:1", "b:2", "new:3", "")] == [False, False, True, True]
    assert WHOLE.is_whole
    assert not rest.is_whole
    assert not own.is_whole


NAMED = st.lists(st.sets(st.sampled_from([*IDS, "not:there"]), max_size=3), max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(named=NAMED, used=st.lists(st.sampled_from([*IDS, None]), max_size=12))
def test_each_row_is_in_one_shard(warehouse, tables, source_table, named, used):
    """Shards have each row once where the query filters, for ids of any form."""
    apart = [ids.difference(*named[:place]) for place, ids in enumerate(named)]
    with warehouse.begin() as connection:
        connection.execute(delete(source_table))
    if rows := [row(f"r{n}", integration_id=one) for n, one in enumerate(used)]:
        fill(warehouse, source_table, rows)
    found = Counter()
    for shard in shards_of(*apart):
        source = source_of(warehouse, tables, shard)
        assert source.divides
        found += read(source, shard)
    assert found == Counter(f"r{n}" for n in range(len(used)))


@given(named=NAMED, used=st.lists(st.sampled_from([*IDS, None]), max_size=12))
def test_each_row_of_a_task_is_in_one_shard(named, used):
    """Shards have each row once where the keys are compared."""
    apart = [ids.difference(*named[:place]) for place, ids in enumerate(named)]
    source = TaskSource([row(f"r{n}", integration_id=one) for n, one in enumerate(used)])
    assert not source.divides
    found = sum((read(source, shard) for shard in shards_of(*apart)), Counter())
    assert found == Counter(f"r{n}" for n in range(len(used)))


def test_no_row_is_between_a_large_and_a_small_shard(warehouse, tables, source_table):
    """SQL compares all ids, also thousands of them: Python would strip more blanks."""
    names = [f"a:{n}" for n in range(1_800)]
    odd = {"r1": "a:7\u00a0", "r2": "a:1799", "r3": "b:1"}
    fill(warehouse, source_table, [row(one, integration_id=name) for one, name in odd.items()])
    shards = shards_of(names[:600], names[600:1_200], names[1_200:])
    found = sum((read(source_of(warehouse, tables, one), one) for one in shards), Counter())
    assert found == {"r1": 1, "r2": 1, "r3": 1}


def test_keys_that_come_later_are_compared_later(warehouse, tables, source_table):
    """A query before a transformation leaves the other shards' rows in."""
    fill(warehouse, source_table, [row("r1")])
    _, own = shards_of({"lever:two"})
    assert not source_of(warehouse, None, own, has_keys=False).divides


@pytest.mark.parametrize("in_sql", [True, False])
def test_rows_are_counted_by_integration(warehouse, tables, source_table, in_sql):
    """The counts are the same in SQL and from the rows; shared results mark integrations."""
    rows = [row(f"r{n}", integration_id=IDS[n % 4]) for n in range(12)]
    shared = [row("both", integration_id=name) for name in ("workday:one", "merge:x", "merge:y")]
    fill(warehouse, source_table, [*rows, *shared, row("none", integration_id=None)])
    source = source_of(warehouse, tables)
    records = source if in_sql else TaskSource([*rows, *shared, row("none", integration_id=None)])
    counts = mapped_rows(records, Selection(), DEFAULT).counts()
    assert sorted(counts) == [
        IntegrationCount("ashby:three", 4, shares_results=False),
        IntegrationCount("lever:two", 6, shares_results=False),
        IntegrationCount("merge:x", 1, shares_results=True),
        IntegrationCount("merge:y", 1, shares_results=True),
        IntegrationCount("workday:one", 4, shares_results=True),
    ]


def test_only_wanted_integrations_are_counted(warehouse, tables, source_table):
    """The counts leave out integrations without a place in the run."""
    fill(warehouse, source_table, [row("r1"), row("r2", integration_id="lever:two")])
    selection = Selection(integration_ids=frozenset({"lever:two"}))
    counts = mapped_rows(source_of(warehouse, tables), selection).counts()
    assert [one.integration_id for one in counts] == ["lever:two"]


def test_an_id_in_no_encoding_is_counted_without_a_name(warehouse, tables, source_table):
    """Bytes in the place of an id do not stop the planning of the day."""
    if warehouse.dialect.name != "sqlite":
        pytest.skip("only SQLite keeps bytes that are no text")
    fill(warehouse, source_table, [row("r1"), row("r2")])
    broken = (
        "UPDATE assessment_results SET integration_id = CAST(x'ff' AS TEXT) WHERE result_id = 'r2'"
    )
    with warehouse.begin() as connection:
        connection.exec_driver_sql(broken)
    counts = mapped_rows(source_of(warehouse, tables)).counts()
    assert sorted(counts) == [
        IntegrationCount("", 1, shares_results=False),
        IntegrationCount("workday:one", 1, shares_results=False),
    ]
