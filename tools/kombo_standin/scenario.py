"""What the stand-in is told: its limits, how long its answers take, and when to fail."""

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


class _Told(BaseModel):
    """A misspelled key in a scenario is an error, not a rule that never fires."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Told):
    """Kombo's two limits.

    Args:
        concurrency: Actions in flight per integration; 30 in Kombo's documentation.
        concurrency_by_integration: Other numbers for single integrations.
        rate: Requests per window. The default never stops anyone; Kombo's sample headers say 300.
        window: Length of the fixed window, in seconds.
        rate_scope: What shares a window; Kombo does not say, so both can be tried.
        retry_after: Whether a rate limit's 429 carries ``Retry-After``; Kombo documents none.

    """

    concurrency: PositiveInt = 30
    concurrency_by_integration: dict[str, PositiveInt] = {}
    rate: PositiveInt = 1_000_000
    window: PositiveFloat = 60
    rate_scope: Literal["key", "integration"] = "key"
    retry_after: bool = False

    def slots(self, integration_id: str) -> int:
        """How many actions of an integration may be in flight."""
        return self.concurrency_by_integration.get(integration_id, self.concurrency)


class Latency(_Told):
    """How long an ATS takes: shortest and longest, in seconds, with and without a known tool."""

    default: tuple[Seconds, Seconds] = (0, 0)
    by_integration: dict[str, tuple[Seconds, Seconds]] = {}

    def draw(self, integration_id: str) -> float:
        """Pick one duration in seconds; 0 costs nothing."""
        shortest, longest = self.by_integration.get(integration_id, self.default)
        return random.uniform(shortest, longest) if longest else 0  # noqa: S311 - no secret


class Rule(_Told):
    """When to do something else than to make the link and say so.

    Args:
        integration_id: Fires for this integration only; as with the next four, None is any.
        target_type: ``candidate``, ``application`` or ``order``.
        target_id: Kombo's id of the record, percent-decoded.
        url: The link's exact URL, or that of an order's result.
        label: The link's exact label; an order's result has none.
        times: How often it fires before it is used up; None is always.
        delay: Seconds to wait before the outcome, on top of the integration's latency.
        effect: ``created``: the link is made, then the outcome follows; ``none``: it is not made.
            If left out, it is made by a success only.
        outcome: How the request ends.

    """

    integration_id: str | None = None
    target_type: TargetType | None = None
    target_id: str | None = None
    url: str | None = None
    label: str | None = None
    times: PositiveInt | None = None
    delay: Seconds = 0
    effect: Literal["none", "created"] | None = None
    outcome: AnyOutcome = Success()

    def matches(self, made: Link | OrderResult) -> bool:
        """Whether the rule speaks of this link, or of this order's result."""
        wanted = Link._fields
        return all(getattr(self, name) in (None, getattr(made, name, None)) for name in wanted)

    @property
    def creates(self) -> bool:
        """Whether the link is made, whatever the client gets to hear."""
        if self.effect is None:
            return isinstance(self.outcome, Success)
        return self.effect == "created"


ORDINARY = Rule()


class RuleBook:
    """The rules in force; the first one that matches and is not used up wins."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules: list[Rule] = []
        self._left: list[float] = []
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> None:
        """Put a rule behind those in force."""
        self._rules.append(rule)
        self._left.append(math.inf if rule.times is None else rule.times)

    def fire(self, made: Link | OrderResult) -> Rule:
        """Find the rule for what is to be written, and use it up by one; else all goes well."""
        for index, rule in enumerate(self._rules):
            if self._left[index] and rule.matches(made):
                self._left[index] -= 1
                return rule
        return ORDINARY


class Scenario(_Told):
    """A stand-in's whole behaviour, as a YAML file holds it."""

    limits: Limits = Limits()
    latency: Latency = Latency()
    rules: list[Rule] = []

    @classmethod
    def load(cls, path: Path) -> "Scenario":
        """Read a scenario; an empty file is the default one."""
        return cls.model_validate(yaml.safe_load(path.read_text("utf-8")) or {})
