"""When a task is red, by how many of its rows ended how, and when it is not tried again."""

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
"""What another try would meet again: a person has to change, or to decide, something first."""


@contextmanager
def not_tried_again() -> Iterator[None]:
    """Raise what a person has to mend as the exception after which Airflow does not retry.

    Its message is the error's own, and the error is its cause. Other errors pass as they are.

    :raises AirflowFailException: for a `ConfigurationError` or a `TooManyRefusedError`.
    """
    try:
        yield
    except _FOR_A_PERSON as error:
        raise AirflowFailException(str(error)) from error


@dataclass(frozen=True)
class Policy:
    """The most rows that may end with each status: a float is a share, an int is a number.

    :param limits: By status; one that is not named may be of any number.
    :raises ConfigurationError: for a status that there is not, or a limit that makes no sense.
    """

    limits: Mapping[str, float]

    def __post_init__(self) -> None:
        for status, limit in self.limits.items():
            if status not in NOT_DELIVERED:
                known = ", ".join(sorted(NOT_DELIVERED))
                raise ConfigurationError(
                    f"fail_on names '{status}', and no row ends so undelivered; those are {known}."
                )
            most = 1 if isinstance(limit, float) else float("inf")
            if (
                isinstance(limit, bool)
                or not isinstance(limit, int | float)
                or not 0 <= limit <= most
            ):
                raise ConfigurationError(
                    f"fail_on says {limit!r} for {status}: give a share from 0.0 to 1.0, such as"
                    " 0.05, or a number of rows, such as 100."
                )

    def exceeded(self, counts: Mapping[str, int], tried: int) -> list[str]:
        """Say of each limit that a run is above how far; none if the task may be green.

        :param tried: Rows that shares are of.
        """
        return [
            f"{rows} of {tried} rows are {status}, and at most {_told(limit)} may be"
            for status, limit in self.limits.items()
            if (rows := counts.get(status, 0))
            > (limit * tried if isinstance(limit, float) else limit)
        ]


def _told(limit: float) -> str:
    return f"{limit * 100:g}%" if isinstance(limit, float) else f"{limit:,}"
