"""The links that were made: what a test or a demo wants to know in the end."""

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tools.kombo_standin.wire import Link


@dataclass
class _Entry:
    """A link as it was made last, and how often it was made."""

    link: Link
    count: int = 0


class Ledger:
    """Counts links by integration, target and URL: making one twice is what must never happen.

    Args:
        journal: File that outlives the process, one JSON line per link made. What it holds already
            is counted first. A line is with the operating system before the answer goes out, so
            that a ``kill -9`` loses none; None keeps the links in memory only.

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
        """How many different links were made."""
        return len(self._entries)

    def create(self, link: Link) -> None:
        """Make a link."""
        if self._journal:
            self._journal.write(json.dumps(link._asdict()) + "\n")
        self._count(link)

    def clear(self) -> None:
        """Forget all links, in the journal as well."""
        self._entries.clear()
        self.created = 0
        if self._journal:
            self._journal.truncate(0)

    def page(self, offset: int, limit: int | None) -> list[dict[str, Any]]:
        """List different links in the order they were first made, with their counts."""
        stop = None if limit is None else offset + limit
        entries = islice(self._entries.values(), offset, stop)
        return [{**entry.link._asdict(), "count": entry.count} for entry in entries]

    def _count(self, link: Link) -> None:
        key = (link.integration_id, link.target_type, link.target_id, link.url)
        entry = self._entries.setdefault(key, _Entry(link))
        entry.link = link
        entry.count += 1
        self.created += 1
