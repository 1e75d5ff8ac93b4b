"""Measurement: clients run on one stage, and all results are kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from tools.bench.counts import Counts
from tools.bench.orders import Orders
from tools.bench.process import Took
from tools.bench.stage import Run, Stage
from tools.bench.warehouse import DAY, EMPTY_DAY

log = logging.getLogger(__name__)

AT_ONCE: Final = Orders()
"""A server without latency and rate limit, with 30 calls in flight per integration."""


@dataclass(frozen=True)
class Scale:
    """Size of a measurement: full, or just enough to check the bench itself.

    :param small: Use too few rows for a meaningful figure.
    :param million: Also measure a day of a million rows, which takes many minutes.
    """

    small: bool = False
    million: bool = False

    def rows(self, full: int, small: int) -> int:
        """Return the number of rows for this size."""
        return small if self.small else full


class Bench:
    """Runs on one stage; `runs` has all of them until now, by scenario."""

    def __init__(self, stage: Stage, scale: Scale) -> None:
        self.stage = stage
        self.scale = scale
        self.runs: dict[str, list[Run]] = {}
        self._scenario = ""

    def begin(self, scenario: str) -> None:
        """Keep the following runs under a scenario's name."""
        self._scenario = scenario

    def run(
        self,
        client: str,
        orders: Orders = AT_ONCE,
        *,
        rows: int | None,
        day: date = DAY,
        enough: Callable[[Counts], bool] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Run a client over a day, and keep the result; the parameters are `Stage.run`'s."""
        return self._keep(
            self.stage.run(
                client, orders, day=day, rows=rows, enough=enough, environment=environment
            )
        )

    def observe(
        self, client: str, orders: Orders, *, rows: int, deliver: Callable[[], Took]
    ) -> Run:
        """Observe a delivery, and keep the result; the parameters are `Stage.observe`'s."""
        return self._keep(self.stage.observe(client, orders, rows, deliver))

    def _keep(self, run: Run) -> Run:
        self.runs.setdefault(self._scenario, []).append(run)
        log.info(
            "%s: %s, %d rows in %.1f s; others used %.0f %%, the machine stood still for %.1f s",
            self._scenario,
            run.client,
            run.rows,
            run.seconds,
            100 * run.busy,
            run.stood_still,
        )
        return run

    def run_empty(self) -> Run:
        """Deliver a day without rows, and keep the result."""
        return self.run("ours", rows=0, day=EMPTY_DAY)
