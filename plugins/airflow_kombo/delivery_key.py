"""Name one delivery: a result on a candidate or an application of one integration."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 11):
    from enum import StrEnum
else:
    from backports.strenum import StrEnum


from typing import NamedTuple


class TargetType(StrEnum):
    """What a link is put on."""

    CANDIDATE = "candidate"
    APPLICATION = "application"


class LinkKey(NamedTuple):
    """One delivery: a result on a candidate or an application of one integration.

    The target's type belongs to it: a candidate and an application may have the same id.
    """

    integration_id: str
    target_type: str
    target_id: str
    result_id: str

    @property
    def columns(self) -> dict[str, str]:
        """The key as the tables' columns name it."""
        return self._asdict()
