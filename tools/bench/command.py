"""Command of the bench: measure, print and save the figures, and write them into the docs."""

from __future__ import annotations

import logging
import signal
import sys
from argparse import ArgumentParser, Namespace
from typing import Final

from rich.console import Console

from tools.bench import process, stage
from tools.bench.compare import SCENARIOS as COMPARED
from tools.bench.compare import compared
from tools.bench.elsewhere import elsewhere, require_duckdb
from tools.bench.machine import facts
from tools.bench.measurement import Bench, Scale
from tools.bench.process import FOLDER, ROOT
from tools.bench.report import Report
from tools.bench.scenarios import SCENARIOS, measure
from tools.bench.stage import BenchError

_PAGE = ROOT / "docs" / "performance.md"
_ROUNDS: Final = 12
_LEAST_ROUNDS: Final = 2
"""A single round has no spread."""


def main() -> None:
    """Measure the named scenarios, or compare two commits in them."""
    options = _options()
    # Whatever signal ends the bench: started processes are stopped first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("tools.bench").setLevel(logging.INFO)
    try:
        if options.compare is None:
            _measure(options)
        else:
            _compare(options)
    except BenchError as error:
        sys.exit(f"There is no figure: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped: nothing was written.")


def _options() -> Namespace:
    parser = ArgumentParser(prog="make bench", description="Measure deliveries on real parts.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--small", action="store_true", help="only to see that it runs")
    size.add_argument("--million", action="store_true", help="with a day of a million rows")
    parser.add_argument("--compare", metavar="COMMIT", help="with it, in: " + ", ".join(COMPARED))
    parser.add_argument("--rounds", type=int, help="of a comparison: 12 by default, 2 at least")
    options = parser.parse_args()
    known = SCENARIOS if options.compare is None else COMPARED
    if unknown := set(options.scenarios) - set(known):
        parser.error(f"there is no scenario {min(unknown)}; those are {', '.join(known)}")
    if options.compare is not None and options.million:
        parser.error("a comparison has no day of a million rows")
    if options.rounds is not None and (options.compare is None or options.rounds < _LEAST_ROUNDS):
        parser.error(f"rounds are those of a comparison, and {_LEAST_ROUNDS} at least")
    return options


def _measure(options: Namespace) -> None:
    scale = Scale(options.small, options.million)
    report = measured(options.scenarios or list(SCENARIOS), scale)
    report.save(FOLDER / ("small.json" if options.small else "results.json"))
    report.show(Console())
    if not options.small and not options.scenarios:
        report.write_into(_PAGE)


def _compare(options: Namespace) -> None:
    found = compared(
        options.compare,
        options.scenarios or list(COMPARED),
        rounds=options.rounds or (_LEAST_ROUNDS if options.small else _ROUNDS),
        small=options.small,
        command=_command(),
    )
    found.save(FOLDER / "compare.json")
    found.show(Console())


def measured(scenarios: list[str], scale: Scale) -> Report:
    """Run scenarios, and return the report."""
    if elsewhere.__name__ in scenarios:  # no other scenario needs it, so no other one ends
        require_duckdb()
    process.prepare()
    with stage.running() as stage_:
        known = {**facts(stage_.warehouse), "command": _command()}
        bench = Bench(stage_, scale)
        findings = [finding for name in scenarios for finding in measure(bench, name)]
    return Report(known, findings, bench.runs)


def _command() -> str:
    return " ".join(["python -m tools.bench", *sys.argv[1:]])
