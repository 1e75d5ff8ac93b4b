"""Lineage events: the tables read and written by a task, for OpenLineage.

Only Airflow's OpenLineage provider calls this module. So only this module needs the provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from sqlalchemy import make_url

from airflow_kombo.ledger.tables import Tables

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage


def lineage(
    warehouse_conn_id: str,
    ledger_conn_id: str | None = None,
    *,
    sql: str | None,
    table: str | None,
    status_table: str,
) -> OperatorLineage[Any, Any]:
    """Build the lineage of a task, with the tables' names in OpenLineage's form.

    :param ledger_conn_id: The ledger's connection; None where the warehouse holds it.
    :param sql: The query. Its tables are parsed, and a view counts as a table.
    :param table: The table, if there is no query.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415

    tables, warehouse = Tables.named(status_table), _Names(warehouse_conn_id)
    written = [one.fullname for one in (tables.links, tables.attempts, tables.runs)]
    read = [table] if table else []
    if sql:
        read = warehouse.read_by(sql)
    outputs = [warehouse.dataset(name) for name in written]
    if ledger_conn_id not in {None, warehouse_conn_id}:
        ledger = _Names(str(ledger_conn_id))
        outputs = [*map(ledger.dataset, written), warehouse.dataset(status_table)]
    return OperatorLineage(inputs=[warehouse.dataset(name) for name in read], outputs=outputs)


class _Names:
    """Names of the tables behind a connection, in OpenLineage's form."""

    def __init__(self, conn_id: str) -> None:
        self._database, self._schema, self._dialect = _naming(BaseHook.get_hook(conn_id))

    def dataset(self, name: str) -> Dataset:
        """Return a table as a dataset."""
        from airflow.providers.common.compat.openlineage.facet import (  # noqa: PLC0415
            Dataset,
        )
        from airflow.providers.openlineage.sqlparser import SQLParser  # noqa: PLC0415

        qualified = name if "." in name or not self._schema else f"{self._schema}.{name}"
        parts = filter(None, [self._database.database, qualified])
        return Dataset(SQLParser.create_namespace(self._database), ".".join(parts))

    def read_by(self, sql: str) -> list[str]:
        """Return the tables of a query."""
        from airflow.providers.openlineage.sqlparser import SQLParser  # noqa: PLC0415

        parsed = SQLParser(self._dialect, self._schema).parse([sql])
        return sorted(one.qualified_name for one in parsed.in_tables) if parsed else []


def _naming(hook: Any) -> tuple[Any, str | None, str]:
    """Return the database, the schema of names without one, and the dialect."""
    from airflow.providers.openlineage.sqlparser import DatabaseInfo  # noqa: PLC0415

    connection = hook.get_connection(hook.get_conn_id())
    dialect = hook.get_openlineage_database_dialect(connection)
    if database := hook.get_openlineage_database_info(connection):
        return database, hook.get_openlineage_default_schema(), dialect
    # Some providers do not support OpenLineage, such as SQLite's and DuckDB's.
    url = make_url(hook.get_uri())
    return DatabaseInfo(url.get_backend_name(), url.host, url.database), None, dialect
