"""The databases behind Airflow connections."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseHook
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from airflow_kombo.airflow_compat import AirflowException, AirflowNotFoundException
from airflow_kombo.database.dialects import dialect_named, is_known
from airflow_kombo.database.hook_database import HookDatabase
from airflow_kombo.database.transactions import prepare
from airflow_kombo.exceptions import ConfigurationError, NoConnectionError

if TYPE_CHECKING:
    from sqlalchemy import Engine

_SQL_HOOKS: Final = {
    "databricks": "airflow.providers.databricks.hooks.databricks_sql.DatabricksSqlHook"
}
"""Hooks for SQL, by the type of connections for which Airflow has another hook."""
_CALLED_OTHERWISE: Final = frozenset({"redshift"})
"""Types of connections whose URL names another database: Redshift's begins with postgresql."""


def engine_of(conn_id: str) -> Engine:
    """Build a SQLAlchemy engine for the ledger's connection.

    :raises NoConnectionError: if there is no such connection.
    :raises ConfigurationError: if the connection is not to a SQL database that can have a ledger.
    """
    hook = hook_of(conn_id)
    if _dialect_of(hook) is None:
        raise ConfigurationError(
            f"The connection {conn_id} has the type '{hook.conn_type}', which cannot hold the"
            " ledger. Set ledger_conn_id to a connection to PostgreSQL, SQLite, MySQL or MariaDB;"
            " the rows may come from any warehouse."
        )
    options = {"connect_args": _connect_args(hook)}
    return prepare(hook.get_sqlalchemy_engine(engine_kwargs=options))


def warehouse_of(conn_id: str) -> Engine | HookDatabase:
    """Open the warehouse of a connection: an engine where this project knows the database.

    :raises NoConnectionError: if there is no such connection.
    :raises ConfigurationError: if the connection is not to a SQL database.
    """
    hook = hook_of(conn_id)
    if _dialect_of(hook) is not None:
        return engine_of(conn_id)
    return database_of(conn_id)


def database_of(conn_id: str) -> HookDatabase:
    """Return the database of a connection, through its Airflow hook.

    :raises NoConnectionError: if there is no such connection.
    :raises ConfigurationError: if the connection is not to a SQL database.
    """
    hook = hook_of(conn_id)
    if not hasattr(hook, "get_conn") or not hasattr(hook, "get_records"):
        raise ConfigurationError(
            f"The connection {conn_id} has the type '{hook.conn_type}', which is not a SQL"
            " database. Name a connection to one, such as postgres or snowflake."
        )
    return HookDatabase(hook)


def hook_of(conn_id: str) -> Any:
    """Return the Airflow hook of a connection.

    :raises NoConnectionError: if there is no such connection.
    :raises ConfigurationError: if Airflow has no hook for the connection's type.
    """
    try:
        hook = BaseHook.get_hook(conn_id)
    except AirflowNotFoundException:
        raise NoConnectionError(conn_id) from None
    except AirflowException as error:  # such as: Unknown hook type "snowflake"
        raise ConfigurationError(
            f"The connection {conn_id} cannot be used: {error}. Install the Airflow provider of its"
            " type: the warehouse's page in docs/warehouses names the package."
        ) from None
    if path := _SQL_HOOKS.get(hook.conn_type):
        module, _, name = path.rpartition(".")
        hook = getattr(import_module(module), name)(conn_id)
    return hook


def _dialect_of(hook: Any) -> str | None:
    """Return SQLAlchemy's name of a hook's database; None for an unknown one."""
    if not hasattr(hook, "get_sqlalchemy_engine") or hook.conn_type in _CALLED_OTHERWISE:
        return None
    try:
        name = make_url(hook.get_uri()).get_backend_name()
    except (ArgumentError, NotImplementedError):  # the hook has no URL for SQLAlchemy
        return None
    return name if is_known(name) else None


def _connect_args(hook: Any) -> dict[str, Any]:
    """Return the connection's arguments for the driver; the hook leaves them out of an engine."""
    scheme = getattr(hook, "sqlalchemy_scheme", None)
    if not scheme:  # only PostgreSQL's hook has one, and leaves arguments out
        return {}
    ignored = getattr(hook, "ignored_extra_options", ())
    extra = hook.connection.extra_dejson
    used = {name: value for name, value in extra.items() if name not in ignored}
    return dialect_named(scheme.partition("+")[0]).connect_args(scheme, used)
