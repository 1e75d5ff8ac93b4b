"""Rows of a query, with placeholders for values beyond the driver.

A driver raises for an infinite date or for JSON nested too deep, and with it the whole query fails.
A reader here puts `Unreadable` in place of such a value, so that only the value's row is invalid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, cast

from sqlalchemy import Connection, event

from airflow_kombo.database.unreadable import Unreadable

_ALWAYS_READABLE: Final = frozenset({16, 17, 20, 21, 23, 700, 701, 1700, 2950})
"""PostgreSQL's numbers of booleans, bytes, numbers and UUIDs: Python has a value for each."""
_TEXT: Final = frozenset({19, 25, 1042, 1043})
"""Its numbers of the types of text, which the server checks, unless its encoding is SQL_ASCII."""
_DATES: Final = frozenset({1082, 1114, 1115, 1182, 1184, 1185})
"""Its numbers of dates and timestamps, and of lists of them."""


class CursorReader:
    """The rows of one query; this base leaves conversions to the driver.

    :param types: The query's columns, each with the driver's word for its type.
    """

    def __init__(self, connection: Connection, types: Mapping[str, object]) -> None:
        self._connection = connection
        self._names = list(types)
        self._types = frozenset(types.values())
        self._found_unreadable = False
        self._faults = (
            connection.dialect.loaded_dbapi.Error,
            ArithmeticError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        )

    def prepared(self) -> AbstractContextManager[None]:
        """Return a context in which the driver puts `Unreadable` in place of such a value."""
        return nullcontext()

    def rows(self, chunk: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        """Return rows as tuples; an unreadable value has the name of a column."""
        if not self._found_unreadable:
            return map(tuple, chunk)
        return (tuple(map(self._named, self._names, row)) for row in chunk)

    @staticmethod
    def _named(name: str, value: Any) -> Any:
        return value.of(name) if isinstance(value, Unreadable) else value

    def _unreadable(self, error: Exception) -> Unreadable:
        self._found_unreadable = True
        return Unreadable.because(error)

    def _forgiving(self, convert: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a conversion to return `Unreadable` instead of raising."""
        faults, unreadable = self._faults, self._unreadable

        def converted(*data: Any) -> Any:
            try:
                return convert(*data)
            except faults as error:
                return unreadable(error)

        return converted


class SQLiteReader(CursorReader):
    """The rows of one query through Python's own driver: a text may be any bytes."""

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Wrap the decoding of texts meanwhile."""
        raw = cast("Any", self._connection.connection.driver_connection)
        usual, raw.text_factory = raw.text_factory, self._forgiving(bytes.decode)
        try:
            yield
        finally:
            raw.text_factory = usual


class _PostgreSQLReader(CursorReader):
    """The rows of one query on PostgreSQL, with conversions set on each cursor."""

    def _doubtful_types(self) -> frozenset[int]:
        """Return the types with impossible values: the others keep the driver's speed."""
        safe_texts = frozenset[int]() if self._is_unchecked() else _TEXT
        return cast("frozenset[int]", self._types) - _ALWAYS_READABLE - safe_texts

    def _is_unchecked(self) -> bool:
        """Return True if a text of this server may be any bytes."""
        raw: Any = self._connection.connection.driver_connection
        return bool(raw.info.parameter_status("server_encoding") == "SQL_ASCII")

    @contextmanager
    def _adapting(self, adapt: Callable[..., None]) -> Iterator[None]:
        """Call a function for each cursor of the connection, before it executes."""
        event.listen(self._connection, "before_cursor_execute", adapt)
        try:
            yield
        finally:
            event.remove(self._connection, "before_cursor_execute", adapt)


class PsycopgReader(_PostgreSQLReader):
    """The rows of one query through psycopg."""

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Wrap psycopg's loaders of the doubtful types meanwhile."""
        from psycopg.pq import Format  # noqa: PLC0415 - the warehouse may be another database

        doubtful, is_unchecked = self._doubtful_types(), self._is_unchecked()

        def adapt(_connection: Connection, cursor: Any, *_: Any) -> None:
            for oid in doubtful:
                known = cursor.adapters.get_loader(oid, Format.TEXT)
                usual = known or cursor.adapters.get_loader(0, Format.TEXT)  # as a text
                cursor.adapters.register_loader(oid, self._loader(usual, decodes=is_unchecked))

        if is_unchecked:  # else the server would check now, and end the query
            self._connection.exec_driver_sql("SET LOCAL client_encoding TO 'SQL_ASCII'")
        with self._adapting(adapt):
            yield

    def _loader(self, usual: type[Any], *, decodes: bool) -> type[Any]:
        """Build a loader for psycopg from a usual one; the new one never raises.

        :param decodes: Whether the loader returns bytes for a text, which are to be decoded.
        """
        from psycopg.adapt import Loader  # noqa: PLC0415 - see above

        faults, unreadable = self._faults, self._unreadable

        class Forgiving(Loader):
            def __init__(self, oid: int, context: Any = None) -> None:
                super().__init__(oid, context)
                load = usual(oid, context).load
                self._load = (lambda data: _decoded(load(data))) if decodes else load

            def load(self, data: Any) -> Any:  # for every value: so it calls no more than it needs
                try:
                    return self._load(data)
                except faults as error:
                    return unreadable(error)

        return Forgiving


class Psycopg2Reader(_PostgreSQLReader):
    """The rows of one query through psycopg2."""

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Wrap psycopg2's conversions of the doubtful types meanwhile."""
        extensions: Any = self._connection.dialect.loaded_dbapi.extensions

        def caster_of(oid: int, raw: Any) -> Any:
            known = {**extensions.string_types, **raw.string_types}
            usual = self._forgiving(known.get(oid, extensions.UNICODE))

            def cast_(text: str | None, cursor: Any) -> Any:
                if text and oid in _DATES and "infinity" in text:  # it would be the year 9999
                    return self._unreadable(OverflowError())
                return usual(text, cursor)

            return extensions.new_type((oid,), f"FORGIVING_{oid}", cast_)

        def adapt(_connection: Connection, cursor: Any, *_: Any) -> None:
            for oid in self._doubtful_types():
                extensions.register_type(caster_of(oid, cursor.connection), cursor)

        with self._adapting(adapt):
            yield


def _decoded(value: Any) -> Any:
    """Decode bytes: psycopg returns them for a text without an encoding."""
    return value.decode() if type(value) is bytes else value
