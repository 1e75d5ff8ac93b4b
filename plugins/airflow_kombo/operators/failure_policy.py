"""Failure of a task by its rows: too many without a delivery, or too few delivered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from airflow_kombo.airflow_compat import AirflowFailException
from airflow_kombo.exceptions import ConfigurationError, PolicyError
from airflow_kombo.statuses import NOT_DELIVERED, Status

FAIL_ON: Final[Mapping[str, float]] = MappingProxyType({Status.FAILED.value: 0.05})
"""The default: at most one row in twenty may be refused."""

FAIL_BELOW: Final = 0.5
"""The default: at least half of a day's rows have to be delivered."""


@contextmanager
def not_tried_again() -> Iterator[None]:
    """Raise errors for a person as the exception after which Airflow does not retry.

    The message is the error's own, and the error is the cause. Other errors pass unchanged.

    :raises AirflowFailException: for a `ConfigurationError`, and for a `PolicyError` whose cause
        does not pass by itself.
    """
    try:
        yield
    except ConfigurationError as error:
        raise AirflowFailException(str(error)) from error
    except PolicyError as error:
        if not error.lasting:
            raise
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
            f"{rows} of {tried} rows are {status}, and at most {written(limit)} may be"
            for status, limit in self.limits.items()
            if (rows := counts.get(status, 0))
            > (limit * tried if isinstance(limit, float) else limit)
        ]


def checked_share(share: float) -> float:
    """Return the parameter `fail_below`, if it is a share.

    A whole number is refused, apart from 0: it could be meant as a number of rows.

    :raises ConfigurationError: for anything else.
    """
    is_zero = isinstance(share, int) and not isinstance(share, bool) and share == 0
    if not is_zero and not (isinstance(share, float) and 0 <= share <= 1):
        raise ConfigurationError(
            f"fail_below is {share!r}: set a share from 0.0 to 1.0, such as 0.5. With 0.0, any"
            " share is enough."
        )
    return float(share)


def written(limit: float) -> str:
    """Write a limit for a message: a float as a share, an int as a number."""
    return f"{limit * 100:g}%" if isinstance(limit, float) else f"{limit:,}"
