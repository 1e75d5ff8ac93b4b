"""Comparison of two commits by CPU time per row: same days, same server, alternating runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from rich.table import Table

from tools.bench import sides, stage
from tools.bench.machine import facts
from tools.bench.orders import Behaviour, Orders
from tools.bench.report import Report
from tools.bench.sides import COMMIT, TREE, Deliverer, Side
from tools.bench.stage import Run, Stage
from tools.bench.warehouse import DAY, EMPTY_DAY

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)

_TOLERANCE: Final = 0.03
_CONFIDENCE: Final = 0.95
ENOUGH: Final = 6
"""The least number of rounds for a 95 % confidence interval."""
_SOURCE: Final = "source"
_AT_ONCE: Final = Orders()
_COLUMNS: Final = ("scenario", "rows", "CPU ms/row", "ratio", "verdict", "DB CPU", "time")
_EXPLAINED: Final = (
    "CPU ms/row: CPU time of the delivery's process: commit → working tree.",
    "ratio, DB CPU, time: working tree ÷ commit, the median of all rounds.",
    f"±: half of the ratio's 95 % confidence interval; of its range below {ENOUGH} rounds.",
)


@dataclass(frozen=True)
class Scenario:
    """A day for both sides.

    :param rows: Rows of a real comparison.
    :param small: Rows of a comparison that only checks the bench.
    :param integrations: The number of integrations.
    :param delivered: Deliver the day before, so that no row is left to send.
    """

    rows: int
    small: int
    integrations: int
    orders: Orders = _AT_ONCE
    delivered: bool = False


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "at_once": Scenario(10_000, 200, 10),
    "latency": Scenario(2_500, 100, 5, Orders(default=Behaviour(latency=(0.1, 0.3)))),
    "again": Scenario(50_000, 200, 10, delivered=True),
}


@dataclass(frozen=True)
class Round:
    """One run of each side, directly after each other.

    :param first: The side of the first run.
    """

    first: str
    commit: Run
    tree: Run


@dataclass(frozen=True)
class Ratio:
    """Median of the rounds' ratios: the working tree's figure divided by the commit's.

    :param spread: Half of the median's confidence interval, as a share. With too few rounds for an
        interval: half of the range.
    """

    value: float
    spread: float
    rounds: int

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Ratio:
        """Build the ratio of all rounds."""
        least, most = interval(ratios)
        return cls(median(ratios), (most - least) / 2, len(ratios))

    @property
    def verdict(self) -> str:
        """Return "slower", "faster", or the reason for neither."""
        if self.rounds < ENOUGH:
            return "too few rounds"
        if abs(self.value - 1) > max(_TOLERANCE, self.spread):
            return "slower" if self.value > 1 else "faster"
        return "within 3 %" if self.spread <= _TOLERANCE else "within the spread"

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.spread:.1%}"


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the median's 95 % confidence interval, without an assumption on the distribution.

    The interval leaves out as many of the smallest and of the greatest ratios as the confidence
    allows: none of up to 8 rounds. With fewer than `ENOUGH` rounds, even the whole range has less
    confidence.
    """
    ordered, out, rounds = sorted(ratios), 0, len(ratios)
    while 2 * sum(comb(rounds, few) for few in range(out + 2)) <= (1 - _CONFIDENCE) * 2**rounds:
        out += 1
    return ordered[out], ordered[-1 - out]


@dataclass(frozen=True)
class Compared:
    """Rounds of one scenario."""

    name: str
    rows: int
    rounds: Sequence[Round]

    @property
    def cpu(self) -> Ratio:
        """Return the deciding ratio: CPU time of the delivery's process."""
        return Ratio.of([one.tree.cpu / one.commit.cpu for one in self.rounds])

    def cells(self) -> tuple[str, ...]:
        """Return the scenario's row of the table."""
        before, after = (
            1000 * median(getattr(one, side).cpu for one in self.rounds) / self.rows
            for side in (COMMIT, TREE)
        )
        return (
            self.name,
            f"{self.rows:,}",
            f"{before:.3g} → {after:.3g}",
            str(self.cpu),
            self.cpu.verdict,
            *(self._median(figure) for figure in ("postgres_cpu", "seconds")),
        )

    def _median(self, figure: str) -> str:
        pairs = [(getattr(one.tree, figure), getattr(one.commit, figure)) for one in self.rounds]
        if not all(before for _, before in pairs):  # a time below the clock's resolution
            return "-"
        return f"{median(after / before for after, before in pairs):.3f}"


@dataclass(frozen=True)
class Comparison:
    """Results of all scenarios, with the facts of the machine."""

    facts: Mapping[str, str]
    compared: Sequence[Compared]

    def show(self, console: Console) -> None:
        """Print the table and the notes for the reader."""
        table = Table(*_COLUMNS, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for one in self.compared:
            table.add_row(*one.cells())
        console.print(table)
        for line in (*_EXPLAINED, *(f"{name}: {value}" for name, value in self._facts().items())):
            console.print(line, highlight=False, soft_wrap=True)

    def save(self, path: Path) -> None:
        """Write all results as JSON, with each run."""
        kept = {
            "facts": self._facts(),
            "scenarios": {
                one.name: {
                    "rows": one.rows,
                    "cpu_ratio": asdict(one.cpu),
                    "verdict": one.cpu.verdict,
                    "rounds": [asdict(round_) for round_ in one.rounds],
                }
                for one in self.compared
            },
        }
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

    def _facts(self) -> dict[str, str]:
        runs = {
            one.name: [run for round_ in one.rounds for run in (round_.commit, round_.tree)]
            for one in self.compared
        }
        report = Report(self.facts, [], runs)
        return {
            **self.facts,
            "other programs used": report.busy,
            "stood still": report.stood_still,
        }


class Turns:
    """Alternating runs of both sides on one stage."""

    def __init__(self, stage_: Stage, deliverers: Sequence[Deliverer]) -> None:
        self._stage = stage_
        self._deliverers = deliverers

    def compare(self, name: str, rows: int, rounds: int) -> Compared:
        """Run a scenario: one uncounted run of each side, then the rounds.

        :raises BenchError: if a run did something else than the scenario asks for.
        """
        scenario = SCENARIOS[name]
        self._stage.warehouse.make(_SOURCE, rows, scenario.integrations)
        for deliverer in self._deliverers:
            self._prepare(deliverer, scenario, rows)
            self._run(deliverer, scenario, rows)
        done: list[Round] = []
        for number in range(rounds):
            order = self._deliverers if number % 2 == 0 else self._deliverers[::-1]
            runs = {one.side.name: self._run(one, scenario, rows) for one in order}
            done.append(Round(order[0].side.name, runs[COMMIT], runs[TREE]))
            ratio = runs[TREE].cpu / runs[COMMIT].cpu
            log.info("%s, round %d of %d: CPU ratio %.3f", name, number + 1, rounds, ratio)
        return Compared(name, rows, done)

    def _prepare(self, deliverer: Deliverer, scenario: Scenario, rows: int) -> None:
        """Build the side's database, the start of each of the side's runs."""
        warehouse, database = self._stage.warehouse, deliverer.side.name
        warehouse.copy(_SOURCE, database)
        self._stage.observe(database, Orders(), 0, lambda: deliverer.deliver(EMPTY_DAY))
        if scenario.delivered:
            self._stage.observe(database, Orders(), rows, lambda: deliverer.deliver(DAY))
            warehouse.vacuum(database)
        warehouse.copy(database, _first_state(database))

    def _run(self, deliverer: Deliverer, scenario: Scenario, rows: int) -> Run:
        database = deliverer.side.name
        self._stage.warehouse.copy(_first_state(database), database)
        to_send = 0 if scenario.delivered else rows
        return self._stage.observe(
            database, scenario.orders, to_send, lambda: deliverer.deliver(DAY)
        )


def _first_state(database: str) -> str:
    return f"{database}_at_first"


def compared(
    commit: str, names: Sequence[str], *, rounds: int, small: bool, command: str
) -> Comparison:
    """Compare the working tree with a commit.

    :param commit: Any name of the commit for git.
    :param names: Names of scenarios.
    :param rounds: The number of rounds.
    :param small: Use too few rows for a meaningful figure.
    :param command: The command line, for the report.
    :raises BenchError: if the commit is unknown, or a run failed.
    """
    with sides.both(commit) as (before, after), stage.running() as stage_:
        log.info("Comparing the %s with the %s", after.words, before.words)
        words = {"compared": f"the {after.words} with the {before.words}", "command": command}
        with _delivering(stage_, before, after) as turns:
            found = [turns.compare(name, _rows(name, small=small), rounds) for name in names]
        return Comparison({**facts(stage_.warehouse), **words}, found)


def _rows(name: str, *, small: bool) -> int:
    return SCENARIOS[name].small if small else SCENARIOS[name].rows


@contextmanager
def _delivering(stage_: Stage, *of: Side) -> Iterator[Turns]:
    with ExitStack() as stack:
        deliverers = [
            stack.enter_context(sides.delivering(side, stage_.connections(side.name)))
            for side in of
        ]
        yield Turns(stage_, deliverers)
