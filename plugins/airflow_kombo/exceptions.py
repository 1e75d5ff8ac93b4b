"""What each outcome of a call proves about the link, in one table, and the errors that we raise.

The table's source is Kombo's documentation of its error codes and of retries, and its published
OpenAPI document. Nothing outside this module looks at an error code or at an HTTP status.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 11):
    pass
else:
    pass


import sys
from collections.abc import Collection
from difflib import get_close_matches

if sys.version_info >= (3, 11):
    pass
else:
    pass


class KomboError(Exception):
    """The root of what this package raises on purpose."""


class ConfigurationError(KomboError):
    """A connection, the mapping or a table is not as it must be: a person has to change it."""


class NoConnectionError(ConfigurationError):
    """Airflow knows no connection of that name."""

    def __init__(self, conn_id: str) -> None:
        super().__init__(conn_id)
        self.conn_id = conn_id

    def __str__(self) -> str:
        return (
            f"Airflow has no connection {self.conn_id}: add it to its connections or its secrets"
            f" backend, set AIRFLOW_CONN_{self.conn_id.upper()}, or name another in the operator."
        )


class MappingError(ConfigurationError):
    """The mapping cannot be used, or names a column that the query does not have."""


class LedgerError(KomboError):
    """The ledger cannot be written now, so nothing may be sent."""


class DeclaredDeadError(LedgerError):
    """Others have declared the run dead, so it may not send any more."""


class UnreachableError(KomboError):
    """Kombo could not be asked before the first row was sent; that may pass by itself."""


class RowsHeldError(LedgerError):
    """Somebody else's open transaction holds a row, or a table, for longer than we wait for it."""


class RunStoppedError(KomboError):
    """The run was told to end before it had tried every row; the next one goes on."""


class TooManyRefusedError(KomboError):
    """Every row was tried, and more of them ended badly than the task's policy allows."""


class RowError(KomboError):
    """A row cannot become a request.

    `code` is the status row's `error_code`; the message names the field, the reason and the fix,
    and never quotes the value, which may be a person's.
    """

    def __init__(self, code: str, field: str, reason: str) -> None:
        super().__init__(code, field, reason)  # all of them, so that it survives pickling
        self.code = code
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class TransportError(KomboError):
    """A call brought no answer; the message is a cause without any data of the call."""


class NotSentError(TransportError):
    """No server can have read the request: no connection, no TLS, no proxy, no body.

    :param lasting: Whether only a person can mend the cause, such as a certificate.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class ResponseLostError(TransportError):
    """The request left, or may have left, and no answer came: timed out or disconnected."""


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Give the nearest known name as a question, or nothing."""
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
