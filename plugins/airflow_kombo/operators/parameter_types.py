"""Types of the operators' parameters: conversions, and their descriptions for messages.

A template gives text, or with `render_template_as_native_obj` the object that the text describes:
`False` or `"False"`, a list or `"['a', 'b']"`. A value with one meaning is converted; any other
value is refused.
"""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

from jinja2 import Undefined
from pydantic import BeforeValidator, Field, Strict, TypeAdapter

from airflow_kombo.kombo_api.in_flight_cap import MaxInFlight
from airflow_kombo.rows.row_keys import id_of
from airflow_kombo.statuses import REDELIVERABLE, Decision
from airflow_kombo.suggestions import did_you_mean

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
_VERSION: Final = re.compile(r"[a-z]+ [0-9]{1,9}")
"""The version of a status row: the status and the number of attempts."""
DECISIONS: Final = tuple(one.value for one in Decision)


class _UnreadableError(ValueError):
    """The error of a value of the wrong kind; the message is a hint, or empty."""


def is_nothing(value: object) -> bool:
    """Return True for a missing value, and for the text that a template makes of one."""
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


def _lines(value: object) -> str:
    """Return the text of a file as it is: a blank at the end may be a cell."""
    if not isinstance(value, str):
        raise _UnreadableError
    return value


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
            raise _UnreadableError(f": one of them is {shown(one)}")
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


def _versions(value: object) -> Mapping[str, str]:
    """Read the versions of status rows by result id."""
    if isinstance(value, str):
        value = _object_in(value)
    if not isinstance(value, Mapping):
        raise _UnreadableError
    versions = {id_of(result_id): _text(version) for result_id, version in value.items()}
    wrong = [version for version in versions.values() if not _VERSION.fullmatch(version)]
    if wrong:
        raise _UnreadableError(f": {wrong[0][:_LONGEST_SHOWN]!r} is none")
    return versions


def _decision(value: object) -> str:
    return _one_of(DECISIONS, _text(value))


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
            raise _UnreadableError(f": {shown(tool)} is no tool, as ids have it before the colon")
        try:
            caps[tool] = _calls(calls)
        except ValueError:
            pair = f"{tool[:_LONGEST_SHOWN]} has {shown(calls)}"
            raise _UnreadableError(f": {pair}") from None
    return caps


def takes(what: str, default: object = None) -> Any:
    """Declare a parameter.

    :param what: The values that it takes, for messages.
    """
    return Field(default, description=what)


Flag = Annotated[bool, Strict(), BeforeValidator(_flag)]
Day = Annotated[date, Strict(), BeforeValidator(_day)]
Number = Annotated[int, BeforeValidator(_number)]
AtLeastOne = Annotated[Number, Field(ge=1)]
Text = Annotated[str, BeforeValidator(_text)]
Lines = Annotated[str, BeforeValidator(_lines)]
Ids = Annotated[tuple[str, ...], BeforeValidator(_ids)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Statuses = Annotated[tuple[str, ...], BeforeValidator(_statuses)]
Versions = Annotated[Mapping[str, str], BeforeValidator(_versions)]
Decided = Annotated[Decision, BeforeValidator(_decision)]
Cap = Annotated[MaxInFlight, BeforeValidator(_cap)]

_calls: Final = TypeAdapter[int](AtLeastOne).validate_python

A_FLAG: Final = "true or false"
A_DAY: Final = "a day such as 2026-11-03"
A_COUNT: Final = "a whole number, at least 1"
A_TEXT: Final = "a text"
A_LIST_OF_IDS: Final = "a list of ids such as ['a', 'b'], or one id"
SEEN_VERSIONS: Final = "statuses and attempts by result id, as in {'ar-1': 'unknown 2'}"
A_SHARD: Final = "a shard as the task before it planned it"
A_CAP: Final = f"{A_COUNT}, or such numbers by tool, as in {{'workday': 4, 'default': 28}}"


def shown(value: object) -> str:
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
