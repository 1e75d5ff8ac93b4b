"""Lineage events: the tables read and written by a task, for OpenLineage.

Only Airflow's OpenLineage provider calls this module. So only this module needs the provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_kombo.ledger.tables import Tables

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


def lineage(
    warehouse_conn_id: str, *, sql: str | None, table: str | None, status_table: str
) -> OperatorLineage[Any, Any]:
    """Build the lineage of a task, with the tables' names in OpenLineage's form.

    :param sql: The query. Its tables are parsed, and a view counts as a table.
    :param table: The table, if there is no query.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset  # noqa: PLC0415
    from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415
    from airflow.providers.openlineage.sqlparser import SQLParser  # noqa: PLC0415

    hook = BaseHook.get_hook(warehouse_conn_id)
    database, schema, dialect = _naming(hook)
    namespace = SQLParser.create_namespace(database)

    def dataset(name: str) -> Dataset:
        qualified = name if "." in name or not schema else f"{schema}.{name}"
        return Dataset(namespace, ".".join(filter(None, [database.database, qualified])))

    read = [table] if table else []
    if sql and (parsed := SQLParser(dialect, schema).parse([sql])):
        read = sorted(one.qualified_name for one in parsed.in_tables)
    tables = Tables.named(status_table)
    written = [tables.links, tables.attempts, tables.runs]
    return OperatorLineage(
        inputs=[dataset(name) for name in read],
        outputs=[dataset(one.fullname) for one in written],
    )


def _naming(hook: Any) -> tuple[Any, str | None, str]:
    """Return the database, the schema of names without one, and the dialect."""
    from airflow.providers.openlineage.sqlparser import DatabaseInfo  # noqa: PLC0415

    connection = hook.get_connection(hook.get_conn_id())
    dialect = hook.get_openlineage_database_dialect(connection)
    if database := hook.get_openlineage_database_info(connection):
        return database, hook.get_openlineage_default_schema(), dialect
    # Some providers do not support OpenLineage, such as SQLite's.
    url = hook.get_sqlalchemy_engine().url
    return DatabaseInfo(url.get_backend_name(), url.host, url.database), None, dialect
