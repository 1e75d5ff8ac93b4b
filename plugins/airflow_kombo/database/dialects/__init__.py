"""Dialects: one class a database for everything different between databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from airflow_kombo.database.dialects.base import Dialect
from airflow_kombo.database.dialects.mysql import MySQL
from airflow_kombo.database.dialects.postgresql import PostgreSQL
from airflow_kombo.database.dialects.sqlite import SQLite

if TYPE_CHECKING:
    from sqlalchemy import exc

__all__ = [
    "Dialect",
    "MySQL",
    "PostgreSQL",
    "SQLite",
    "dialect_named",
    "dialect_of",
    "is_known",
    "raised_by",
]

_OTHER: Final = Dialect()
_KNOWN: Final[tuple[Dialect, ...]] = (PostgreSQL(), SQLite(), MySQL())
_BY_NAME: Final = {name: dialect for dialect in _KNOWN for name in dialect.names}
_BY_DRIVER: Final = {driver: dialect for dialect in _KNOWN for driver in dialect.drivers}


class _Named(Protocol):
    @property
    def name(self) -> str:
        """Return SQLAlchemy's name of the database."""


class _Bound(Protocol):
    @property
    def dialect(self) -> _Named:
        """Return SQLAlchemy's dialect."""


def dialect_of(bound: _Bound) -> Dialect:
    """Return the dialect of an engine, a connection or a compiler of SQLAlchemy's."""
    return dialect_named(bound.dialect.name)


def dialect_named(name: str) -> Dialect:
    """Return the dialect for SQLAlchemy's name of a database, such as `postgresql`."""
    return _BY_NAME.get(name, _OTHER)


def is_known(name: str) -> bool:
    """Return True for SQLAlchemy's name of a database that this project knows."""
    return name in _BY_NAME


def raised_by(error: exc.SQLAlchemyError) -> Dialect:
    """Return the dialect of an error, by the driver."""
    module = type(getattr(error, "orig", None)).__module__
    return _BY_DRIVER.get(module.partition(".")[0], _OTHER)
