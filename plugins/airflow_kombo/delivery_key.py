"""The key of one delivery: a result, and the record in the applicant tracking system."""

from __future__ import annotations

import re
import sys

if sys.version_info >= (3, 11):
    from enum import StrEnum
else:
    from backports.strenum import StrEnum


from typing import Final, NamedTuple, Protocol

_INTEGRATION_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,40}:[A-Za-z0-9_-]{1,60}", re.ASCII)


class TargetType(StrEnum):
    """Kinds of records with links."""

    CANDIDATE = "candidate"
    APPLICATION = "application"


class KeyColumns(Protocol):
    """Columns of the key, in a row of any table."""

    integration_id: str
    target_type: str
    target_id: str
    result_id: str


class Keyed(Protocol):
    """Any object of one delivery."""

    @property
    def key(self) -> LinkKey:
        """Return the key of the delivery."""


class Target(NamedTuple):
    """One record of one integration.

    The type is part of it: a candidate and an application may have the same id.
    """

    integration_id: str
    target_type: str
    target_id: str


class LinkKey(NamedTuple):
    """The key of one delivery: a target and a result.

    The fields are the columns of the key in all tables, in the order of their primary key.
    """

    integration_id: str
    target_type: str
    target_id: str
    result_id: str

    @classmethod
    def of(cls, row: KeyColumns) -> LinkKey:
        """Return the key of a row, read from the columns by name."""
        return cls(row.integration_id, row.target_type, row.target_id, row.result_id)

    @property
    def target(self) -> Target:
        """Return the target without the result."""
        return Target(self.integration_id, self.target_type, self.target_id)

    @property
    def columns(self) -> dict[str, str]:
        """Return the values by column."""
        return self._asdict()


def is_integration_id(text: str) -> bool:
    """Return True for a text of the form of Kombo's ids, such as `workday:HWUTwvyx2wLoSUHp`.

    Any other text in a row's place for the id may be personal data.
    """
    return bool(_INTEGRATION_ID.fullmatch(text))
