"""A buffer for rows on the worker's disk until their integration can take them."""

from __future__ import annotations

import copyreg
import io
import pickle
from collections.abc import Iterator, Sequence
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import Any, Final
from weakref import finalize

from airflow_kombo.database.unreadable import Unreadable

_IN_MEMORY_BYTES: Final = 16 * 1024 * 1024
"""Most bytes in memory, some 50,000 rows; more bytes go to the disk."""

_UNKEEPABLE: Final = (TypeError, AttributeError, RecursionError, pickle.PicklingError)
"""Errors of pickling a driver's handle, or JSON that is nested too deep."""

Values = tuple[Any, ...]


class RowBuffer:
    """A buffer of pages of rows, each page for one integration; any thread may read them.

    The file has no name, so it is gone when the process ends, for any reason.

    :param columns: The rows' columns.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - see finalize
        self._pages: dict[str, list[tuple[int, int]]] = {}
        self._turn = Lock()
        finalize(self, self._file.close)

    def put(self, integration_id: str, rows: Sequence[Values]) -> None:
        """Add a page; a value without a pickled form becomes `Unreadable`.

        :raises OSError: if the disk has no room.
        """
        try:
            page = _pickled(rows)
        except _UNKEEPABLE:
            page = _pickled([tuple(map(_keepable, self.columns, row)) for row in rows])
        with self._turn:
            self._file.seek(0, io.SEEK_END)
            start = self._file.tell()
            self._file.write(page)
        self._pages.setdefault(integration_id, []).append((start, len(page)))

    def pages(self, integration_id: str) -> Iterator[list[Values]]:
        """Yield an integration's pages in the order of arrival."""
        for start, size in self._pages.get(integration_id, ()):
            with self._turn:
                self._file.seek(start)
                page = self._file.read(size)
            yield pickle.loads(page)  # noqa: S301 - no other process can write to the file


class _Pickler(pickle.Pickler):
    # psycopg2 returns a memoryview for a binary column, and many tables have such a column.
    dispatch_table = copyreg.dispatch_table | {memoryview: lambda view: (bytes, (view.tobytes(),))}


def _keepable(column: str, value: Any) -> Any:
    try:
        _pickled([(value,)])  # as deep as in its page
    except RecursionError as error:
        return Unreadable.because(error).of(column)
    except _UNKEEPABLE:
        return Unreadable("cannot be kept until it is sent", column)
    return value


def _pickled(rows: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(rows)
    return buffer.getvalue()
