"""Rows of a source after a function of the dag's author, from frame to frame."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Final

from airflow_kombo.exceptions import TransformError
from airflow_kombo.rows.frames import checked_frame
from airflow_kombo.suggestions import did_you_mean

if TYPE_CHECKING:
    from pandas import DataFrame

    from airflow_kombo.rows.source import Source

    Transform = Callable[[DataFrame], DataFrame]

_WHAT: Final = "The function transform"


class TransformedSource:
    """The rows of a source, each chunk transformed.

    :param source: The rows as they are.
    :param transform: A function from frame to frame. It gets each chunk, and none without rows.
    """

    def __init__(self, source: Source, transform: Transform) -> None:
        self._source = source
        self._transform = transform

    def columns(self) -> Collection[str]:
        """Return no columns: the function makes them."""
        return ()

    def chunks(self) -> Iterator[DataFrame]:
        """Yield the transformed chunks.

        :raises TransformError: if the function raises.
        :raises ConfigurationError: if the function returns no frame, or one with a column twice.
        """
        for chunk in self._source.chunks():
            if len(chunk) == 0:
                continue
            made = checked_frame(self._transformed(chunk), _WHAT)
            if len(made.columns) or len(made):  # a frame of no records has no columns either
                yield made

    @property
    def divides(self) -> bool:
        """Return False: the rows of other shards are left out later."""
        return False

    def counts(self) -> None:
        """Return no counts: the rows have to be read."""

    def cancel(self) -> None:
        """Cancel the reading of the source; any thread may call this."""
        self._source.cancel()

    def _transformed(self, chunk: DataFrame) -> object:
        columns = list(chunk.columns)
        try:
            return self._transform(chunk)
        except Exception as error:  # noqa: BLE001 - the author's code may raise anything
            raise TransformError(_explain(error, columns)) from None


def _explain(error: Exception, columns: Collection[str]) -> str:
    """Return the kind and the place of an error, and never the text: it may quote a row."""
    places = list(traceback.walk_tb(error.__traceback__))
    # The author's own line, not one of pandas'.
    own = [one for one in places[1:] if "site-packages" not in one[0].f_code.co_filename]
    frame, line = (own or places)[-1]
    code, kind = frame.f_code, type(error).__name__
    text = f"{_WHAT} raised {kind}, at {code.co_filename}, line {line}, in {code.co_name}"
    name = error.args[0] if isinstance(error, KeyError) and error.args else None
    # A name in the author's code is a column. Any other key may be a cell of a row.
    if isinstance(name, str) and name in code.co_consts and name not in columns:
        have = ", ".join(sorted(columns))
        text += (
            f": the rows have no column '{name}'{did_you_mean(name, columns)}. They have: {have}"
        )
    return f"{text}. Nothing was sent."
