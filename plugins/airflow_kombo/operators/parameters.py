"""The operators' parameters, read from the values of templates and of people.

A template gives text, or with `render_template_as_native_obj` the object that the text describes:
`False` or `"False"`, a list or `"['a', 'b']"`. A value with one meaning is converted; any other
value is refused.
"""

from __future__ import annotations

import re
import sys
from ast import literal_eval
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from jinja2 import Undefined
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
)

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.kombo_api.in_flight_cap import MaxInFlight
from airflow_kombo.rows.row_keys import id_of
from airflow_kombo.statuses import REDELIVERABLE, Decision
from airflow_kombo.suggestions import did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

if sys.version_info >= (3, 11):
    from typing import Self
else:
    from typing_extensions import Self

_NOTHING: Final = frozenset({"", "None", "null"})
"""Texts that a template makes of a missing value: the parameter's default holds then."""
_PUNCTUATION: Final = frozenset("[](){},'\"")
"""Characters of a text that is more than one plain id."""
_NUMBERS: Final = (int, float, Decimal)
_LONGEST_SHOWN: Final = 60
"""Characters of a text that a message quotes; a longer text may be a list of rows."""
_ROWS: Final = frozenset("({")
"""Characters of the text of a row, which no message quotes."""
_TOOL: Final = re.compile(r"[^\s:A-Z]+")
"""The tool of an integration, as its id begins; `default` is of the same form."""
_DECISIONS: Final = tuple(one.value for one in Decision)
_ATTRIBUTES: Final[Mapping[str, str]] = {"dry_run": "is_dry_run"}
"""The operators' attributes with another name than their parameter."""


class _UnreadableError(ValueError):
    """The error of a value of the wrong kind; the message is a hint, or empty."""


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in _NOTHING)


def _flag(value: object) -> object:
    words = {"true": True, "false": False}
    return words.get(value.strip().lower(), value) if isinstance(value, str) else value


def _number(value: object) -> object:
    if isinstance(value, (bool, bytes)):
        raise _UnreadableError
    return value


def _day(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value.strip())
    except ValueError:
        raise _UnreadableError from None  # Python's message is no help to a user


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, UUID, *_NUMBERS)):
        raise _UnreadableError
    return str(value).strip()


def _list(value: object) -> list[object]:
    if isinstance(value, str):
        value = _object_in(value) if _PUNCTUATION.intersection(value) else value
    if isinstance(value, (str, UUID, *_NUMBERS)) and not isinstance(value, bool):
        return [value]
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, (Sequence, AbstractSet)):
        raise _UnreadableError
    return list(value)


def _object_in(text: str) -> object:
    """Read the text of a list or a dictionary, as templates write them."""
    try:
        return literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise _UnreadableError from None


def _ids(value: object) -> tuple[str, ...]:
    entries = _list(value)
    ids = [id_of(one) for one in entries]
    for one, text in zip(entries, ids, strict=True):
        if isinstance(one, bool) or not text.isprintable():
            raise _UnreadableError(f": one of them is {_shown(one)}")
    if entries and not any(ids):  # no id is not the same as no list, which would mean all
        raise _UnreadableError(": it has nothing but blanks")
    return tuple(dict.fromkeys(filter(None, ids)))


def _words(value: object) -> tuple[str, ...]:
    return tuple(word for one in _list(value) if (word := _text(one)))


def _statuses(value: object) -> tuple[str, ...]:
    words = _words(value)
    for word in words:
        _one_of(REDELIVERABLE, word)
    return words


def _decision(value: object) -> str:
    return _one_of(_DECISIONS, _text(value))


def _one_of(known: Sequence[str], word: str) -> str:
    if word not in known:
        hint = did_you_mean(word.lower(), known)
        raise _UnreadableError(f": {word[:_LONGEST_SHOWN]!r} is none{hint}")
    return word


def _cap(value: object) -> int | Mapping[str, int]:
    """Read one number of calls, or a number by tool."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _object_in(value)
    if not isinstance(value, Mapping):
        return _calls(value)
    caps: dict[str, int] = {}
    for tool, calls in value.items():
        if not isinstance(tool, str) or not _TOOL.fullmatch(tool):
            raise _UnreadableError(f": {_shown(tool)} is no tool, as ids have it before the colon")
        try:
            caps[tool] = _calls(calls)
        except ValueError:
            shown = f"{tool[:_LONGEST_SHOWN]} has {_shown(calls)}"
            raise _UnreadableError(f": {shown}") from None
    return caps


def _takes(what: str, default: object = None) -> Any:
    return Field(default, description=what)


_Flag = Annotated[bool, Strict(), BeforeValidator(_flag)]
_Day = Annotated[date, Strict(), BeforeValidator(_day)]
_Number = Annotated[int, BeforeValidator(_number)]
_AtLeastOne = Annotated[_Number, Field(ge=1)]
_Text = Annotated[str, BeforeValidator(_text)]
_Ids = Annotated[tuple[str, ...], BeforeValidator(_ids)]
_Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
_Statuses = Annotated[tuple[str, ...], BeforeValidator(_statuses)]
_Decision = Annotated[Decision, BeforeValidator(_decision)]
_Cap = Annotated[MaxInFlight, BeforeValidator(_cap)]

_calls: Final = TypeAdapter[int](_AtLeastOne).validate_python

_A_FLAG: Final = "true or false"
_A_DAY: Final = "a day such as 2026-11-03"
_A_COUNT: Final = "a whole number, at least 1"
_A_TEXT: Final = "a text"
_IDS: Final = "a list of ids such as ['a', 'b'], or one id"
_A_CAP: Final = f"{_A_COUNT}, or such numbers by tool, as in {{'workday': 4, 'default': 28}}"


class _Parameters(BaseModel):
    """Parameters of an operator, under the names of the constructor."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def of(cls, operator: Any) -> Self:
        """Read an operator's attributes.

        :raises ConfigurationError: naming each parameter that cannot be read, its value and the
            values that it takes.
        """
        given = {name: getattr(operator, _ATTRIBUTES.get(name, name)) for name in cls.model_fields}
        try:
            return cls.model_validate(
                {name: value for name, value in given.items() if not _is_nothing(value)}
            )
        except ValidationError as error:
            wrong = "; ".join(cls._explain(one, given) for one in error.errors())
            raise ConfigurationError(f"The task {operator.task_id} cannot run: {wrong}.") from None

    @classmethod
    def _explain(cls, error: ErrorDetails, given: Mapping[str, object]) -> str:
        name = str(error["loc"][0])
        hint = error["ctx"]["error"] if error["type"] == "value_error" else ""
        takes = cls.model_fields[name].description
        return f"{name} is {_shown(given[name])}, and has to be {takes}{hint}"


class RunParameters(_Parameters):
    """Parameters of a delivering task; see `KomboWriteOperator`."""

    sql: _Text | None = _takes(_A_TEXT)
    table: _Text | None = _takes(_A_TEXT)
    rows_task_id: _Text | None = _takes(_A_TEXT)
    assessment_date: _Day | None = _takes(_A_DAY)
    lookback_days: Annotated[_Number, Field(ge=0, le=366)] = _takes(
        "a whole number from 0 to 366", default=0
    )
    integration_ids: _Ids = _takes(_IDS, default=())
    result_ids: _Ids = _takes(_IDS, default=())
    redeliver: _Statuses = _takes(f"a list of some of {', '.join(REDELIVERABLE)}", default=())
    limit: _AtLeastOne | None = _takes(_A_COUNT)
    max_rows: _AtLeastOne | None = _takes(_A_COUNT)
    approve_rows: _Flag = _takes(_A_FLAG, default=False)
    not_before: _Day | None = _takes(_A_DAY)
    dry_run: _Flag = _takes(_A_FLAG, default=False)
    max_in_flight: _Cap = _takes(_A_CAP)
    store_request: _Flag = _takes(_A_FLAG, default=True)
    masked_fields: _Words = _takes("a list of names such as ['label']", default=())

    @classmethod
    def of(cls, operator: Any) -> Self:
        """Read an operator's attributes.

        :raises ConfigurationError: as for any operator, and if there is not one source of rows.
        """
        parameters = super().of(operator)
        sources = [parameters.sql, parameters.table, parameters.rows_task_id]
        if len(sources) - sources.count(None) != 1:
            raise ConfigurationError(
                f"The task {operator.task_id} needs one of sql, table and rows_task_id."
            )
        return parameters

    def is_whole(self, day: date) -> bool:
        """Return True if a run with these parameters covers the whole day."""
        if self.not_before and self.not_before > day:
            return False
        return not (self.dry_run or self.integration_ids or self.result_ids or self.limit)


class ResolveParameters(_Parameters):
    """Parameters of a deciding task; see `KomboResolveUnknownOperator`."""

    result_ids: _Ids = _takes(_IDS, default=())
    integration_ids: _Ids = _takes(_IDS, default=())
    assessment_date: _Day | None = _takes(_A_DAY)
    error_code: _Text | None = _takes(_A_TEXT)
    run_id: _Text | None = _takes(_A_TEXT)
    decision: _Decision | None = _takes(f"one of {', '.join(_DECISIONS)}")
    reason: _Text | None = _takes(_A_TEXT)
    dry_run: _Flag = _takes(_A_FLAG, default=False)


def _shown(value: object) -> str:
    """Write a value and the type for a message, or for a possible row the type alone."""
    kind = type(value).__name__
    if isinstance(value, Undefined):
        return "undefined in its template"
    if isinstance(value, (date, *_NUMBERS)):
        return f"{value!r} ({kind})"
    if not isinstance(value, str):
        return f"a {kind}"
    if len(value) > _LONGEST_SHOWN or not _ROWS.isdisjoint(value):
        return f"a text of {len(value):,} characters"
    return f"{value!r} ({kind})"
