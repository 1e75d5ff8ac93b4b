"""Texts of a row's values, as a recruiter reads them.

A text is never `nan`, `None`, or `95.0` for 95.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from numbers import Integral
from typing import Any, Final

from airflow_kombo.database.unreadable import Unreadable


class UnwritableError(ValueError):
    """A value without a readable text. The message has the reason and never the value."""


_PLAIN: Final = frozenset({str, int, bool, date, datetime})
"""Types of values without a change: most values, so they are checked first."""
_EXACT: Final = 2.0**53
"""Limit of exact whole numbers in a float."""
_EXACT_OF_SMALL: Final = {4: 2.0**24, 2: 2.0**11}
"""The same for a float of numpy's, by the size in bytes."""
_DIGITS: Final = 30
"""Most digits of a readable number."""


def is_missing(value: object) -> bool:
    """Return true for NULL, NaN, NaT, pandas' NA and blank text."""
    if isinstance(value, str):
        return not value.strip()
    if value is None:
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - NaN, NaT and Decimal("NaN") differ from themselves
    except TypeError:  # pandas.NA has no truth value
        return True
    except (ValueError, InvalidOperation):  # an array or a signalling NaN: a value, but not a text
        return False


def plain(value: Any) -> Any:
    """Return a number in the shortest form: 95 for a float's 95.0, 20.5 for 20.50.

    :raises UnwritableError: for a number that is not finite, for a date or duration of numpy, and
        for a value that the driver could not read.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Unreadable):
        raise UnwritableError(str(value))
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in {"m", "M"}:
        raise UnwritableError("must be a date or a time of the database's, not of numpy's")
    exact = _EXACT
    if kind in {"b", "i", "u", "f"} and getattr(value, "ndim", 0) == 0:
        exact = _EXACT_OF_SMALL.get(value.dtype.itemsize, _EXACT) if kind == "f" else _EXACT
        value = value.item()
    if isinstance(value, (float, Decimal)) and not Decimal(value).is_finite():
        raise UnwritableError("must be a finite number")
    if isinstance(value, float) and value.is_integer() and abs(value) < exact:
        return int(value)
    if isinstance(value, Decimal) and abs(value.adjusted()) <= _DIGITS:
        return Decimal(_number(value))
    return value


def text_of(value: object) -> str:
    """Return a value as a readable text: `95` for 95.0, `2026-11-03` for a date.

    :raises UnwritableError: for a value without a readable text: an infinity, bytes, a list.
    """
    if type(value) is not Decimal:  # `_number` writes the shortest form itself
        value = plain(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, (float, Decimal)):
        return _number(value if type(value) is Decimal else Decimal(str(value)))
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
    text = f"{number or Decimal(0):f}"  # no minus before a zero
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
    if not isinstance(value, date):  # SQLite has no date type: the value is a text
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
