"""Rows of the demo's warehouse."""

import json
from collections import Counter

import pytest
from sqlalchemy import create_engine, text

from tools.demo.airflow import ROOT
from tools.demo.rows import (
    BASE58,
    DAYS,
    DEFAULT_INTEGRATION,
    INTEGRATIONS,
    NEW_INTEGRATION,
    ODDITIES,
    ROWS_A_DAY,
    SAME_LINK,
    fill,
    rows,
)
from tools.kombo_standin.scenario import Scenario


@pytest.fixture(scope="module")
def day():
    return [row for row in rows() if row["assessment_date"] == DAYS[1]]


def test_the_rows_are_the_same_every_time():
    """Each run of the demo has the same rows."""
    assert list(rows()) == list(rows())


def test_every_day_has_its_rows_and_each_result_its_id():
    """Three days have 660 rows each, and each result has an own id."""
    everything = list(rows())
    assert Counter(row["assessment_date"] for row in everything) == dict.fromkeys(DAYS, ROWS_A_DAY)
    assert len({row["result_id"] for row in everything}) == len(everything)


def test_the_readme_has_the_number_of_rows():
    """The README has the number of rows that `make demo` delivers."""
    assert f"a day of {ROWS_A_DAY} realistic results" in (ROOT / "README.md").read_text()


def test_six_integrations_and_the_new_one_only_on_the_last_day():
    """The blocked integration has no rows on the day of `make demo`."""
    found = {(row["integration_id"], row["assessment_date"]) for row in rows()}
    assert {integration for integration, _ in found} == {*INTEGRATIONS, None}
    assert [date for integration, date in found if integration == NEW_INTEGRATION] == [DAYS[-1]]


def test_ids_look_like_kombo_s(day):
    """Ids have 24 characters of base58, except the one with a slash."""
    ids = {row[name] for row in day for name in ("candidate_id", "application_id") if row[name]}
    odd = {one for one in ids if len(one) != 24 or set(one) - set(BASE58)}
    assert odd == {ODDITIES[450]["candidate_id"]}


def test_what_real_data_lacks_is_lacking(day):
    """Some rows have no score, no duration, no application or no integration."""
    for column in ("score", "duration_seconds", "application_id", "integration_id"):
        assert 0 < sum(row[column] is None for row in day) < ROWS_A_DAY / 4


def test_some_rows_carry_remote_fields_of_their_tool(day):
    """Remote fields are JSON for the row's own tool, except in the broken row."""
    filled = [row for row in day if row["remote_fields"]]
    broken = [row for row in filled if row["remote_fields"] == ODDITIES[250]["remote_fields"]]
    for row in filled:
        if row not in broken:
            assert list(json.loads(row["remote_fields"])) == [row["integration_id"].split(":")[0]]
    assert len(broken) == 1
    assert len(filled) > 10


def test_one_link_is_there_twice(day):
    """Two results of a day share target and URL."""
    first, second = (day[number - 1] for number in SAME_LINK)
    assert first["result_id"] != second["result_id"]
    assert first["result_url"] == second["result_url"]
    assert first["application_id"] == second["application_id"]


def test_the_scenario_speaks_of_rows_that_are_there():
    """Each rule matches a URL, a label or an integration of a valid row."""
    everything = list(rows())
    odd = set(ODDITIES) | set(SAME_LINK)
    for rule in Scenario.load(ROOT / "tools" / "demo" / "scenario.yaml").rules:
        matched = [
            row
            for row in everything
            if rule.url in (None, row["result_url"])
            and rule.label in (None, row["assessment_name"])
            and rule.integration_id in (None, row["integration_id"] or DEFAULT_INTEGRATION)
        ]
        assert matched
        assert rule.url is None or int(matched[0]["result_id"][-4:]) not in odd


def test_a_warehouse_is_filled_once(tmp_path):
    """A second filling changes nothing, not even a corrected row."""
    file = tmp_path / "warehouse.db"
    assert fill(file) == ROWS_A_DAY * len(DAYS)
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE assessment_results SET score = 1"))
    assert fill(file) == ROWS_A_DAY * len(DAYS)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT max(score) FROM assessment_results")) == 1
    engine.dispose()


def test_an_infinite_score_arrives_in_the_table(tmp_path):
    """SQLite keeps an infinite score, so the mapping gets the value."""
    fill(tmp_path / "warehouse.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'warehouse.db'}")
    with engine.connect() as connection:
        scores = connection.scalars(text("SELECT score FROM assessment_results"))
        assert list(scores).count(float("inf")) == len(DAYS)
    engine.dispose()
