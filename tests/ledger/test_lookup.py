"""Lookup of rows by key and by link."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event
from support.harness import delivery

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.lookup import Lookup
from airflow_kombo.ledger.runs import Run, Runs

NAMES = st.sampled_from(["a", "b"])
KEYS = st.builds(LinkKey, NAMES, st.sampled_from(["candidate", "application"]), NAMES, NAMES)
LINKS = st.sampled_from(["x", "y", None])
ASKED = st.lists(st.tuples(KEYS, LINKS), max_size=6)


@pytest.fixture
def claim(warehouse, tables):
    """Return a function to claim rows by key and link, in an empty ledger."""
    Runs(warehouse, tables).start(Run("run"))

    def claim(held):
        with warehouse.begin() as connection:
            connection.execute(delete(tables.links))
            connection.execute(delete(tables.attempts))
        rows = [
            delivery(
                key.result_id,
                integration_id=key.integration_id,
                target_type=key.target_type,
                target_id=key.target_id,
                url=link,
            )
            for key, link in held
        ]
        return [one.request for one in Ledger(warehouse, tables).claim("run", rows).won]

    return claim


@given(held=ASKED, asked=ASKED)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_has_the_key_or_the_link_is_found(warehouse, tables, claim, held, asked):
    """A lookup finds existing keys, and rows with the same link on the same target."""
    rows = claim(held)
    hashes = {link: delivery(url=link).url_hash for link in ("x", "y", None)}
    with warehouse.begin() as connection:
        found = Lookup(warehouse, tables.links).read(
            connection, [(key, hashes[link]) for key, link in asked]
        )
    keys = {LinkKey.of(row) for row in found}
    must = {
        row.key
        for row in rows
        for key, link in asked
        if row.key == key
        or (row.key.target == key.target and link and row.url_hash == hashes[link])
    }
    assert must <= keys <= {row.key for row in rows}


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_postgresql_finds_rows_by_their_key(warehouse, tables, claim):
    """PostgreSQL reads a batch by index, in a table without statistics."""
    rows = claim(
        [(LinkKey(f"i:{n % 7}", "candidate", f"c{n}", f"r{n}"), f"u{n}") for n in range(2000)]
    )
    plans = []

    @event.listens_for(warehouse, "before_cursor_execute", retval=True)
    def explain(connection, cursor, statement, parameters, context, executemany):
        if statement.startswith(("SELECT kombo_result_links", "UPDATE", "DELETE")):
            cursor.execute(f"EXPLAIN {statement}", parameters)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))
        return statement, parameters

    Ledger(warehouse, tables).claim("run", rows[:40])
    assert plans
    assert not [plan for plan in plans if "Seq Scan on kombo_result" in plan]
