"""Sources of a request's texts: columns with a format, and Jinja templates over a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from jinja2 import StrictUndefined, Template, TemplateError, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError
from pydantic import BaseModel, ConfigDict

from airflow_kombo.rows.formats import FORMATS, UnwritableError, is_missing, plain, text_of
from airflow_kombo.rows.frames import cells
from airflow_kombo.rows.sandbox import LARGEST, Sandbox

if TYPE_CHECKING:
    from pandas import DataFrame

ROW_FAULTS: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TemplateError,
    TypeError,
    ValueError,
)
"""Errors of a template for a value that its author did not expect."""
_FORBIDDEN: Final = (
    "its template is not allowed: it reads Python's internals, changes a value, or makes more than"
    f" {LARGEST} characters or items from a number: change the mapping"
)
_JINJA: Final = Sandbox(
    autoescape=False,  # the text goes into JSON; the ATS escapes it for its screen
    undefined=StrictUndefined,
    finalize=lambda value: value if isinstance(value, StrictUndefined) else text_of(value),
)


_SAME: Final = frozenset({str, int, bool, float, date, NoneType})
"""Types whose equal values have equal texts. Equal moments of two time zones have two texts."""

Text = str | Exception | None
"""A row's text: None for a missing value, an error for a value that does not fit."""


class Declared(BaseModel):
    """Content of a mapping's file. An unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(Declared):
    """A column and the format of the values."""

    column: str
    format: Literal["text", "percent", "duration", "date"] = "text"
    of: str | None = None
    """The column of the whole, for `percent`. Without one, the value is a percentage already."""

    @property
    def columns(self) -> set[str]:
        """The columns of the text."""
        return {self.column} | ({self.of} if self.of else set())

    def texts(self, frame: DataFrame) -> list[Text]:
        """Return the text of each row."""
        columns = [cells(frame, name) for name in (self.column, self.of) if name]
        return _each(self._text, columns, _SAME | {Decimal})

    def _text(self, value: object, of: object = None) -> str | None:
        if is_missing(value) or (self.of and is_missing(of)):
            return None
        return FORMATS[self.format](value, of)


class TemplateText:
    """A Jinja template over a row's columns.

    :param source: The template's text.
    :raises TemplateError: if the text is no template, or has parts that a mapping may not have.
    """

    def __init__(self, source: str) -> None:
        tree = _JINJA.parse(source)
        _JINJA.check(tree)
        self.columns = sorted(meta.find_undeclared_variables(tree))
        self._template: Template = _JINJA.from_string(source)
        self._pieces = _pieces_of(tree)

    def texts(self, frame: DataFrame) -> list[Text]:
        """Return the text of each row; None also where a needed value is missing."""
        write = self._render if self._pieces is None else self._joined
        if not self.columns:
            return _each(write, [], _SAME) * len(frame)
        return _each(write, [cells(frame, name) for name in self.columns], _SAME)

    def _joined(self, *values: object) -> str | None:
        if any(map(is_missing, values)):
            return None
        known = dict(zip(self.columns, map(text_of, values), strict=True))
        return "".join(
            piece.data if isinstance(piece, nodes.TemplateData) else known[piece.name]
            for piece in self._pieces or ()
        )

    def _render(self, *values: object) -> str | None:
        # A missing value stays undefined, so that `default` and `is defined` work.
        named = zip(self.columns, values, strict=True)
        known = {name: plain(value) for name, value in named if not is_missing(value)}
        try:
            return self._template.render(known)
        except UndefinedError:
            return None
        except SecurityError:  # the error's text may quote the row
            raise UnwritableError(_FORBIDDEN) from None


def _each(
    write: Callable[..., str | None], columns: Sequence[list[Any]], same: frozenset[type]
) -> list[Text]:
    """Write the text of each row, once for equal values.

    :param write: Writes a text of the values in a row.
    :param columns: The values by row. Without a column there is one text.
    :param same: Types whose equal values have equal texts.
    """
    by_kinds: dict[tuple[type, ...], dict[tuple[object, ...], Text] | None] = {}
    texts: list[Text] = []
    for values in zip(*columns, strict=True) if columns else [()]:
        kinds = tuple(map(type, values))
        if kinds not in by_kinds:
            by_kinds[kinds] = {} if same.issuperset(kinds) else None
        texts.append(_remembered(write, values, by_kinds[kinds]))
    return texts


def _remembered(
    write: Callable[..., str | None],
    values: tuple[object, ...],
    known: dict[tuple[object, ...], Text] | None,
) -> Text:
    """Write a text, or return the one of equal values."""
    if known is None:
        return _written(write, values)
    try:
        return known[values]
    except KeyError:
        text = known[values] = _written(write, values)
        return text
    except TypeError:  # a signalling NaN has no hash
        return _written(write, values)


def _written(write: Callable[..., str | None], values: Sequence[object]) -> Text:
    try:
        text = write(*values)
        if text and not text.isascii():
            text.encode()  # half a surrogate pair cannot be encoded
    except ROW_FAULTS as error:
        return error
    return text


def _pieces_of(tree: nodes.Template) -> list[nodes.TemplateData | nodes.Name] | None:
    """Return the texts and names of a simple template, else None.

    Jinja's engine would take 10 µs a row.
    """
    pieces = [piece for output in tree.body for piece in output.iter_child_nodes()]
    plain_ones = all(isinstance(output, nodes.Output) for output in tree.body) and all(
        isinstance(piece, (nodes.TemplateData, nodes.Name)) for piece in pieces
    )
    return cast("list[nodes.TemplateData | nodes.Name]", pieces) if plain_ones else None
