"""How a value of a row is written: what a recruiter reads, never `nan`, `None` or `95.0` for 95."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from numbers import Integral
from typing import Any, Final

from airflow_kombo.database.unreadable import Unreadable


class UnwritableError(ValueError):
    """A value has no text for a person; the message says why, and does not quote it."""


_PLAIN: Final = frozenset({str, int, bool, date, datetime})
"""What is written as it is: nearly every value, so it is told first."""
_EXACT: Final = 2.0**53
"""Below it, a float that is whole is the number that was meant."""
_DIGITS: Final = 30
"""Of a number that a person reads; beyond it, its text would be zeros for miles."""


def is_missing(value: object) -> bool:
    """Whether a value says nothing: NULL, NaN, NaT, pandas' NA or blank text."""
    if isinstance(value, str):
        return not value.strip()
    if value is None:
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - NaN, NaT and Decimal("NaN") differ from themselves
    except TypeError:  # pandas.NA has no truth value, and says so
        return True
    except (ValueError, InvalidOperation):  # an array, a signalling NaN: there, but no text
        return False


def plain(value: Any) -> Any:
    """Give a number as Python writes it best: 95 for numpy's or a float's 95.0, 20.5 for 20.50.

    :raises UnwritableError: for a number that is not finite, for numpy's raw nanoseconds, and for a
        value that could not be read.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Unreadable):
        raise UnwritableError(str(value))
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in {"m", "M"}:
        raise UnwritableError("must be a date or a time of the database's, not of numpy's")
    if kind in {"b", "i", "u", "f"} and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, (float, Decimal)) and not Decimal(value).is_finite():
        raise UnwritableError("must be a finite number")
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if isinstance(value, Decimal) and abs(value.adjusted()) <= _DIGITS:
        return Decimal(_number(value))
    return value


def text_of(value: object) -> str:
    """Write a value as a person would: `95` for 95.0, `2026-11-03` for a date, never `nan`.

    :raises UnwritableError: for what has no such text: an infinity, bytes, a list.
    """
    value = plain(value)
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
    raise UnwritableError("has no text: use a number, a text or a date")


def _number(number: Decimal) -> str:
    if not number.is_finite():
        raise UnwritableError("must be a finite number")
    if abs(number.adjusted()) > _DIGITS:
        raise UnwritableError("must be a number of a size that a person can read")
    text = f"{number or Decimal(0):f}"  # a zero has no minus
    return text.rstrip("0").rstrip(".") if "." in text else text


def _decimal(value: object) -> Decimal:
    try:
        number = Decimal(text_of(value))
    except InvalidOperation:
        raise UnwritableError("must be a number") from None
    if not number.is_finite():
        raise UnwritableError("must be a finite number")
    return number


def _percent(value: object, of: object) -> str:
    whole = Decimal(100) if of is None else _decimal(of)
    if whole <= 0:
        raise UnwritableError("cannot be a share of a whole that is not above zero")
    return _number(round(_decimal(value) * 100 / whole, 1)) + "%"


def _duration(value: object, _of: object) -> str:
    seconds = value.total_seconds() if isinstance(value, timedelta) else _decimal(value)
    if seconds < 0:
        raise UnwritableError("must not be a negative number of seconds")
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02}h"


def _date(value: object, _of: object) -> str:
    if isinstance(value, Unreadable):
        raise UnwritableError(str(value))
    if not isinstance(value, date):  # SQLite has no type for it: there it is text
        try:
            value = datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
        except ValueError:
            raise UnwritableError("must be a date such as 2026-11-03") from None
    return (value.date() if isinstance(value, datetime) else value).isoformat()


FORMATS: Final[Mapping[str, Callable[[Any, Any], str]]] = {
    "text": lambda value, _of: text_of(value),
    "percent": _percent,
    "duration": _duration,
    "date": _date,
}
