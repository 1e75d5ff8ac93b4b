"""Ledger of the stand-in: all links and the number of their writes."""

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tools.kombo_standin.wire import Link


@dataclass
class _Entry:
    """The last version of a link, and the number of writes."""

    link: Link
    count: int = 0


class Ledger:
    """Counts of links by integration, target and URL: a second write must never happen.

    :param journal: A file that outlives the process, with one JSON line per written link. The
        ledger begins with the links in this file. A line is passed to the operating system before
        the response, so a ``kill -9`` loses none. None: keep the links in memory only.
    """

    def __init__(self, journal: Path | None = None) -> None:
        self._entries: dict[tuple[str, ...], _Entry] = {}
        self.created = 0
        self._journal = journal.open("a+", buffering=1, encoding="utf-8") if journal else None
        if self._journal:
            self._journal.seek(0)
            for line in self._journal:
                self._count(Link(**json.loads(line)))

    def __len__(self) -> int:
        """Return the number of different links."""
        return len(self._entries)

    def create(self, link: Link) -> None:
        """Write a link."""
        if self._journal:
            self._journal.write(json.dumps(link._asdict()) + "\n")
        self._count(link)

    def clear(self) -> None:
        """Delete all links, also in the journal."""
        self._entries.clear()
        self.created = 0
        if self._journal:
            self._journal.truncate(0)

    def page(self, offset: int, limit: int | None) -> list[dict[str, Any]]:
        """List different links in the order of their creation, with their counts."""
        stop = None if limit is None else offset + limit
        entries = islice(self._entries.values(), offset, stop)
        return [{**entry.link._asdict(), "count": entry.count} for entry in entries]

    def _count(self, link: Link) -> None:
        key = (link.integration_id, link.target_type, link.target_id, link.url)
        entry = self._entries.setdefault(key, _Entry(link))
        entry.link = link
        entry.count += 1
        self.created += 1
