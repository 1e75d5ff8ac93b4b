"""Where a request's text comes from: a column in a format, or a Jinja template over a row."""

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
"""What a template of the deployment's may raise over a value that it did not expect."""
_FORBIDDEN: Final = (
    "its template does what none may: it reads Python's internals, changes a value, or makes"
    f" something of more than {LARGEST} characters or items from a number: change the mapping"
)
_JINJA: Final = Sandbox(
    autoescape=False,  # the text goes into JSON; an ATS escapes what it shows
    undefined=StrictUndefined,
    finalize=lambda value: value if isinstance(value, StrictUndefined) else text_of(value),
)


class Declared(BaseModel):
    """What a mapping's file holds: a name that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(Declared):
    """A column, and how its values look."""

    column: str
    format: Literal["text", "percent", "duration", "date"] = "text"
    of: str | None = None
    """For `percent`: the column that is the whole; without it the value is a percentage already."""

    @property
    def columns(self) -> set[str]:
        """The columns it reads."""
        return {self.column} | ({self.of} if self.of else set())

    def text(self, row: Row) -> str | None:
        """Give the text, or None where a value is missing."""
        value, of = row.get(self.column), row.get(self.of) if self.of else None
        if is_missing(value) or (self.of and is_missing(of)):
            return None
        return FORMATS[self.format](value, of)


class TemplateText:
    """A Jinja template over a row's columns.

    :raises TemplateError: if it is none, or is more than a mapping's template may be.
    """

    def __init__(self, source: str) -> None:
        tree = _JINJA.parse(source)
        _JINJA.check(tree)
        self.columns = meta.find_undeclared_variables(tree)
        self._template: Template = _JINJA.from_string(source)
        self._pieces = _pieces_of(tree)

    def text(self, row: Row) -> str | None:
        """Give the text, or None where a value that it cannot do without is missing."""
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
        # A missing value stays undefined, so that `default` and `is defined` work in a template.
        known = {name: plain(row[name]) for name in self.columns if not is_missing(row.get(name))}
        try:
            return self._template.render(known)
        except UndefinedError:
            return None
        except SecurityError:  # its own text may quote the row
            raise UnwritableError(_FORBIDDEN) from None


def _pieces_of(tree: nodes.Template) -> list[nodes.TemplateData | nodes.Name] | None:
    """Give text and names where a template is nothing else: Jinja's engine takes 10 µs a row."""
    pieces = [piece for output in tree.body for piece in output.iter_child_nodes()]
    plain_ones = all(isinstance(output, nodes.Output) for output in tree.body) and all(
        isinstance(piece, (nodes.TemplateData, nodes.Name)) for piece in pieces
    )
    return cast("list[nodes.TemplateData | nodes.Name]", pieces) if plain_ones else None
