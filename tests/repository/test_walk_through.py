"""Query and mapping of the example in docs/warehouses, over a table with its own names."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest
import yaml
from sqlalchemy import text
from support.harness import DAY, ROOT, all_of, run_day

from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.source import Selection

PAGE = (ROOT / "docs" / "warehouses" / "README.md").read_text()
MAKE = """
    CREATE SCHEMA hiring;
    CREATE TABLE hiring.exam_outcomes (
        id bigserial PRIMARY KEY, finished_at timestamptz, ats text, person text,
        job_application text, exam text, report_url text, points integer, points_possible integer
    );
    INSERT INTO hiring.exam_outcomes
        (finished_at, ats, person, job_application, exam, report_url, points, points_possible)
    SELECT timestamptz '2026-11-02 12:00+00' + n * interval '1 hour', 'workday:one', 'c' || n,
        CASE WHEN mod(n, 3) = 0 THEN 'a' || n END, 'Logic', 'https://exams.example/' || n, 40 + n,
        100
    FROM generate_series(1, 40) n
"""


def block(kind):
    """Return the first block of a kind in the section of the example."""
    section = PAGE.split("## From a table of yours to a dry run")[1].split("\n## ")[0]
    return dedent(re.search(rf"^ *```{kind}\n(.*?)^ *```", section, re.MULTILINE | re.DOTALL)[1])


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_the_example_delivers_each_row_of_its_day(warehouse, tables, standin):
    """A day of timestamps, from its first hour to its last, becomes links with the scores."""
    with warehouse.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS hiring CASCADE"))
        connection.exec_driver_sql(MAKE)
    source = QuerySource(
        warehouse, tables, block("sql"), parameters_of(DAY, 0), selection=Selection()
    )
    mapping = ResultLinkMapping.parse(yaml.safe_load(block("yaml")))
    report = run_day(warehouse, tables, source=source, mapping=mapping)
    assert report.counts == {"success": 24}
    assert {int(one.result_id) for one in all_of(warehouse, tables.links)} == set(range(12, 36))
    attributes = standin.requests(last=1)[0]["body"]
    assert '"key":"Score"' in attributes
    assert '"value":"2026-11-03"' in attributes
