"""The engine behind an Airflow connection, for any SQL database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_kombo.database.dialects import dialect_named
from airflow_kombo.database.transactions import prepare
from airflow_kombo.exceptions import ConfigurationError, NoConnectionError

if TYPE_CHECKING:
    from sqlalchemy import Engine

_ENGINE_OPTIONS: Final[dict[str, Any]] = {"pool_pre_ping": True}


def engine_of(warehouse_conn_id: str) -> Engine:
    """Build a SQLAlchemy engine for a connection.

    :raises NoConnectionError: if there is no such connection.
    :raises ConfigurationError: if the connection is not to a SQL database.
    """
    try:
        hook = BaseHook.get_hook(warehouse_conn_id)
    except AirflowNotFoundException:
        raise NoConnectionError(warehouse_conn_id) from None
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise ConfigurationError(
            f"The connection {warehouse_conn_id} has the type '{hook.conn_type}', which is not a"
            " SQL database. Name a connection to one, such as sqlite or postgres."
        )
    options = {**_ENGINE_OPTIONS, "connect_args": _connect_args(hook)}
    return prepare(hook.get_sqlalchemy_engine(engine_kwargs=options))


def _connect_args(hook: Any) -> dict[str, Any]:
    """Return the connection's arguments for the driver; the hook leaves them out of an engine."""
    scheme = getattr(hook, "sqlalchemy_scheme", None)
    if not scheme:  # only PostgreSQL's hook has one, and leaves arguments out
        return {}
    ignored = getattr(hook, "ignored_extra_options", ())
    extra = hook.connection.extra_dejson
    used = {name: value for name, value in extra.items() if name not in ignored}
    return dialect_named(scheme.partition("+")[0]).connect_args(scheme, used)
