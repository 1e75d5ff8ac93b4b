"""Failure of a task, by shares and numbers of rows without a delivery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from airflow.sdk.exceptions import AirflowFailException

from airflow_kombo.exceptions import ConfigurationError, TooManyRefusedError
from airflow_kombo.statuses import NOT_DELIVERED, Status

FAIL_ON: Final[Mapping[str, float]] = MappingProxyType({Status.FAILED.value: 0.05})
"""The default: at most one row in twenty may be refused."""

_FOR_A_PERSON: Final = (ConfigurationError, TooManyRefusedError)
"""Errors that another try would meet again, until a person has changed or decided something."""


@contextmanager
def not_tried_again() -> Iterator[None]:
    """Raise errors for a person as the exception after which Airflow does not retry.

    The message is the error's own, and the error is the cause. Other errors pass unchanged.

    :raises AirflowFailException: for a `ConfigurationError` or a `TooManyRefusedError`.
    """
    try:
        yield
    except _FOR_A_PERSON as error:
        raise AirflowFailException(str(error)) from error


@dataclass(frozen=True)
class Policy:
    """Limits of rows by status: a float is a share, an int is a number of rows.

    :param limits: The most rows of each status; a status without a limit may have any number.
    :raises ConfigurationError: for an unknown status, or a limit that is no share and no number.
    """

    limits: Mapping[str, float]

    def __post_init__(self) -> None:
        for status, limit in self.limits.items():
            if status not in NOT_DELIVERED:
                known = ", ".join(sorted(NOT_DELIVERED))
                raise ConfigurationError(
                    f"fail_on names '{status}', but has to name some of {known}."
                )
            most = 1 if isinstance(limit, float) else float("inf")
            if (
                isinstance(limit, bool)
                or not isinstance(limit, int | float)
                or not 0 <= limit <= most
            ):
                raise ConfigurationError(
                    f"fail_on has {limit!r} for {status}: set a share from 0.0 to 1.0, such as"
                    " 0.05, or a number of rows, such as 100."
                )

    def exceeded(self, counts: Mapping[str, int], tried: int) -> list[str]:
        """Describe each exceeded limit of a run; an empty list is no failure.

        :param counts: Rows by status.
        :param tried: Rows that the shares refer to.
        """
        return [
            f"{rows} of {tried} rows are {status}, and at most {_written(limit)} may be"
            for status, limit in self.limits.items()
            if (rows := counts.get(status, 0))
            > (limit * tried if isinstance(limit, float) else limit)
        ]


def _written(limit: float) -> str:
    return f"{limit * 100:g}%" if isinstance(limit, float) else f"{limit:,}"
