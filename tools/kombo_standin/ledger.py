"""Ledger of the stand-in: all links, with the number and the times of their writes."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tools.kombo_standin.wire import Link, TargetType


@dataclass
class _Entry:
    """The last version of a link, and the number of writes."""

    link: Link
    count: int = 0


@dataclass
class Record:
    """One write of a link, as the ATS keeps it; times are in seconds since 1970.

    :param number: The number of the write, from 0 on.
    :param link: The link as written.
    :param created_at: The time of the write.
    :param appears_at: The time from which the ATS shows the link.
    :param deleted_at: The time of the deletion in the ATS.
    """

    number: int
    link: Link
    created_at: float
    appears_at: float
    deleted_at: float = math.inf


class Ledger:
    """Counts of links by integration, target and URL: a second write must never happen.

    :param journal: A file that outlives the process, with one JSON line per written link. The
        ledger begins with the links in this file. A line is passed to the operating system before
        the response, so a ``kill -9`` loses none. None: keep the links in memory only.
    """

    def __init__(self, journal: Path | None = None) -> None:
        self._entries: dict[tuple[str, ...], _Entry] = {}
        self._records: dict[tuple[str, str, str], list[Record]] = {}
        self.created = 0
        self._journal = journal.open("a+", buffering=1, encoding="utf-8") if journal else None
        if self._journal:
            self._journal.seek(0)
            for line in self._journal:
                self._replay(json.loads(line))

    def __len__(self) -> int:
        """Return the number of different links."""
        return len(self._entries)

    def create(self, link: Link, delay: float = 0) -> None:
        """Write a link; the ATS shows the link after a delay in seconds."""
        now = time.time()
        if self._journal:
            times = {"created_at": now, "appears_at": now + delay}
            self._journal.write(json.dumps(link._asdict() | times) + "\n")
        self._count(link, now, now + delay)

    def delete(self, record: Record) -> None:
        """Delete a written link from the ATS; the counts of writes stay."""
        record.deleted_at = time.time()
        if self._journal:
            deletion = {"deleted": record.number, "deleted_at": record.deleted_at}
            key = _target(record.link)
            self._journal.write(json.dumps({**deletion, "target": key}) + "\n")

    def of_target(
        self, integration_id: str, target_type: TargetType, target_id: str
    ) -> list[Record]:
        """Return all writes to a candidate or an application, in their order."""
        return self._records.get((integration_id, target_type, target_id), [])

    def records(self) -> Iterator[Record]:
        """Yield all writes, in order within each target."""
        for records in self._records.values():
            yield from records

    def clear(self) -> None:
        """Delete all links, also in the journal."""
        self._entries.clear()
        self._records.clear()
        self.created = 0
        if self._journal:
            self._journal.truncate(0)

    def page(self, offset: int, limit: int | None) -> list[dict[str, Any]]:
        """List different links in the order of their creation, with their counts."""
        stop = None if limit is None else offset + limit
        entries = islice(self._entries.values(), offset, stop)
        return [{**entry.link._asdict(), "count": entry.count} for entry in entries]

    def _replay(self, line: dict[str, Any]) -> None:
        """Repeat what one line of the journal reports."""
        if "deleted" in line:
            records = self._records[tuple(line["target"])]
            record = next(one for one in records if one.number == line["deleted"])
            record.deleted_at = line["deleted_at"]
            return
        created_at, appears_at = line.pop("created_at"), line.pop("appears_at")
        self._count(Link(**line), created_at, appears_at)

    def _count(self, link: Link, created_at: float, appears_at: float) -> None:
        record = Record(self.created, link, created_at, appears_at)
        self._records.setdefault(_target(link), []).append(record)
        key = (link.integration_id, link.target_type, link.target_id, link.url)
        entry = self._entries.setdefault(key, _Entry(link))
        entry.link = link
        entry.count += 1
        self.created += 1


def _target(link: Link) -> tuple[str, str, str]:
    """Return the key of a link's candidate or application."""
    return link.integration_id, link.target_type, link.target_id
