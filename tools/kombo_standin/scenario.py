"""Scenario of the stand-in: limits, latencies, rules for failures, and customers' ATSs."""

import hashlib
import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from tools.kombo_standin.outcomes import AnyOutcome, Success
from tools.kombo_standin.wire import Link, OrderResult, TargetType

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
KeptAs = Literal["notes", "documents", "activities"]


class _Strict(BaseModel):
    """Base of all models: a misspelled key is an error, not a rule without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Strict):
    """Kombo's two limits.

    :param concurrency: Actions in flight per integration; 30 in Kombo's documentation.
    :param concurrency_by_integration: Other limits for single integrations.
    :param rate: Requests per window. The default stops nobody; Kombo's sample headers have 300.
    :param window: The length of the fixed window, in seconds.
    :param rate_scope: The scope of a window. Kombo documents none, so both can be tested.
    :param retry_after: Send ``Retry-After`` with a rate limit's 429; Kombo documents none.
    """

    concurrency: PositiveInt = 30
    concurrency_by_integration: dict[str, PositiveInt] = {}
    rate: PositiveInt = 1_000_000
    window: PositiveFloat = 60
    rate_scope: Literal["key", "integration"] = "key"
    retry_after: bool = False

    def slots(self, integration_id: str) -> int:
        """Return the integration's limit of actions in flight."""
        return self.concurrency_by_integration.get(integration_id, self.concurrency)


class Latency(_Strict):
    """Duration of an ATS's call: shortest and longest seconds, with and without a known tool."""

    default: tuple[Seconds, Seconds] = (0, 0)
    by_integration: dict[str, tuple[Seconds, Seconds]] = {}

    def draw(self, integration_id: str) -> float:
        """Draw one duration, in seconds; 0 means no wait."""
        shortest, longest = self.by_integration.get(integration_id, self.default)
        return random.uniform(shortest, longest) if longest else 0  # noqa: S311 - no secret


class Match(_Strict):
    """Description of writes; None matches all.

    :param integration_id: The integration.
    :param target_type: ``candidate``, ``application`` or ``order``.
    :param target_id: Kombo's id of the record, percent-decoded.
    :param url: The exact URL of the link or of the order's result.
    :param label: The exact label of the link; an order's result has none.
    """

    integration_id: str | None = None
    target_type: TargetType | None = None
    target_id: str | None = None
    url: str | None = None
    label: str | None = None

    def matches(self, made: Link | OrderResult) -> bool:
        """Return whether the description fits this link or order's result."""
        wanted = Link._fields
        return all(getattr(self, name) in (None, getattr(made, name, None)) for name in wanted)


class Rule(Match):
    """Rule for another outcome than a success, for the matching writes.

    :param times: The number of requests for this rule; None: no limit.
    :param delay: Seconds before the outcome, in addition to the integration's latency.
    :param effect: ``created``: write the link before the outcome; ``none``: do not write the link.
        None: a success writes the link, other outcomes do not.
    :param outcome: The end of the request.
    """

    times: PositiveInt | None = None
    delay: Seconds = 0
    effect: Literal["none", "created"] | None = None
    outcome: AnyOutcome = Success()

    @property
    def creates(self) -> bool:
        """Return whether the link is written, whatever response the client gets."""
        if self.effect is None:
            return isinstance(self.outcome, Success)
        return self.effect == "created"


ORDINARY = Rule()


class RuleBook:
    """Rules in their order; the first matching and unused one wins."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules: list[Rule] = []
        self._left: list[float] = []
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> None:
        """Add a rule behind the existing ones."""
        self._rules.append(rule)
        self._left.append(math.inf if rule.times is None else rule.times)

    def fire(self, made: Link | OrderResult) -> Rule:
        """Return the rule for a write and count the use, or a rule for success."""
        for index, rule in enumerate(self._rules):
            if self._left[index] and rule.matches(made):
                self._left[index] -= 1
                return rule
        return ORDINARY


class Flavour(_Strict):
    """Behaviour of one ATS, and of Kombo's reads from this ATS.

    :param kept_as: The place of links: ``notes`` are synced by Kombo, ``documents`` are
        attachments, and ``activities`` are in the ATS's own API. The other reads find no link.
    :param filed_under: The record that has an application's link: the application or its candidate.
    :param appears_after: Shortest and longest seconds until the ATS shows a created link.
    :param written_as: The URL in the text: unchanged (``plain``), escaped in an ``<a href>``
        (``html``), or percent-encoded in the URL of a redirect (``percent``).
    :param sync_seconds: Seconds between two syncs of notes; 0: notes are always up to date;
        None: only the control endpoint orders a sync.
    :param per_page: The largest page of the ATS's own API, in entries.
    :param failing_reads: The share of reads that fail, with each failure equally likely.
    :param may_read: Whether the integration may read notes, attachments and the ATS's own API.
    :param untracked: The share of records that Kombo does not track; each id is tracked or not
        for good.
    """

    kept_as: KeptAs = "notes"
    filed_under: Literal["application", "candidate"] = "application"
    appears_after: tuple[Seconds, Seconds] = (0, 0)
    written_as: Literal["plain", "html", "percent"] = "plain"
    sync_seconds: Seconds | None = 0
    per_page: PositiveInt = 100
    failing_reads: Share = 0
    may_read: bool = True
    untracked: Share = 0


class Flavours(_Strict):
    """Customers' ATSs: their flavours and their records.

    :param default: The flavour of tools that are not in ``by_tool``.
    :param by_tool: Flavours by tool, which is the integration's id before the colon.
    :param candidates: Candidates by application; others have ``candidate-of-<application>``.
    :param untracked_ids: Ids of applications and candidates that Kombo does not track.
    :param seed: The seed of failures and of ``appears_after``; None: other ones each time.
    """

    default: Flavour = Flavour()
    by_tool: dict[str, Flavour] = {}
    candidates: dict[str, str] = {}
    untracked_ids: frozenset[str] = frozenset()
    seed: int | None = None

    def of(self, integration_id: str) -> Flavour:
        """Return the flavour of an integration's ATS."""
        return self.by_tool.get(integration_id.partition(":")[0], self.default)

    def is_tracked(self, integration_id: str, record_id: str) -> bool:
        """Return whether Kombo's reads have an application or a candidate."""
        if record_id in self.untracked_ids:
            return False
        digest = hashlib.sha256(record_id.encode()).digest()
        return int.from_bytes(digest[:4], "big") / 2**32 >= self.of(integration_id).untracked


class Scenario(_Strict):
    """Behaviour of a stand-in, as a YAML file has it."""

    limits: Limits = Limits()
    latency: Latency = Latency()
    rules: list[Rule] = []
    ats: Flavours = Flavours()

    @classmethod
    def load(cls, path: Path) -> "Scenario":
        """Read a scenario; an empty file is the default scenario."""
        return cls.model_validate(yaml.safe_load(path.read_text("utf-8")) or {})
