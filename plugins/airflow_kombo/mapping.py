"""A row becomes a request, by a mapping that the deployment declares in YAML.

A plain string is a Jinja template (`"{{ assessment_name }}"`); `{column: score}` is a column, with
a `format` where its text should look otherwise. A missing value (NULL, NaN, blank) drops its
attribute; in the label or the URL it makes the row `invalid`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import cached_property
from hashlib import sha256
from numbers import Integral
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from jinja2 import Environment, StrictUndefined, Template, TemplateError, UndefinedError, meta
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airflow_kombo.errors import MappingError, RowError, TargetType
from airflow_kombo.models import Delivery, LinkKey, ResultLink, clean

Row = Mapping[str, Any]

KEY_COLUMNS: Final = ("result_id", "integration_id", "candidate_id", "application_id")
"""Columns that every source of rows must have: they are the delivery's key, not its content."""

_LONGEST_ID: Final = 255
"""Bytes of an id. Four of them stay below PostgreSQL's limit for an index entry, 2,704 bytes."""


def is_missing(value: object) -> bool:
    """Whether a value says nothing: NULL, NaN, NaT, pandas' NA or blank text."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - NaN, NaT and Decimal("NaN") differ from themselves
    except TypeError:  # pandas.NA has no truth value, and says so
        return True
    except (
        ValueError,
        InvalidOperation,
    ):  # an array, or a signalling NaN: not missing, but no text
        return False


def text_of(value: object) -> str:
    """Write a value as a person would: `95` for 95.0, `2026-11-03` for a date, never `nan`.

    :raises ValueError: for what has no such text: an infinity, bytes, a list.
    """
    value = value.item() if hasattr(value, "item") and not isinstance(value, str) else value
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, (float, Decimal)):
        return _number(Decimal(str(value)))
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="minutes")
    if isinstance(value, date):
        return value.isoformat()
    raise ValueError("has no text: use a number, a text or a date")


def _number(number: Decimal) -> str:
    if not number.is_finite():
        raise ValueError("must be a finite number")
    if abs(number.adjusted()) > 30:  # noqa: PLR2004 - nobody's score; its text would be zeros for miles
        raise ValueError("must be a number of a size that a person can read")
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _decimal(value: object) -> Decimal:
    try:
        number = Decimal(text_of(value))
    except InvalidOperation:
        raise ValueError("must be a number") from None
    if not number.is_finite():
        raise ValueError("must be a finite number")
    return number


def _percent(value: object, of: object) -> str:
    whole = Decimal(100) if of is None else _decimal(of)
    if whole <= 0:
        raise ValueError("cannot be a share of a whole that is not above zero")
    return _number(round(_decimal(value) * 100 / whole, 1)) + "%"


def _duration(value: object, _of: object) -> str:
    seconds = value.total_seconds() if isinstance(value, timedelta) else _decimal(value)
    if seconds < 0:
        raise ValueError("must not be a negative number of seconds")
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02}h"


def _date(value: object, _of: object) -> str:
    if not isinstance(value, date):  # SQLite has no type for it: there it is text
        try:
            value = datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
        except ValueError:
            raise ValueError("must be a date such as 2026-11-03") from None
    return value.strftime("%Y-%m-%d")


_FORMATS: Final[Mapping[str, Callable[[Any, Any], str]]] = {
    "text": lambda value, _of: text_of(value),
    "percent": _percent,
    "duration": _duration,
    "date": _date,
}

_JINJA: Final = Environment(
    autoescape=False,  # noqa: S701 - the text goes into JSON; an ATS escapes what it shows
    undefined=StrictUndefined,
    finalize=lambda value: value if isinstance(value, StrictUndefined) else text_of(value),
)


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Declared):
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
        return _FORMATS[self.format](value, of)


class _TemplateText:
    def __init__(self, source: str) -> None:
        self.columns = meta.find_undeclared_variables(_JINJA.parse(source))
        self._template: Template = _JINJA.from_string(source)

    def text(self, row: Row) -> str | None:
        # A missing value stays undefined, so that `default` and `is defined` work in a template.
        known = {name: row[name] for name in self.columns if not is_missing(row.get(name))}
        try:
            return self._template.render(known)
        except UndefinedError:
            return None


@dataclass(frozen=True)
class InvalidRow:
    """A row that cannot become a request, and why."""

    key: LinkKey
    assessment_date: date | None
    error: RowError


class ResultLinkMapping(_Declared):
    """Which column or template feeds which part of the request: what the YAML file holds."""

    label: str | Column
    url: str | Column
    custom_field_name_prefix: str | Column = ""
    attributes: dict[str, str | Column] = Field(default_factory=dict)
    remote_fields: str | Column | None = None

    @classmethod
    def load(cls, path: str | Path) -> ResultLinkMapping:
        """Read a mapping from a YAML file.

        :raises MappingError: naming the file, the place in it and what is wrong there.
        """
        try:
            declared = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise MappingError(f"The mapping {path} cannot be read: {error}") from error
        return cls.parse(declared, name=str(path))

    @classmethod
    def parse(cls, declared: object, name: str = "mapping") -> ResultLinkMapping:
        """Check a mapping that is already a dictionary.

        :raises MappingError: as `load` does.
        """
        try:
            mapping = cls.model_validate(declared)
        except ValidationError as error:
            wrong = "; ".join(_explain(one, cls.model_fields) for one in error.errors())
            raise MappingError(f"The mapping {name} cannot be used: {wrong}") from None
        except TemplateError as error:
            raise MappingError(f"The mapping {name} has a broken template: {error}") from error
        return mapping

    def model_post_init(self, _context: object) -> None:
        """Compile the templates now: a broken one is the mapping's fault, not a row's."""
        _ = self._sources

    @cached_property
    def _sources(self) -> dict[str, Column | _TemplateText]:
        declared = {
            "label": self.label,
            "url": self.url,
            "custom_field_name_prefix": self.custom_field_name_prefix,
            **({"remote_fields": self.remote_fields} if self.remote_fields else {}),
            **{f"attributes.{key}": source for key, source in self.attributes.items()},
        }
        return {
            field: _TemplateText(source) if isinstance(source, str) else source
            for field, source in declared.items()
        }

    def check(self, columns: Collection[str]) -> None:
        """See that every column that the mapping reads is there, before any row is read.

        :raises MappingError: naming each column that is not, and the one that was probably meant.
        """
        read = {(f"'{name}'", name) for name in KEY_COLUMNS}
        for field, source in self._sources.items():
            read |= {(f"'{name}' (for {field})", name) for name in source.columns}
        lost = [
            shown + did_you_mean(name, columns)
            for shown, name in sorted(read)
            if name not in columns
        ]
        if lost:
            have = ", ".join(sorted(columns)) or "none"
            raise MappingError(f"The rows have no column {'; '.join(lost)}. They have: {have}.")

    def delivery(self, row: Row, key: LinkKey) -> Delivery:
        """Make the request of a row.

        :raises RowError: where the row cannot become one.
        """
        link = self._link(row)
        return Delivery(key, assessment_date_of(row), link.url, link.body())

    def deliveries(
        self, rows: Iterable[Row], default_integration: str | None
    ) -> tuple[list[Delivery], list[InvalidRow]]:
        """Make the requests of rows, and say of each other row why it cannot become one."""
        deliveries, invalid = [], []
        for row in rows:
            key, wrong = key_of(row, default_integration)
            try:
                if wrong:
                    raise wrong
                deliveries.append(self.delivery(row, key))
            except RowError as error:
                invalid.append(InvalidRow(key, assessment_date_of(row), error))
        return deliveries, invalid

    def _link(self, row: Row) -> ResultLink:
        content: dict[str, object] = {}
        for field in ("label", "url"):
            content[field] = self._text(field, row)
            if is_missing(content[field]):
                raise RowError(
                    "missing_field", field, "is empty: fill the column or change the mapping"
                )
        if attributes := self._attributes(row):
            prefix = self._text("custom_field_name_prefix", row) or ""
            content["details"] = {"custom_field_name_prefix": prefix, "attributes": attributes}
        if self.remote_fields and (remote_fields := self._remote_fields(row)) is not None:
            content["remote_fields"] = remote_fields
        try:
            return ResultLink.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            reason = first["msg"].removeprefix("Value error, ")
            raise RowError("invalid_field", field, reason) from None

    def _attributes(self, row: Row) -> list[dict[str, str]]:
        texts = {key: self._text(f"attributes.{key}", row) for key in self.attributes}
        return [{"key": key, "value": text} for key, text in texts.items() if text and text.strip()]

    def _text(self, field: str, row: Row) -> str | None:
        try:
            text = self._sources[field].text(row)
            (text or "").encode()  # half a surrogate pair has no bytes to be sent as
        except (ValueError, TypeError, ArithmeticError, TemplateError) as error:
            # Our own messages are ValueErrors and quote no value; others might.
            reason = str(error) if type(error) is ValueError else f"{type(error).__name__} in it"
            raise RowError("invalid_field", field, reason) from None
        return text

    def _remote_fields(self, row: Row) -> dict[str, Any] | None:
        source = self.remote_fields
        value = row.get(source.column) if isinstance(source, Column) else None
        text = None if isinstance(value, (dict, list)) else self._text("remote_fields", row)
        if text is None and is_missing(value):
            return None
        try:
            parsed = value if text is None else json.loads(text)
            json.dumps(parsed, allow_nan=False, ensure_ascii=False).encode()  # has bytes to be sent
        except (ValueError, TypeError, RecursionError):
            raise RowError("invalid_field", "remote_fields", "must be valid JSON") from None
        if parsed is not None and not isinstance(parsed, dict):
            raise RowError("invalid_field", "remote_fields", "must be a JSON object")
        return parsed


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Give the nearest known name as a question, or nothing."""
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _explain(error: Any, fields: Collection[str]) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "the whole"
    if error["type"] == "extra_forbidden":
        return f"{place} is not known" + did_you_mean(str(error["loc"][-1]), fields)
    return f"{place}: {error['msg']}"


def assessment_date_of(row: Row) -> date | None:
    """Give the row's assessment day, or None where it has none that can be read."""
    value = row.get("assessment_date")
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def integration_of(row: Row, default: str | None) -> str:
    """Give the integration that a row belongs to, its own or the default; blank without one."""
    value = row.get("integration_id")
    return (default or "") if is_missing(value) else str(value).strip()


def key_of(row: Row, default_integration: str | None) -> tuple[LinkKey, RowError | None]:
    """Give a row's key, and what is wrong with it where it cannot be sent to.

    There is always a key, so that a row without ids has a status too: what is missing is blank in
    it, but for the result id, for which a digest of the row stands in: it tells such rows apart.
    """
    ids = {name: _id_text(row.get(name)) for name in KEY_COLUMNS}
    ids["integration_id"] = integration_of(row, default_integration)
    target = TargetType.APPLICATION if ids["application_id"] else TargetType.CANDIDATE
    target_id = ids["application_id"] or ids["candidate_id"]
    named = {
        "integration_id": ids["integration_id"],
        f"{target}_id": target_id,
        "result_id": ids["result_id"],
    }
    wrong = next((error for name, text in named.items() if (error := _wrong_id(name, text))), None)
    result_id = ids["result_id"] or f"missing:{_digest(row)}"
    key = LinkKey(
        _storable(ids["integration_id"]), target.value, _storable(target_id), _storable(result_id)
    )
    return key, wrong


def _id_text(value: object) -> str:
    if is_missing(value):
        return ""
    if isinstance(value, float) and value.is_integer():  # pandas' doing: 95.0 for 95
        value = int(value)
    return str(value).strip()


def _wrong_id(name: str, text: str) -> RowError | None:
    if not text:
        fix = (
            "fill the column, or the connection's default"
            if name == "integration_id"
            else "fill it"
        )
        return RowError("missing_field", name, f"is empty: {fix}")
    if text in {".", ".."}:
        return RowError(
            "invalid_field", name, "must not be a dot segment, it would change the path"
        )
    if not text.isprintable() or len(text.encode("utf-8", "replace")) > _LONGEST_ID:
        return RowError(
            "invalid_field", name, f"must be printable text of at most {_LONGEST_ID} bytes"
        )
    if name == "integration_id" and not text.isascii():
        return RowError("invalid_field", name, "must be ASCII, it travels in a header")
    return None


def _storable(text: str) -> str:
    """Keep an id as it is, or make one that any database's text key can hold."""
    kept = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    if len(kept.encode("utf-8", "replace")) <= _LONGEST_ID:
        return clean(kept)
    return f"{clean(kept, 40)}…{sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _digest(row: Row) -> str:
    content = repr(sorted((name, str(value)) for name, value in row.items()))
    return sha256(content.encode("utf-8", "replace")).hexdigest()[:16]
