"""Customers' ATSs behind Kombo: where each ATS keeps links, and how the text shows them."""

import html
import math
import random
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from urllib.parse import quote

from tools.kombo_standin.ledger import Ledger, Record
from tools.kombo_standin.scenario import Flavour, Flavours, KeptAs
from tools.kombo_standin.wire import Link, TargetType

_CANDIDATE_OF = "candidate-of-"
_REMOTE = {"candidate": "remote-", "application": "remote-application-"}


class Syncs:
    """Moments at which Kombo reads the notes of the ATSs, in seconds since 1970."""

    def __init__(self) -> None:
        self.begin = time.time()
        self._ordered: list[float] = []

    def order(self) -> None:
        """Sync now, for all integrations."""
        self._ordered.append(time.time())

    def first_since(self, moment: float, every: float | None) -> float:
        """Return the first sync at or after a moment; infinity: there is none yet.

        :param moment: Seconds since 1970.
        :param every: Seconds between two syncs; 0: always; None: never without an order.
        """
        if every == 0 or moment == math.inf:
            return moment
        index = bisect_left(self._ordered, moment)
        ordered = self._ordered[index] if index < len(self._ordered) else math.inf
        if every is None:
            return ordered
        periods = max(1, math.ceil((moment - self.begin) / every))
        return min(ordered, self.begin + periods * every)


class Ats:
    """All customers' ATSs.

    :param ledger: The links, with the times of their writes.
    :param flavours: The behaviour of the ATSs.
    """

    def __init__(self, ledger: Ledger, flavours: Flavours) -> None:
        self._ledger = ledger
        self.syncs = Syncs()
        self.restart(flavours)

    def restart(self, flavours: Flavours) -> None:
        """Begin with other flavours; ordered syncs stay, and periodic ones begin now."""
        self.flavours = flavours
        self.syncs.begin = time.time()
        self.dice = random.Random(flavours.seed)  # noqa: S311 - to be repeated

    def draw_delay(self, integration_id: str) -> float:
        """Draw the seconds until the ATS shows a created link."""
        shortest, longest = self.flavours.of(integration_id).appears_after
        return self.dice.uniform(shortest, longest) if longest else 0

    def candidate_of(self, application_id: str) -> str:
        """Return Kombo's id of an application's candidate."""
        return self.flavours.candidates.get(application_id, f"{_CANDIDATE_OF}{application_id}")

    def owner(self, link: Link) -> tuple[str, str | None]:
        """Return the candidate and the application that have a link in the ATS."""
        if link.target_type == "candidate":
            return link.target_id, None
        is_filed_there = self.flavours.of(link.integration_id).filed_under == "application"
        return self.candidate_of(link.target_id), link.target_id if is_filed_there else None

    def writes(
        self,
        kept_as: KeptAs,
        integration_id: str,
        candidate_ids: Iterable[str] | None = None,
        application_ids: Iterable[str] | None = None,
    ) -> list[Record]:
        """Return all writes that an ATS keeps in a place, in order, also deleted ones.

        :param kept_as: The place.
        :param integration_id: The integration.
        :param candidate_ids: Only links of these candidates and of all their applications.
        :param application_ids: Only links that are filed under these applications.
        """
        flavour = self.flavours.of(integration_id)
        if flavour.kept_as != kept_as:
            return []
        if candidate_ids is not None:
            found = self._of_candidates(integration_id, candidate_ids)
        elif application_ids is not None:
            found = self._of_targets(integration_id, "application", application_ids)
        else:
            found = (one for one in self._ledger.records() if one.link[0] == integration_id)
        if application_ids is not None:
            wanted = set(application_ids)
            found = (one for one in found if self.owner(one.link)[1] in wanted)
        return sorted(found, key=lambda record: record.number)

    def shown(
        self, kept_as: KeptAs, integration_id: str, candidate_id: str, application_id: str | None
    ) -> list[Record]:
        """Return the links of a candidate, or of one application, that an ATS shows now."""
        now = time.time()
        application_ids = None if application_id is None else [application_id]
        found = self.writes(kept_as, integration_id, [candidate_id], application_ids)
        return [one for one in found if one.appears_at <= now < one.deleted_at]

    def _of_candidates(self, integration_id: str, candidate_ids: Iterable[str]) -> Iterator[Record]:
        for candidate_id in set(candidate_ids):
            yield from self._of_targets(integration_id, "candidate", [candidate_id])
            applications = self._applications_of(candidate_id)
            yield from self._of_targets(integration_id, "application", applications)

    def _of_targets(
        self, integration_id: str, target_type: TargetType, target_ids: Iterable[str]
    ) -> Iterator[Record]:
        for target_id in set(target_ids):
            yield from self._ledger.of_target(integration_id, target_type, target_id)

    def _applications_of(self, candidate_id: str) -> list[str]:
        known = self.flavours.candidates
        own = candidate_id.removeprefix(_CANDIDATE_OF)
        has_own = candidate_id.startswith(_CANDIDATE_OF) and own not in known
        return [one for one in known if known[one] == candidate_id] + [own] * has_own


def remote_id(target_type: TargetType, record_id: str) -> str:
    """Return the ATS's id of a candidate or an application."""
    return _REMOTE[target_type] + record_id


def candidate_from(remote: str) -> str | None:
    """Return Kombo's id of a candidate by the ATS's id; None: the ATS has no such candidate."""
    if remote.startswith(_REMOTE["application"]) or not remote.startswith(_REMOTE["candidate"]):
        return None
    return remote.removeprefix(_REMOTE["candidate"])


def text(flavour: Flavour, link: Link) -> str:
    """Return the text that the ATS shows for a link."""
    if flavour.written_as == "html":
        return f'<p><a href="{html.escape(link.url)}">{html.escape(link.label)}</a></p>'
    return f"{link.label}: {address(flavour, link)}"


def address(flavour: Flavour, link: Link) -> str:
    """Return the address that the ATS keeps: the link's own, or a redirect's."""
    if flavour.written_as == "percent":
        return f"https://ats.example.com/redirect?to={quote(link.url, safe='')}"
    return link.url


def iso(moment: float) -> str:
    """Return a time in seconds since 1970 in Kombo's format, with milliseconds."""
    shown = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
    return shown.replace("+00:00", "Z")
