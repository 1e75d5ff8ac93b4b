"""Advice for errors of databases that only a person can correct, by the error's words.

The words are those of PostgreSQL, MySQL, SQLite and the drivers of column stores. An error with
other words has no advice, and stays as it is.
"""

from __future__ import annotations

import re
from typing import Final

_LOGIN: Final = "Check login and password of the connection."
_DATABASE: Final = "Check the connection's schema, which is the name of the database."
_SERVER: Final = (
    "Check host and port of the connection, and that the server can be reached from here."
)
_RIGHTS: Final = (
    "Grant the connection's user what it lacks: docs/warehouses has the statements. A table in a"
    " schema needs USAGE of the schema, too."
)
_TYPES: Final = (
    "Give both sides one type in the query: a text or a timestamp becomes a day with"
    " CAST(... AS date)."
)
_COLUMN: Final = "Correct the name of the column in the query."
_TABLE: Final = (
    "Correct the name of the table in the query. Outside of the connection's default schema, it"
    " needs its schema before a dot."
)
_SYNTAX: Final = "Correct the query: an SQL client shows the place of the mistake."

_ADVICE: Final = {
    "authentication failed": _LOGIN,
    "no password supplied": _LOGIN,
    "access denied for user .*using password": _LOGIN,
    'role ".*" does not exist': _LOGIN,
    'database ".*" does not exist': _DATABASE,
    "unknown database": _DATABASE,
    "connection refused": _SERVER,
    "connection timeout": _SERVER,
    "can't connect": _SERVER,
    "failed to resolve": _SERVER,
    "name or service not known": _SERVER,
    "no route to host": _SERVER,
    "permission denied": _RIGHTS,
    "must be owner": _RIGHTS,
    "command denied": _RIGHTS,
    "access denied": _RIGHTS,
    "insufficient priv": _RIGHTS,
    "operator does not exist": _TYPES,
    "no matching signature": _TYPES,
    "undefinedcolumn": _COLUMN,
    "unknown column": _COLUMN,
    "no such column": _COLUMN,
    "invalid column": _COLUMN,
    "invalid identifier": _COLUMN,
    "unrecognized name": _COLUMN,
    "unresolved_column": _COLUMN,
    "undefinedtable": _TABLE,
    "no such table": _TABLE,
    "table .* doesn't exist": _TABLE,
    "table .* does not exist": _TABLE,
    "object .* does not exist": _TABLE,
    "schema .* does not exist": _TABLE,
    "invalid object": _TABLE,
    "not found: table": _TABLE,
    "table_or_view_not_found": _TABLE,
    "syntax": _SYNTAX,
}
"""Words of an error, in the order in which they are looked for, and the advice."""

_REFUSALS: Final = frozenset({_LOGIN, _DATABASE})
"""Advice for a server that answers, and refuses this connection."""


def with_advice(cause: str) -> str:
    """Return the cause of an error, and the advice as a sentence behind it.

    :param cause: The kind of the error and its first line, which quote no row.
    """
    advice = _advice_for(cause)
    return f"{cause.rstrip('.')}. {advice}" if advice else cause


def is_refusal(cause: str) -> bool:
    """Return True if a server answers, and refuses a connection that a person has to correct."""
    return _advice_for(cause) in _REFUSALS


def lacks_rights(cause: str) -> bool:
    """Return True if the connection's user may not do what a statement does."""
    return _advice_for(cause) == _RIGHTS


def _advice_for(cause: str) -> str | None:
    found = (one for words, one in _ADVICE.items() if re.search(words, cause, re.IGNORECASE))
    return next(found, None)
