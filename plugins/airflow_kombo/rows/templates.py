"""Sources of a request's texts: columns with a format, and Jinja templates over a row."""

from __future__ import annotations

from typing import Final, Literal, cast

from jinja2 import StrictUndefined, Template, TemplateError, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError
from pydantic import BaseModel, ConfigDict

from airflow_kombo.rows.formats import FORMATS, UnwritableError, is_missing, plain, text_of
from airflow_kombo.rows.row_keys import Row
from airflow_kombo.rows.sandbox import LARGEST, Sandbox

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

    def text(self, row: Row) -> str | None:
        """Return the text, or None for a missing value.

        :raises UnwritableError: for a value that does not fit the format.
        """
        value, of = row.get(self.column), row.get(self.of) if self.of else None
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
        self.columns = meta.find_undeclared_variables(tree)
        self._template: Template = _JINJA.from_string(source)
        self._pieces = _pieces_of(tree)

    def text(self, row: Row) -> str | None:
        """Return the text, or None if a needed value is missing.

        :raises UnwritableError: for a value without a readable text.
        """
        if self._pieces is None:
            return self._render(row)
        texts = []
        for piece in self._pieces:
            if isinstance(piece, nodes.TemplateData):
                texts.append(piece.data)
            elif is_missing(value := row.get(piece.name)):
                return None
            else:
                texts.append(text_of(value))
        return "".join(texts)

    def _render(self, row: Row) -> str | None:
        # A missing value stays undefined, so that `default` and `is defined` work.
        known = {name: plain(row[name]) for name in self.columns if not is_missing(row.get(name))}
        try:
            return self._template.render(known)
        except UndefinedError:
            return None
        except SecurityError:  # the error's text may quote the row
            raise UnwritableError(_FORBIDDEN) from None


def _pieces_of(tree: nodes.Template) -> list[nodes.TemplateData | nodes.Name] | None:
    """Return the texts and names of a simple template, else None.

    Jinja's engine would take 10 µs a row.
    """
    pieces = [piece for output in tree.body for piece in output.iter_child_nodes()]
    plain_ones = all(isinstance(output, nodes.Output) for output in tree.body) and all(
        isinstance(piece, (nodes.TemplateData, nodes.Name)) for piece in pieces
    )
    return cast("list[nodes.TemplateData | nodes.Name]", pieces) if plain_ones else None
