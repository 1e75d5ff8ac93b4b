"""Advice for errors that only a person can correct."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, make_url, text
from support.harness import DAY

from airflow_kombo.database.advice import is_refusal, lacks_rights, with_advice
from airflow_kombo.database.transactions import bare_connection
from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.rows.described_query import describe

CAUSES = {
    'UndefinedTable: relation "exams" does not exist': "its schema before a dot",
    "OperationalError: no such table: exams": "its schema before a dot",
    "ProgrammingError: (1146, \"Table 'a.exams' doesn't exist\")": "its schema before a dot",
    'UndefinedColumn: column "exma" does not exist': "the name of the column",
    "OperationalError: no such column: exma": "the name of the column",
    "ProgrammingError: 000904 (42000): SQL compilation error: invalid identifier 'EXMA'": "column",
    "UndefinedFunction: operator does not exist: text >= date": "AS date)",
    "InsufficientPrivilege: permission denied for schema hiring": "USAGE of the schema",
    "InsufficientPrivilege: must be owner of table kombo_result_links": "docs/warehouses",
    "OperationalError: (2003, \"Can't connect to MySQL server on '127.0.0.1'\")": "host and port",
    "OperationalError: connection failed: [Errno -2] Name or service not known": "host and port",
    'SyntaxError: syntax error at or near "points"': "SQL client",
}


@pytest.mark.parametrize("cause", CAUSES)
def test_an_error_ends_with_its_fix(cause):
    """The words of an error decide what a person is told to do."""
    told = with_advice(cause)
    assert told.startswith(f"{cause}. ")
    assert CAUSES[cause] in told


@pytest.mark.parametrize(
    "cause",
    [
        "IntegrityError",
        "LockNotAvailable: canceling statement due to lock timeout",
        "OperationalError: server closed the connection unexpectedly",
    ],
)
def test_an_error_that_may_pass_has_no_advice(cause):
    """An error that nobody can correct stays as it is."""
    assert with_advice(cause) == cause
    assert not is_refusal(cause)
    assert not lacks_rights(cause)


@pytest.mark.parametrize("wrong", [{"database": "no_such_database"}, {"username": "nobody"}])
def test_a_refused_login_is_not_tried_again(postgres, wrong):
    """A login or a database that the server does not know is a matter of configuration."""
    engine = create_engine(make_url(postgres).set(**wrong))
    with (
        pytest.raises(ConfigurationError, match=r"Check .+ connection"),
        bare_connection(engine, "say its version"),
    ):
        pass
    engine.dispose()


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("query", "fix"),
    [
        ("SELECT id AS result_id FROM exams", "before a dot"),
        ("SELECT id FROM hiring.exams", "such as: my_column AS result_id."),
        ("SELECT di AS result_id FROM hiring.exams", "the name of the column"),
        ("SELECT id AS result_id FROM hiring.exams WHERE day >= :assessment_date", "AS date)"),
    ],
)
def test_a_newcomers_query_gets_the_fix(warehouse, query, fix):
    """A table in another schema, a lost alias, a typing error and a day as text name the fix."""
    with warehouse.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS hiring CASCADE"))
        connection.execute(text("CREATE SCHEMA hiring"))
        connection.execute(text("CREATE TABLE hiring.exams (id uuid, day text)"))
    with pytest.raises(ConfigurationError) as raised:
        describe(warehouse, query, {"assessment_date": DAY}, ["result_id"])
    assert fix in str(raised.value)
