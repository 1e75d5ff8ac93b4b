"""The operators' parameters as templates and people give them: read, checked, of one type each.

A template gives text, or with `render_template_as_native_obj` whatever its text looks like: `False`
or `"False"`, a list or `"['a', 'b']"`. What has one meaning only is converted; all else is refused.
"""

from __future__ import annotations

import sys
from ast import literal_eval
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from jinja2 import Undefined
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.rows.row_keys import id_of
from airflow_kombo.statuses import CHANGED, Decision, Status
from airflow_kombo.suggestions import did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

if sys.version_info >= (3, 11):
    from typing import Self
else:
    from typing_extensions import Self

_NOTHING: Final = frozenset({"", "None", "null"})
"""What a template makes of a value that is not there: the parameter's default holds then."""
_PUNCTUATION: Final = frozenset("[](){},'\"")
"""What makes a text more than one plain id."""
_NUMBERS: Final = (int, float, Decimal)
_LONGEST_SHOWN: Final = 60
"""Characters of a text that a message quotes; a longer one may be a list of rows."""
_ROWS: Final = frozenset("({")
"""What the text of a row has."""
_REDELIVERED: Final = (*(one.value for one in Status if one is not Status.SENDING), CHANGED)
_DECISIONS: Final = tuple(one.value for one in Decision)


class _UnreadableError(ValueError):
    """A value is not what its parameter takes; the message, where there is one, is a hint."""


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
        raise _UnreadableError from None  # its words are not ours


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, UUID, *_NUMBERS)):
        raise _UnreadableError
    return str(value).strip()


def _list(value: object) -> list[object]:
    if isinstance(value, str):
        value = _read(value)
    if isinstance(value, (str, UUID, *_NUMBERS)) and not isinstance(value, bool):
        return [value]
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, (Sequence, AbstractSet)):
        raise _UnreadableError
    return list(value)


def _read(text: str) -> object:
    """Read the text of a list, as a template writes one; any plain text is one entry."""
    if not _PUNCTUATION.intersection(text):
        return text
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
    if entries and not any(ids):  # it is not the same as no list, which would mean all
        raise _UnreadableError(": it has nothing but blanks")
    return tuple(dict.fromkeys(filter(None, ids)))


def _words(value: object) -> tuple[str, ...]:
    return tuple(word for one in _list(value) if (word := _text(one)))


def _statuses(value: object) -> tuple[str, ...]:
    words = _words(value)
    for word in words:
        _one_of(_REDELIVERED, word)
    return words


def _decision(value: object) -> str:
    return _one_of(_DECISIONS, _text(value))


def _one_of(known: Sequence[str], word: str) -> str:
    if word not in known:
        hint = did_you_mean(word.lower(), known)
        raise _UnreadableError(f": {word[:_LONGEST_SHOWN]!r} is none{hint}")
    return word


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

_A_FLAG: Final = "true or false"
_A_DAY: Final = "a day such as 2026-11-03"
_A_COUNT: Final = "a whole number, at least 1"
_A_TEXT: Final = "a text"
_IDS: Final = "a list of ids such as ['a', 'b'], or one id"


class _Parameters(BaseModel):
    """Parameters of an operator, each of the same name as its attribute."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def of(cls, operator: Any) -> Self:
        """Read an operator's attributes.

        :raises ConfigurationError: naming each parameter that cannot be read, what it got and what
            it takes.
        """
        given = {name: getattr(operator, name) for name in cls.model_fields}
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
    """What a delivering task is asked for; see `KomboResultLinkOperator`."""

    sql: _Text | None = _takes(_A_TEXT)
    table: _Text | None = _takes(_A_TEXT)
    rows_task_id: _Text | None = _takes(_A_TEXT)
    assessment_date: _Day | None = _takes(_A_DAY)
    lookback_days: Annotated[_Number, Field(ge=0, le=366)] = _takes(
        "a whole number from 0 to 366", default=0
    )
    integration_ids: _Ids = _takes(_IDS, default=())
    result_ids: _Ids = _takes(_IDS, default=())
    redeliver: _Statuses = _takes(f"a list of some of {', '.join(_REDELIVERED)}", default=())
    limit: _AtLeastOne | None = _takes(_A_COUNT)
    max_rows: _AtLeastOne | None = _takes(_A_COUNT)
    approve_rows: _Flag = _takes(_A_FLAG, default=False)
    not_before: _Day | None = _takes(_A_DAY)
    preview: _Flag = _takes(_A_FLAG, default=False)
    max_in_flight: Annotated[int, Strict(), Field(ge=1)] | None = _takes(_A_COUNT)
    store_request: _Flag = _takes(_A_FLAG, default=True)
    masked_fields: _Words = _takes("a list of names such as ['label']", default=())

    @classmethod
    def of(cls, operator: Any) -> Self:
        """Read an operator's attributes, as for any of its parameters.

        :raises ConfigurationError: also if there is not one source of rows.
        """
        asked = super().of(operator)
        if [asked.sql, asked.table, asked.rows_task_id].count(None) != 2:  # noqa: PLR2004 - of three
            raise ConfigurationError(
                f"The task {operator.task_id} needs one of sql, table and rows_task_id."
            )
        return asked

    def is_whole(self, day: date) -> bool:
        """Return whether nothing of the run's day is left out on purpose."""
        if self.not_before and self.not_before > day:
            return False
        return not (self.preview or self.integration_ids or self.result_ids or self.limit)


class ResolveParameters(_Parameters):
    """What a deciding task is asked for; see `KomboResolveUnknownOperator`."""

    result_ids: _Ids = _takes(_IDS, default=())
    integration_ids: _Ids = _takes(_IDS, default=())
    assessment_date: _Day | None = _takes(_A_DAY)
    error_code: _Text | None = _takes(_A_TEXT)
    run_id: _Text | None = _takes(_A_TEXT)
    verdict: _Decision | None = _takes(f"one of {', '.join(_DECISIONS)}")
    reason: _Text | None = _takes(_A_TEXT)
    preview: _Flag = _takes(_A_FLAG, default=False)


def _shown(value: object) -> str:
    """Write a value and its kind for a message, where it cannot be a row of somebody's."""
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
