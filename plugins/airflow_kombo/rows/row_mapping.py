"""Building requests from rows by a mapping. The deployment declares the mapping in YAML.

A plain string is a Jinja template (`"{{ assessment_name }}"`). `{column: score}` is a column; its
`format` changes how the value is written. A missing value (NULL, NaN, blank) drops its attribute. A
missing label or URL makes the row `invalid`. A section under `tools` declares the differences for
the integrations of one ATS.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import yaml
from jinja2 import TemplateError
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from airflow_kombo.database.unreadable import Unreadable
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import MappingError, RowError
from airflow_kombo.kombo_api.in_flight_cap import tool_of
from airflow_kombo.kombo_api.request import InvalidRow, RowRequest
from airflow_kombo.kombo_api.writes import Request, Write
from airflow_kombo.rows.declared_body import DeclaredBody, shown_place
from airflow_kombo.rows.formats import UnwritableError, is_missing
from airflow_kombo.rows.frames import cells
from airflow_kombo.rows.row_keys import day_of
from airflow_kombo.rows.templates import Column, TemplateText
from airflow_kombo.statuses import ErrorCode
from airflow_kombo.suggestions import did_you_mean

if sys.version_info >= (3, 11):
    from typing import Self
else:
    from typing_extensions import Self

if TYPE_CHECKING:
    from pandas import DataFrame


EMPTY: Final = "is empty: fill the column or change the mapping"
_TOOLS: Final = "tools"
_TOOL: Final = re.compile(r"[^\s:A-Z]+")

TextsOfRow = Mapping[str, object]
"""The `Text` of each part of a row's request."""


class RowMapping(DeclaredBody):
    """The columns and templates of a write's request, as the YAML file declares them."""

    write: ClassVar[Write]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a mapping from a YAML file.

        :param path: The file.
        :raises MappingError: if the file cannot be used; it names the file, the place and the
            reason.
        """
        try:
            declared = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise MappingError(f"The mapping {path} cannot be read: {error}") from error
        return cls.parse(declared, name=str(path))

    @classmethod
    def parse(cls, declared: object, name: str = "mapping") -> Self:
        """Check a mapping's content.

        :param declared: The content of a mapping's file.
        :param name: The mapping's name in messages.
        :raises MappingError: as `load` does.
        """
        general, sections = _sections_of(declared, name)
        mapping = cls._checked(general, name)
        for tool, section in sections.items():
            whole = cls._checked({**general, **section}, name, f"tools.{tool}.")
            mapping._tools[tool] = whole  # noqa: SLF001 - of the same class
        return mapping

    @classmethod
    def _checked(cls, declared: object, name: str, place: str = "") -> Self:
        try:
            return cls.model_validate(declared)
        except ValidationError as error:
            wrong = "; ".join(place + cls._explain(one, place) for one in error.errors())
            raise MappingError(
                f"The mapping {name} cannot be used: {wrong}. The forms of a value are in the"
                " comment of include/result_link_mapping.yaml."
            ) from None
        except TemplateError as error:
            raise MappingError(
                f"The mapping {name} has a broken template: {place}{error}"
            ) from error

    @cached_property
    def _tools(self) -> dict[str, Self]:  # pydantic's private attributes cost 1 µs
        """The mapping of each tool with a section: the section over the general mapping."""
        return {}

    @classmethod
    def _explain(cls, error: Any, tool: str) -> str:
        place = shown_place(error["loc"])
        if error["type"] != "extra_forbidden":
            return f"{place or 'the whole'}: {error['msg']}"
        known = list(cls.known_at(error["loc"]))
        if not tool and len(error["loc"]) == 1:
            known.append(_TOOLS)
        return f"{place} is not known" + did_you_mean(str(error["loc"][-1]), known)

    def model_post_init(self, context: object, /) -> None:
        """Compile the templates, to find a broken one before a row is read."""
        super().model_post_init(context)
        _ = self._sources

    @cached_property
    def _sources(self) -> dict[str, Column | TemplateText]:
        return {
            field: _compiled(field, source) if isinstance(source, str) else source
            for field, source in self.sources()
        }

    def check(self, columns: Collection[str]) -> None:
        """Check the rows' columns against the mapping before a row is read.

        :param columns: The columns of the rows.
        :raises MappingError: if a column is missing; it suggests the nearest name.
        """
        general = self.reads()
        read = {f"'{name}'": name for name in self.write.key_columns}
        read |= {f"'{name}' (for {field})": name for field, name in general}
        for tool, section in self._tools.items():
            for field, name in section.reads() - general:
                read[f"'{name}' (for tools.{tool}.{field})"] = name
        lost = [
            shown + did_you_mean(name, columns)
            for shown, name in sorted(read.items())
            if name not in columns
        ]
        if lost:
            have = ", ".join(sorted(columns)) or "none"
            raise MappingError(
                f"The rows have no column {'; '.join(lost)}. They have: {have}. Correct the"
                " mapping, or give the column in the query."
            )

    def reads(self) -> set[tuple[str, str]]:
        """Return the columns of each part of the request as pairs."""
        return {(field, name) for field, source in self._sources.items() for name in source.columns}

    def requests(
        self, frame: DataFrame, keys: Sequence[tuple[LinkKey, RowError | None]]
    ) -> list[RowRequest | InvalidRow]:
        """Build the request of each row, or an invalid row with a reason.

        :param keys: The key of each row, as `keys_of` returns them.
        :returns: One for each row, in the order of the rows.
        """
        texts = self._texts_by_tool(frame, [tool_of(key.integration_id) for key, _ in keys])
        made: list[RowRequest | InvalidRow] = []
        for (key, wrong), cell, (mapping, of_row) in zip(
            keys, cells(frame, "assessment_date"), texts, strict=True
        ):
            day = day_of(cell)
            try:
                _check(wrong, cell)
                made.append(mapping._request(key, day, of_row))  # noqa: SLF001 - of the same class
            except RowError as error:
                made.append(InvalidRow(key, day, error, is_addressed=wrong is None))
        return made

    def _texts_by_tool(
        self, frame: DataFrame, tools: Sequence[str]
    ) -> Iterator[tuple[Self, TextsOfRow]]:
        """Yield each row's mapping and texts, by the tool of the row's integration."""
        if not self._tools:
            return ((self, texts) for texts in self._texts(frame))
        names = [tool if tool in self._tools else "" for tool in tools]
        places = defaultdict[str, list[int]](list)
        for place, name in enumerate(names):
            places[name].append(place)
        mappings = {name: self._tools.get(name, self) for name in places}
        texts_of = {
            name: mapping._texts(frame.iloc[places[name]])  # noqa: SLF001 - of the same class
            for name, mapping in mappings.items()
        }
        return ((mappings[name], next(texts_of[name])) for name in names)

    def _texts(self, frame: DataFrame) -> Iterator[TextsOfRow]:
        """Yield the texts of each row, by part of the request."""
        names = list(self._sources)
        if not names:
            return repeat({}, len(frame))
        columns = [self._column(name, frame) for name in names]
        return (dict(zip(names, texts, strict=True)) for texts in zip(*columns, strict=True))

    def _column(self, field: str, frame: DataFrame) -> Sequence[object]:
        """Return the text of one part for each row."""
        return self._sources[field].texts(frame)

    def _request(self, key: LinkKey, day: date | None, texts: TextsOfRow) -> RowRequest:
        """Build the request of a row.

        :raises RowError: if the row cannot become a request.
        """
        content = self._checked_content(texts)
        try:
            body = content.body()
        except PydanticSerializationError:
            raise RowError(ErrorCode.INVALID_FIELD, "remote_fields", "is nested too deep") from None
        once = self.write.once and str(getattr(content, self.write.once))
        return RowRequest(key, day, once, body, self.write)

    def _checked_content(self, texts: TextsOfRow) -> Request:
        """Build and check the content of a row's request."""
        try:
            return self.write.request.model_validate(self._content(texts))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            if first["type"] == "missing" and self._declares(field):
                raise RowError(ErrorCode.MISSING_FIELD, field, EMPTY) from None
            reason = first["msg"].removeprefix("Value error, ")
            raise RowError(ErrorCode.INVALID_FIELD, field, reason) from None

    def _declares(self, field: str) -> bool:
        """Return true for a text, or a body of texts, of the mapping."""
        return any(f"{name}.".startswith(f"{field}.") for name in self._sources)

    def _content(self, texts: TextsOfRow) -> dict[str, object]:
        """Return the request's members without the missing ones."""
        return self._members_of(self, texts)

    def _members_of(
        self, body: DeclaredBody, texts: TextsOfRow, place: str = ""
    ) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, source in body.members.items():
            if isinstance(source, DeclaredBody):
                if members := self._members_of(source, texts, f"{place}{name}."):
                    found[name] = members
            elif not is_missing(text := text_in(texts, place + name)):
                found[name] = text
        return found


def text_in(texts: TextsOfRow, field: str) -> Any:
    """Return the text of a part of the request, or None for a missing value.

    :raises RowError: for a value without a readable text.
    """
    text = texts[field]
    if not isinstance(text, Exception):
        return text
    ours = isinstance(text, UnwritableError)  # another error's text may quote the value
    reason = str(text) if ours else f"its template raised {type(text).__name__}"
    raise RowError(ErrorCode.INVALID_FIELD, field, reason)


def _check(wrong: RowError | None, day: object) -> None:
    """Raise the error of a row's key, or of a cell of `assessment_date`."""
    if wrong:
        raise wrong
    if isinstance(day, Unreadable):
        raise RowError(ErrorCode.INVALID_FIELD, "assessment_date", str(day))


def _sections_of(declared: object, name: str) -> tuple[Any, dict[str, dict[str, Any]]]:
    """Split a mapping into the general part and the sections for single tools."""
    if not isinstance(declared, dict) or _TOOLS not in declared:
        return declared, {}
    general, sections = dict(declared), declared[_TOOLS]
    del general[_TOOLS]
    sections = sections if isinstance(sections, dict) else {"": sections}
    for tool, section in sections.items():
        if not isinstance(tool, str) or not _TOOL.fullmatch(tool) or not isinstance(section, dict):
            raise MappingError(
                f"The mapping {name} cannot be used: tools.{tool}: must be a tool's name, such as"
                " workday, with the parts that differ for that tool."
            )
    return general, sections


def _compiled(field: str, source: str) -> TemplateText:
    try:
        return TemplateText(source)
    except TemplateError as error:
        raise TemplateError(f"{field}: {error}") from error
