"""Decisions about `unknown` rows: the work of the operator's task.

Only the methods of `KomboResolveUnknownOperator` import this module: what it imports is too heavy
for Airflow's dag processor.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, NoReturn

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.ledger.decisions import DecisionBy
from airflow_kombo.ledger.time_limits import KOMBO_LOG_DAYS
from airflow_kombo.ledger.unknown_rows import (
    NOT_FOUND,
    UnknownRows,
    UnknownRowsFilter,
)
from airflow_kombo.operators.databases import opened
from airflow_kombo.operators.parameters import ResolveParameters
from airflow_kombo.statuses import Decision

log = logging.getLogger(__name__)

_NAMED_IN_A_QUESTION: Final = 20
_QUESTION: Final = f"""
**{{rows}} rows** are `unknown`: no response proves whether Kombo carried their requests out. Find
them in Kombo's dashboard under *Logs*, by integration and time; logs are kept for
{KOMBO_LOG_DAYS} days.

| integration | error code | rows |
| --- | --- | --- |
{{groups}}

At most {_NAMED_IN_A_QUESTION} of the results: {{results}}

`{Decision.CREATED}`: they become `success`, and are not sent again. `{Decision.NOT_CREATED}`: they
become `retryable`, and the next run of their day sends them. The answer decides the rows that are
`unknown` now.
"""


@contextmanager
def unknown_rows(
    warehouse_conn_id: str, ledger_conn_id: str | None, status_table: str, *, decides: bool = True
) -> Iterator[UnknownRows]:
    """Open the ledger's `unknown` rows, and create its tables where they are missing.

    Where the ledger is not in the warehouse, the decisions are written back afterwards.

    :param decides: False for a dry run, which writes nothing to the warehouse.
    """
    with opened(warehouse_conn_id, ledger_conn_id, status_table) as databases:
        if decides:
            databases.check()
        yield UnknownRows(databases.ledger, databases.tables)
        if decides:
            databases.write_back()


def parameters_of(operator: object) -> ResolveParameters:
    """Read an operator's parameters.

    :raises ConfigurationError: naming each parameter that cannot be read.
    """
    return ResolveParameters.of(operator)


def filter_of(parameters: ResolveParameters, until: datetime | None = None) -> UnknownRowsFilter:
    """Build the filter of rows from a task's parameters.

    :param until: Only rows that were `unknown` by then.
    :raises ConfigurationError: if no condition is set. A file of decisions names its rows, and an
        export decides nothing: they need no condition.
    """
    rows_filter = UnknownRowsFilter(
        result_ids=parameters.result_ids,
        integration_ids=parameters.integration_ids,
        assessment_date=parameters.assessment_date,
        error_code=parameters.error_code,
        run_id=parameters.run_id,
        until=until,
    )
    is_needed = not (parameters.has_file or parameters.export_to)
    if is_needed and rows_filter.is_everything:
        raise ConfigurationError(
            "No condition is set: set result_ids, integration_ids, assessment_date, error_code or"
            " run_id. Without any of them, every unknown row would be decided."
        )
    return rows_filter


def decision_by(decision: Decision, reason: str | None, person: str) -> DecisionBy:
    """Build a person's decision.

    :raises ConfigurationError: if it has no reason.
    """
    if not reason:
        raise ConfigurationError(
            "A decision needs a reason, for the attempts' history: set it, and run the task again."
        )
    return DecisionBy(decision, reason, person)


def log_others(
    unknown: UnknownRows, rows_filter: UnknownRowsFilter, decision: Decision = Decision.CREATED
) -> int:
    """Log the named results not open to a decision, and return their number.

    :raises ConfigurationError: if no named result has a row, so that they must be mistyped.
    """
    left = not_found = 0
    for others in unknown.others(rows_filter, decision):
        not_found += len(others.get(NOT_FOUND, ()))
        for status, result_ids in sorted(others.items()):
            left += len(result_ids)
            log.warning(
                "%d results are left as they are (%s): %s",
                len(result_ids),
                status,
                ", ".join(result_ids),
            )
    if not_found and not_found == len(rows_filter.result_ids):
        raise ConfigurationError(
            f"None of the {not_found} result_ids has a row in {unknown.tables.links.fullname} that"
            " meets the other conditions: check them."
        )
    return left


def log_rows(
    unknown: UnknownRows, rows_filter: UnknownRowsFilter, decision: Decision = Decision.CREATED
) -> dict[str, int]:
    """Log the rows of a dry run, and return their number."""
    rows = 0
    for result_ids in unknown.in_doubt(rows_filter, decision):
        rows += len(result_ids)
        log.info("Would be decided: %s", ", ".join(result_ids))
    log.info("This was a dry run: %d rows would be decided, none was.", rows)
    return {"would_be_decided": rows}


def decide(
    unknown: UnknownRows, rows_filter: UnknownRowsFilter, decision: DecisionBy
) -> dict[str, int]:
    """Decide the rows in batches, and return their number."""
    decided = 0
    for rows in unknown.decide(rows_filter, decision):
        decided += rows
        log.info("%d rows are decided: %s", decided, decision.decision)
    log.info("In all %d rows are decided: %s", decided, decision.decision)
    return {"decided": decided}


def require_decision(question: str) -> NoReturn:
    """Write a question to the log, where Airflow cannot wait for the answer.

    :raises ConfigurationError: always.
    """
    log.info(question)
    raise ConfigurationError(
        "A task can wait for an answer only in Airflow 3.3 and later. The rows are in the log:"
        " trigger the dag again with a decision and a reason."
    )


def question_about(unknown: UnknownRows, rows_filter: UnknownRowsFilter) -> str | None:
    """Write the question to a person, in Markdown, or return None if no row is `unknown`."""
    counts = unknown.count(rows_filter)
    if not counts:
        return None
    results = next(unknown.in_doubt(rows_filter), [])[:_NAMED_IN_A_QUESTION]
    largest = sorted(counts.items(), key=lambda group: -group[1])[:_NAMED_IN_A_QUESTION]
    groups = [f"| `{integration}` | `{code}` | {rows} |" for (integration, code), rows in largest]
    return _QUESTION.format(
        rows=sum(counts.values()),
        groups="\n".join(groups),
        results=", ".join(f"`{result_id}`" for result_id in results),
    )
