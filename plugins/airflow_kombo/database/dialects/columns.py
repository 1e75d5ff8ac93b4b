"""Types of columns that differ between databases, and MySQL's options of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Computed, DateTime, String, Table, Text
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMTEXT
from sqlalchemy.ext.compiler import compiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column
    from sqlalchemy.sql.compiler import DDLCompiler

_MYSQL: Final = ("mysql", "mariadb")

ID: Final = String(255).with_variant(String(250), *_MYSQL)
"""An id. A key of three of them, `target_type` and a number fits MySQL's limit of 3,072 bytes:
MySQL reserves four bytes for each character. A row's id has at most 250 bytes."""
LONG_TEXT: Final = Text().with_variant(MEDIUMTEXT(), *_MYSQL)
"""A text of any length. MySQL's TEXT ends at 64 kB, and a request may be longer."""
MOMENT: Final = DateTime(timezone=True).with_variant(DATETIME(fsp=6), *_MYSQL)
"""A time in UTC, with microseconds. MySQL's own default is whole seconds."""

_OPTIONS: Final = {
    "engine": "InnoDB",  # the engine with transactions
    "row_format": "DYNAMIC",  # others end keys at 767 bytes
    "charset": "utf8mb4",
    # Case and accents count. Blanks at the end do not, but no id has any. MySQL and MariaDB both
    # have this collation; bytes (VARBINARY) would be no text for those who read the tables.
    "collate": "utf8mb4_bin",
}
TABLE_OPTIONS: Final[dict[str, Any]] = {
    f"{name}_{option}": value for name in _MYSQL for option, value in _OPTIONS.items()
}
"""Options of our tables, whatever the defaults of the server and of the database are."""

STORAGE: Final = "postgresql_storage"
"""Key of `Table.info`: PostgreSQL's storage parameters of the table, by name. SQLAlchemy 2.0 has no
argument for them."""


class Derived(Computed):
    """Value that the database derives from other columns of the row.

    PostgreSQL stores the value, because it has no index on one that it does not store. All others
    derive it when they read the row: SQLite cannot add a stored one to a table.
    """


@compiles(Derived)
def _virtual(element: Derived, _compiler: DDLCompiler, **_: object) -> str:
    return f"GENERATED ALWAYS AS ({element.sqltext}) VIRTUAL"


@compiles(Derived, "postgresql")
def _stored(element: Derived, _compiler: DDLCompiler, **_: object) -> str:
    return f"GENERATED ALWAYS AS ({element.sqltext}) STORED"


def storage_of(table: Table) -> str:
    """Return a table's storage parameters in the words of SQL; empty without any."""
    return ", ".join(f"{name} = {value}" for name, value in table.info.get(STORAGE, {}).items())


def written_columns(table: Table) -> Sequence[Column[Any]]:
    """Return a table's columns without those that the database derives."""
    return [column for column in table.columns if column.computed is None]
