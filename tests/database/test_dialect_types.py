"""Types of the written-back table, compared with each warehouse's own dialect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Date, DateTime, Integer, String, Text

from airflow_kombo.database.warehouse_kinds import KINDS

UV = Path(sys.executable).with_name("uv")
TYPES = {
    "string": String(255),
    "text": Text(),
    "integer": Integer(),
    "date": Date(),
    "moment": DateTime(timezone=True),
}
COMPILE = """
import json
from sqlalchemy import Date, DateTime, Integer, String, Text, make_url
dialect = make_url("{url}").get_dialect()()
types = {{"string": String(255), "text": Text(), "integer": Integer(), "date": Date(),
         "moment": DateTime(timezone=True)}}
print(json.dumps({{name: one.compile(dialect=dialect) for name, one in types.items()}}))
"""
# The packages of each dialect, its address, and its types where ours differ on purpose.
DIALECTS = {
    "bigquery": (
        ["sqlalchemy-bigquery"],
        "bigquery://",
        {"moment": "DATETIME"},  # without a zone: a TIMESTAMP is UTC
    ),
    "databricks": (
        ["databricks-sqlalchemy"],
        "databricks://",
        {"moment": "TIMESTAMP_NTZ"},  # needs a feature of the table that older ones lack
    ),
    "redshift": (
        ["sqlalchemy-redshift", "psycopg2-binary"],
        "redshift+psycopg2://",
        {"string": "VARCHAR(255)", "text": "TEXT"},  # 255 octets, and 256
    ),
    "snowflake": (
        ["snowflake-sqlalchemy"],
        "snowflake://",
        {"text": "TEXT", "moment": "TIMESTAMP_TZ"},  # one type with two names; UTC needs no zone
    ),
    "mysql": (
        ["sqlalchemy", "pymysql"],
        "mysql+pymysql://",
        # The collation tells aB1 from Ab1; 64 KB are too few; and DATETIME is of whole seconds.
        {"string": "VARCHAR(255)", "text": "TEXT", "moment": "DATETIME"},
    ),
    "sqlserver": (
        ["sqlalchemy", "pymssql"],
        "mssql+pymssql://",
        {
            "string": "VARCHAR(255)",  # of one code page
            "text": "TEXT",  # deprecated
            "integer": "INTEGER",  # one type with two names
            "date": "DATETIME",  # without a connection the dialect assumes a server of 2005
            "moment": "DATETIMEOFFSET",  # its ODBC driver's Python knows no such type
        },
    ),
}


@pytest.mark.parametrize("kind", DIALECTS)
def test_our_types_are_those_of_the_warehouses_own_dialect(kind, tmp_path):
    """A column's type is the one of the real SQLAlchemy dialect, but for named exceptions."""
    packages, url, different = DIALECTS[kind]
    python = install(tmp_path / "venv", packages)
    code = COMPILE.format(url=url)
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    theirs = json.loads(done.stdout)
    ours = {name: KINDS[kind].type_of(one) for name, one in TYPES.items()}
    assert {name: one for name, one in theirs.items() if one != ours[name]} == different


def install(folder, packages):
    """Install packages into an environment of their own, and return its Python."""
    python = folder / "bin" / "python"
    for command in (
        [UV, "venv", "--quiet", "--python", sys.executable, folder],
        [UV, "pip", "install", "--quiet", "--python", python, *packages],
    ):
        done = subprocess.run(  # noqa: S603 - our own command
            command, capture_output=True, text=True, check=False, timeout=180
        )
        if done.returncode:
            pytest.skip(f"{packages} could not be installed: {done.stderr.strip()[-200:]}")
    return python
