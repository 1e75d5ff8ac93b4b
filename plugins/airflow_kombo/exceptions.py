"""Exceptions of this package, in one tree below `KomboError`."""

from __future__ import annotations

from airflow_kombo.statuses import ErrorCode


class KomboError(Exception):
    """Root of all exceptions raised on purpose."""


class ConfigurationError(KomboError):
    """A connection, the mapping or a table is wrong, and a person has to change it."""


class NoConnectionError(ConfigurationError):
    """Airflow has no connection of the given id."""

    def __init__(self, conn_id: str) -> None:
        super().__init__(conn_id)
        self.conn_id = conn_id

    def __str__(self) -> str:
        return (
            f"Airflow has no connection {self.conn_id}: add it to its connections or its secrets"
            f" backend, set AIRFLOW_CONN_{self.conn_id.upper()}, or name another in the operator."
        )


class MappingError(ConfigurationError):
    """The mapping is invalid, or names a column missing from the query."""


class DecisionFileError(ConfigurationError):
    """A file of decisions has a mistake, and nothing of the file is decided."""


class TransformError(KomboError):
    """The function `transform` raised, before anything was sent."""


class LedgerError(KomboError):
    """The ledger cannot be written now, so nothing may be sent."""


class WarehouseError(KomboError):
    """The warehouse cannot be read or written now, where the ledger is in another database."""


class DeclaredDeadError(LedgerError):
    """Others have declared the run dead, and the run may not send any more."""


class UnreachableError(KomboError):
    """Kombo could not be reached before the first row was sent; this may pass by itself."""


class RowsHeldError(LedgerError):
    """Another open transaction holds a row or a table for longer than we wait."""


class RunStoppedError(KomboError):
    """The run was stopped before every row was tried; the next run continues."""


class ShardsFailedError(KomboError):
    """Some shards of a day failed, so the day is not delivered yet."""


class PolicyError(KomboError):
    """Every row was tried, and the outcomes are not what the task's policy demands.

    :param lasting: Whether another try by itself would meet the same outcomes.
    """

    def __init__(self, message: str, *, lasting: bool = True) -> None:
        super().__init__(message)
        self.lasting = lasting


class TooManyRefusedError(PolicyError):
    """Every row was tried, and more rows failed than the task's policy allows."""


class TooFewDeliveredError(PolicyError):
    """Every row was tried, and fewer rows were delivered than the task's policy demands."""


class RowError(KomboError):
    """A row cannot become a request.

    The message names the field, the reason and the fix. It never quotes the value, which may be
    personal data.

    :param code: The code in the status row.
    :param field: The member of the request, or the column.
    :param reason: The reason and the fix.
    """

    def __init__(self, code: ErrorCode, field: str, reason: str) -> None:
        super().__init__(code, field, reason)  # all of them, so that it survives pickling
        self.code = code.value
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class TransportError(KomboError):
    """A call brought no response; the message is a cause without any data of the call."""


class NotSentError(TransportError):
    """No server can have read the request: no connection, no TLS, no proxy, no body.

    :param lasting: Whether only a person can remove the cause, such as a certificate.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class ResponseLostError(TransportError):
    """The request left, or may have left, and no response came: timed out or disconnected."""
