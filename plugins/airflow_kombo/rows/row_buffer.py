"""A buffer for rows on the worker's disk until their integration can take them."""

from __future__ import annotations

import io
import pickle
from collections.abc import Collection, Iterator
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import Any, Final
from weakref import finalize

from airflow_kombo.exceptions import ConfigurationError

_IN_MEMORY_BYTES: Final = 16 * 1024 * 1024
"""Most bytes in memory, some 50,000 rows; more bytes go to the disk."""


class RowBuffer:
    """A buffer of pages, each page for one integration; any thread may read them.

    The file has no name, so it is gone when the process ends, for any reason.
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - see finalize
        self._pages: dict[str, list[tuple[int, int]]] = {}
        self._turn = Lock()
        finalize(self, self._file.close)

    def put(self, integration_id: str, page: Collection[Any]) -> None:
        """Add a page.

        :raises ConfigurationError: if the disk has no room.
        """
        data = pickle.dumps(page, pickle.HIGHEST_PROTOCOL)
        try:
            with self._turn:
                self._file.seek(0, io.SEEK_END)
                start = self._file.tell()
                self._file.write(data)
        except OSError as error:
            raise no_room(error.strerror or type(error).__name__) from None
        self._pages.setdefault(integration_id, []).append((start, len(data)))

    def pages(self, integration_id: str) -> Iterator[Any]:
        """Yield an integration's pages in the order of arrival."""
        for start, size in self._pages.get(integration_id, ()):
            with self._turn:
                self._file.seek(start)
                data = self._file.read(size)
            yield pickle.loads(data)  # noqa: S301 - no other process can write to the file


def no_room(reason: str) -> ConfigurationError:
    """Return the error of a disk without room.

    :param reason: The system's word for it.
    """
    return ConfigurationError(
        f"The worker's temporary folder cannot take the rows until they are sent: {reason}. Give it"
        " room, or set TMPDIR to another folder."
    )
