"""Building requests from rows by a mapping. The deployment declares the mapping in YAML.

A plain string is a Jinja template (`"{{ assessment_name }}"`). `{column: score}` is a column; its
`format` changes how the value is written. A missing value (NULL, NaN, blank) drops its attribute. A
missing label or URL makes the row `invalid`. A section under `tools` declares the differences for
the integrations of one ATS.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

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
from airflow_kombo.rows.row_keys import Row, assessment_date_of, key_of
from airflow_kombo.rows.templates import ROW_FAULTS, Column, TemplateText
from airflow_kombo.statuses import ErrorCode
from airflow_kombo.suggestions import did_you_mean

if sys.version_info >= (3, 11):
    from typing import Self
else:
    from typing_extensions import Self


EMPTY: Final = "is empty: fill the column or change the mapping"
_TOOLS: Final = "tools"
_TOOL: Final = re.compile(r"[^\s:A-Z]+")


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
            raise MappingError(f"The mapping {name} cannot be used: {wrong}") from None
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
            raise MappingError(f"The rows have no column {'; '.join(lost)}. They have: {have}.")

    def reads(self) -> set[tuple[str, str]]:
        """Return the columns of each part of the request as pairs."""
        return {(field, name) for field, source in self._sources.items() for name in source.columns}

    def request_of(self, row: Row, key: LinkKey) -> RowRequest:
        """Build the request of a row.

        :param key: The row's key.
        :raises RowError: if the row cannot become a request.
        """
        day = assessment_date_of(row)
        if day is None and isinstance(value := row.get("assessment_date"), Unreadable):
            raise RowError(ErrorCode.INVALID_FIELD, "assessment_date", str(value))
        tool = tool_of(key.integration_id)
        content = self._tools.get(tool, self).content_of(row)
        try:
            body = content.body()
        except PydanticSerializationError:
            raise RowError(ErrorCode.INVALID_FIELD, "remote_fields", "is nested too deep") from None
        once = self.write.once and str(getattr(content, self.write.once))
        return RowRequest(key, day, once, body, self.write)

    def requests(
        self, rows: Iterable[Row], default_integration: str | None
    ) -> tuple[list[RowRequest], list[InvalidRow]]:
        """Build the requests of rows; every other row is an invalid row with a reason.

        :param default_integration: The integration of rows without one.
        """
        requests, invalid = [], []
        for row in rows:
            key, wrong = key_of(row, default_integration, self.write)
            try:
                if wrong:
                    raise wrong
                requests.append(self.request_of(row, key))
            except RowError as error:
                invalid.append(InvalidRow(key, assessment_date_of(row), error))
        return requests, invalid

    def content_of(self, row: Row) -> Request:
        """Build and check the content of a row's request.

        :raises RowError: if the row cannot become a request.
        """
        try:
            return self.write.request.model_validate(self._content(row))
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

    def _content(self, row: Row) -> dict[str, object]:
        """Return the request's members without the missing ones."""
        return self._members_of(self, row)

    def _members_of(self, body: DeclaredBody, row: Row, place: str = "") -> dict[str, object]:
        found: dict[str, object] = {}
        for name, source in body.members.items():
            if isinstance(source, DeclaredBody):
                if members := self._members_of(source, row, f"{place}{name}."):
                    found[name] = members
            elif not is_missing(text := self._text(place + name, row)):
                found[name] = text
        return found

    def _text(self, field: str, row: Row) -> str | None:
        try:
            text = self._sources[field].text(row)
            if text and not text.isascii():
                text.encode()  # half a surrogate pair cannot be encoded
        except ROW_FAULTS as error:
            ours = isinstance(error, UnwritableError)  # another error's text may quote the value
            reason = str(error) if ours else f"its template raised {type(error).__name__}"
            raise RowError(ErrorCode.INVALID_FIELD, field, reason) from None
        return text


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
