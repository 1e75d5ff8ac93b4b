"""The ATSs of a night behind Kombo: they keep the links really made."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from tools.nights.planned_evidence import KeptAs, PlannedAts
from tools.nights.world import EVENING

if TYPE_CHECKING:
    from tools.nights.kombo import Sent
    from tools.nights.plan import Plan


_FIRST: Final = -1
_LAST: Final = 1_000_000
"""Numbers of entries that are before and after all links."""


@dataclass(frozen=True)
class Kept:
    """Link in an ATS.

    :param seen_from: Time from which reads show the link, in seconds.
    :param deleted_at: Time at which a recruiter deletes the link; infinity for never.
    :param seen_until: Time from which no read shows the link any more.
    """

    number: int
    sent: Sent
    seen_from: float
    deleted_at: float
    seen_until: float


@dataclass(frozen=True)
class Entry:
    """Entry of an ATS, with a text."""

    number: int
    text: str


class Ats:
    """All ATSs of a night.

    :param sent: The requests, which a near address is taken from.
    """

    def __init__(self, plan: Plan, sent: list[Sent]) -> None:
        self.plans = {one.integration_id: one for one in plan.atss}
        self._seed = plan.seed
        self._sent = sent
        self._kept: dict[str, list[Kept]] = {}

    def keep(self, sent: Sent) -> None:
        """Keep a link made now."""
        plan, made_at = self.plans.get(sent.target[0]), sent.made_at
        if plan is None or made_at is None:
            return
        kept = self._kept.setdefault(plan.integration_id, [])
        chance = Random(f"{self._seed}/kept/{plan.integration_id}/{len(kept)}")
        there = made_at + chance.uniform(0.0, plan.delay)
        is_deleted = chance.random() < plan.deleted
        deleted_at = there + 10 ** chance.uniform(0, 4) if is_deleted else math.inf
        shown = [self._shown(plan, one) for one in (there, deleted_at)]
        kept.append(Kept(len(kept), sent, shown[0], deleted_at, shown[1]))

    def kept(self, sent: Sent) -> Kept | None:
        """Return the link of a request, or None."""
        return next((one for one in self._kept.get(sent.target[0], ()) if one.sent is sent), None)

    def entries(
        self, integration_id: str, target_type: str, target_id: str, now: float
    ) -> list[Entry]:
        """Return the entries of a candidate with all applications, or of one application alone."""
        plan = self.plans[integration_id]
        if not plan.is_tracked(target_type, target_id):
            return []
        found = [
            Entry(one.number * 2, _text(plan, one.sent.url))
            for one in self._kept.get(integration_id, ())
            if one.seen_from <= now < one.seen_until
            and one.sent.target[1] != plan.hides
            and _is_on(plan, one.sent, target_type, target_id)
        ]
        return [*self._others(plan, target_type, target_id), *found]

    def _others(self, plan: PlannedAts, target_type: str, target_id: str) -> Iterator[Entry]:
        """Yield entries of others, and other forms of addresses."""
        has_others = plan.is_among(0.5, "others", target_id)
        for number in (_FIRST, _LAST) if has_others else ():
            yield Entry(number, "Called: is interested, see https://elsewhere.example/list?x=1")
        for place, one in enumerate(self._sent if plan.similar else ()):
            if (
                plan.is_among(plan.similar, "similar", one.result_id)
                and one.target[0] == plan.integration_id
                and _is_on(plan, one, target_type, target_id)
            ):
                yield Entry(place * 2 + 1, f"Copied {one.url}{place % 7}")

    def _shown(self, plan: PlannedAts, moment: float) -> float:
        """Return the first time of a read with a change of the ATS."""
        if plan.kept_as is not KeptAs.NOTES or moment == math.inf:
            return moment
        return EVENING + plan.synced_since(moment - EVENING)


def _is_on(plan: PlannedAts, sent: Sent, target_type: str, target_id: str) -> bool:
    if target_type == "application":
        return sent.target[1:] == (target_type, target_id)
    return plan.candidate_of(*sent.target[1:]) == target_id


def _text(plan: PlannedAts, url: str) -> str:
    """Return the text shown by an ATS for an address."""
    if plan.written_as == "percent":
        return f"Coding: https://ats.example/redirect?to={quote(url, safe='')}"
    if plan.written_as == "plain":
        return f"Coding: {url}"
    text = f'<p><a href="{html.escape(url)}">Coding</a></p>'
    return html.escape(text) if plan.written_as == "html twice" else text
