"""CSV of unknown rows, for a person who looks their calls up in Kombo's logs."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import and_

from airflow_kombo.ledger.decision_file import lines_of_unknown
from airflow_kombo.ledger.unknown_export import UnknownExport
from airflow_kombo.statuses import Status
from airflow_kombo.web.database import Warehouse
from airflow_kombo.web.row_counts import has_status
from airflow_kombo.web.row_filter import UnknownFilter
from airflow_kombo.web.rows import days_of


def unknown_csv(row_filter: UnknownFilter, warehouse: Warehouse) -> Iterator[str]:
    """Write the unknown rows as CSV, each batch read in one transaction."""
    links = warehouse.tables.links.c
    wanted = {
        links.error_code: row_filter.error_code,
        links.integration_id: row_filter.integration,
    }
    conditions = [column == value for column, value in wanted.items() if value is not None]
    conditions += days_of(links.assessment_date, row_filter)
    with warehouse.reading() as connection:
        conditions.append(has_status(connection, warehouse.tables, [Status.UNKNOWN]))
    export = UnknownExport(warehouse.tables, and_(*conditions))
    return lines_of_unknown(export.batches(warehouse.reading))
