"""Keys of rows, for complete rows and for rows without all ids."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from uuid import UUID

from airflow_kombo.database.unreadable import Unreadable
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import RowError
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.kombo_api.writes import Write
from airflow_kombo.rows.formats import UnwritableError, is_missing, plain
from airflow_kombo.rows.frames import Row, cells, row_at
from airflow_kombo.statuses import ErrorCode

if TYPE_CHECKING:
    from pandas import DataFrame

_IDS: Final = (str, int, Decimal, UUID)
_UNPRINTABLE: Final = "\x00"
"""Prefix of a value that is no id: the row becomes `invalid` and keeps a key of its own."""
_DOTS: Final = frozenset({".", ".."})
_LONGEST_ID: Final = 250
"""Most bytes of an id. Three ids of 250 characters are the most that a key of MySQL's can hold."""


def day_of(value: object) -> date | None:
    """Return the day of a cell of `assessment_date`, or None for one that is not readable."""
    if is_missing(value):
        return None
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def integration_of(row: Row, default: str | None) -> str:
    """Return a row's integration, else the default, else a blank text."""
    return id_of(row.get("integration_id")) or (default or "").strip()


def keys_of(
    frame: DataFrame, default_integration: str | None, write: Write = RESULT_LINKS
) -> list[tuple[LinkKey, RowError | None]]:
    """Return the key of each row, as `key_of` does.

    Almost all ids are plain texts, which need no more than a look.
    """
    targets: list[tuple[str, str]] = [("", "")] * len(frame)
    for kind, column in write.targets.items():
        ids = map(id_of, cells(frame, column))
        targets = [
            target if target[1] else (kind, text) for target, text in zip(targets, ids, strict=True)
        ]
    default = (default_integration or "").strip()
    integrations = (id_of(value) or default for value in cells(frame, "integration_id"))
    results = map(id_of, cells(frame, "result_id"))
    keys: list[tuple[LinkKey, RowError | None]] = []
    for place, (integration_id, (kind, target_id), result_id) in enumerate(
        zip(integrations, targets, results, strict=True)
    ):
        if _are_plain(integration_id, target_id, result_id):
            keys.append((LinkKey(integration_id, kind, target_id, result_id), None))
        else:
            keys.append(key_of(row_at(frame, place), default_integration, write))
    return keys


def _are_plain(*ids: str) -> bool:
    """Return True for ids that are a key without a closer look."""
    return all(
        text and text.isascii() and text.isprintable() and len(text) <= _LONGEST_ID for text in ids
    ) and _DOTS.isdisjoint(ids)


def key_of(
    row: Row, default_integration: str | None, write: Write = RESULT_LINKS
) -> tuple[LinkKey, RowError | None]:
    """Return a row's key and the error of an incomplete or wrong key.

    Every row has a key, so a row without ids has a status too. A missing id is blank in the key. A
    missing result id is replaced by a digest of the row, so that two such rows have two keys.

    :param default_integration: The integration of rows without one.
    :param write: The write that sends the row.
    """
    integration_id = integration_of(row, default_integration)
    target_type = column = target_id = ""
    for target_type, column in write.targets.items():  # noqa: B007 - the last one if all are empty
        if target_id := id_of(row.get(column)):
            break
    result_id = id_of(row.get("result_id"))
    named = (("integration_id", integration_id), (column, target_id), ("result_id", result_id))
    wrong = next(
        (error for name, text in named if (error := _wrong_id(row, name, text, write))), None
    )
    if wrong and isinstance(row.get("result_id"), Unreadable):
        result_id = ""  # two unreadable ids have the same text, so the digest replaces it
    key = LinkKey(
        _storable(integration_id),
        target_type,
        _storable(target_id),
        _storable(result_id or f"missing:{_digest(row)}"),
    )
    return key, wrong


def id_of(value: object) -> str:
    """Return an id as the ledger's text: stripped, `95` for 95.0, blank without one."""
    if type(value) is str:  # most ids are texts
        return value.strip()
    if is_missing(value):
        return ""
    try:
        value = plain(value)
    except UnwritableError:
        return _no_id(value)
    return _text_of(value).strip() if isinstance(value, _IDS) else _no_id(value)


def _no_id(value: object) -> str:
    try:
        return _UNPRINTABLE + repr(value)
    except (ValueError, RecursionError):  # see _text_of
        return _UNPRINTABLE


def _text_of(value: object) -> str:
    try:
        return str(value)
    except (ValueError, RecursionError):  # too many digits, or too deep
        return _UNPRINTABLE


def _wrong_id(row: Row, name: str, text: str, write: Write) -> RowError | None:
    if not text:
        others = [column for column in write.targets.values() if column != name]
        if name == "integration_id":
            reason = "is empty: fill the column, or the connection's default"
        elif name != "result_id" and others:
            reason = f"is empty, and so is {', '.join(others)}: fill one of them"
        else:
            reason = "is empty: fill it"
        return RowError(ErrorCode.MISSING_FIELD, name, reason)
    if text in _DOTS:
        return RowError(
            ErrorCode.INVALID_FIELD, name, "must not be a dot segment: it would change the path"
        )
    if not text.isprintable() or len(text.encode("utf-8", "replace")) > _LONGEST_ID:
        reason = f"must be printable text of at most {_LONGEST_ID} bytes"
        if isinstance(value := row.get(name), Unreadable):
            reason = str(value)
        return RowError(ErrorCode.INVALID_FIELD, name, reason)
    if name == "integration_id" and not text.isascii():
        return RowError(ErrorCode.INVALID_FIELD, name, "must be ASCII: it is sent in a header")
    return None


def _storable(text: str) -> str:
    """Return an id for any database's text key, unchanged where possible."""
    data = text.encode("utf-8", "surrogatepass")
    if text.isprintable() and len(data) <= _LONGEST_ID:
        return text
    kept = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return f"{kept[:40]}…{sha256(data).hexdigest()[:16]}"


def _digest(row: Row) -> str:
    content = repr(sorted((str(name), _text_of(value)) for name, value in row.items()))
    return sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
