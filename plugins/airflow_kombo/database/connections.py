"""The warehouse behind an Airflow connection, whichever database that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_kombo.database.transactions import prepare
from airflow_kombo.exceptions import ConfigurationError, NoConnectionError

if TYPE_CHECKING:
    from sqlalchemy import Engine

_ENGINE_OPTIONS: Final[dict[str, Any]] = {"pool_pre_ping": True}
_LIBPQ: Final = frozenset({"postgresql", "postgresql+psycopg", "postgresql+psycopg2"})
"""What SQLAlchemy calls PostgreSQL through the drivers that take libpq's parameters."""


def engine_of(warehouse_conn_id: str) -> Engine:
    """Give a SQLAlchemy engine for a connection.

    :raises ConfigurationError: if there is no such connection, or SQLAlchemy cannot speak to one of
        its kind.
    """
    try:
        hook = BaseHook.get_hook(warehouse_conn_id)
    except AirflowNotFoundException:
        raise NoConnectionError(warehouse_conn_id) from None
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise ConfigurationError(
            f"The connection {warehouse_conn_id} is of the type '{hook.conn_type}', which is no SQL"
            " database: name one that is, such as sqlite or postgres."
        )
    options = {**_ENGINE_OPTIONS, "connect_args": _parameters_of(hook)}
    return prepare(hook.get_sqlalchemy_engine(engine_kwargs=options))


def _parameters_of(hook: Any) -> dict[str, Any]:
    """Return what the connection's extra says to libpq, such as `sslmode`.

    Airflow's hook passes it to the driver, and leaves it out of an engine.
    """
    if getattr(hook, "sqlalchemy_scheme", None) not in _LIBPQ:
        return {}
    extra = hook.connection.extra_dejson
    return {name: value for name, value in extra.items() if name not in hook.ignored_extra_options}
