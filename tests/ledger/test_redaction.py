"""Redaction of the requests in the history."""

from __future__ import annotations

import pytest
from support.harness import all_of, delivery

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.redaction import redactor
from airflow_kombo.ledger.runs import Run, Runs


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"masked": ["label"]}, '{"label": "***"}'),
        ({"masked": ["url"]}, '{"label": "Coding"}'),
        ({"store": False}, None),
    ],
)
def test_what_the_history_keeps_is_a_setting(warehouse, tables, options, kept):
    """A deployment may mask members of the stored request, or store none."""
    Runs(warehouse, tables).start(Run("run"))
    Ledger(warehouse, tables, redactor(**options)).claim("run", [delivery()])
    (attempt,) = all_of(warehouse, tables.attempts)
    assert attempt.request == kept
