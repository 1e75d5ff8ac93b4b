"""Parts of a plan about evidence: ATSs, recipes, and looks for links."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final, Literal
from zlib import crc32

from tools.nights.world import Point

if sys.version_info >= (3, 11):
    from enum import StrEnum
else:
    from backports.strenum import StrEnum


class KeptAs(StrEnum):
    """The form of the links kept in an ATS."""

    DOCUMENTS = "documents"
    """Files of a record, which Kombo reads live."""
    NOTES = "notes"
    """Notes of a candidate, which Kombo reads at each sync."""
    ACTIVITIES = "activities"
    """Activities of a candidate, which the ATS's own API shows."""


@dataclass(frozen=True)
class PlannedAts:
    """The ATS behind an integration.

    :param hides: The type of target whose links no read shows; empty for none.
    :param written_as: The writing of an address: `plain`, `html`, `html twice` or `percent`.
    :param delay: Seconds at most until a created link is to be seen.
    :param sync_seconds: Seconds between two syncs of notes.
    :param page_size: Entries of a page.
    :param candidates: The candidates of applications: `same` id, an `own` one, or `few` for all.
    :param may_read: Whether the integration has the permission to read.
    :param untracked: Share of the targets that Kombo does not track.
    :param broken: Share of the targets whose reads never bring the list.
    :param similar: Share of the results of whose address another form is on every target.
    :param deleted: Share of the links that a recruiter deletes.
    """

    integration_id: str
    kept_as: KeptAs
    hides: str = ""
    written_as: str = "plain"
    delay: float = 0.0
    sync_seconds: float = 600.0
    page_size: int = 100
    candidates: Literal["same", "own", "few"] = "own"
    may_read: bool = True
    untracked: float = 0.0
    broken: float = 0.0
    similar: float = 0.0
    deleted: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Return True if each target is tracked and readable, and keeps all links."""
        return not (self.untracked or self.broken or self.similar or self.deleted)

    def is_among(self, share: float, *what: str) -> bool:
        """Return True for a share of records, always the same ones."""
        return crc32("/".join((self.integration_id, *what)).encode()) % 1000 < share * 1000

    def is_tracked(self, target_type: str, target_id: str) -> bool:
        """Return True if Kombo tracks a target: an application only with the candidate."""
        records = {
            (target_type, target_id),
            ("candidate", self.candidate_of(target_type, target_id)),
        }
        return not any(self.is_among(self.untracked, "tracked", *one) for one in records)

    def is_broken(self, record_id: str) -> bool:
        """Return True if no read of a record ever brings the list."""
        return self.is_among(self.broken, "broken", record_id)

    def candidate_of(self, target_type: str, target_id: str) -> str:
        """Return the candidate of a target."""
        if target_type == "candidate" or self.candidates == "same":
            return target_id
        if self.candidates == "own":
            return f"of-{target_id}"
        return f"few{crc32(target_id.encode()) % 3}"

    def synced_since(self, moment: float) -> float:
        """Return the time of the first sync at or after a time, both after the first evening."""
        return -(-moment // self.sync_seconds) * self.sync_seconds


@dataclass(frozen=True)
class PlannedRecipe:
    """Recipe for the rows of an integration's tool.

    :param reads: The form of links that it reads; the ATS may keep another one.
    :param shape: Number of the shape of the read.
    :param has_next: Whether it reads all pages.
    """

    tool: str
    target_type: str
    reads: KeptAs
    source: str
    may_deny: bool
    shape: int = 0
    has_next: bool = True


@dataclass(frozen=True)
class PlannedLook:
    """Look for the links of rows in doubt.

    :param at: Seconds after the first evening.
    :param end: `kill`, `stand still`, or empty for no accident.
    :param point: The point of danger at which the accident comes, and its number; None for some
        seconds after the start.
    :param seconds: Seconds from the start to the accident without a point.
    :param still: Seconds for which it stands still.
    """

    name: str
    at: float
    look_again: bool = False
    dry_run: bool = False
    result_ids: tuple[str, ...] = ()
    end: str = ""
    point: tuple[Point, int] | None = None
    seconds: float = 0.0
    still: float = 0.0


LAST_LOOK: Final = PlannedLook("look-last", 0.0, look_again=True)
"""Look of the last morning, with nothing wrong around it."""
LONGEST_DELAY: Final = 50.0
"""Longest time until a created link is to be seen live. The rule of evidence allows 2 minutes for
this, for the network, and for clocks that do not agree."""
