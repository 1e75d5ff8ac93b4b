"""The command: measure, show the figures, keep them, and write them into the docs."""

from __future__ import annotations

import logging
import signal
import sys
from argparse import ArgumentParser

from rich.console import Console

from bench import stage
from bench.machine import facts
from bench.process import FOLDER, ROOT
from bench.report import Report
from bench.scenarios import SCENARIOS, Bench, Scale
from bench.stage import BenchError

_PAGE = ROOT / "docs" / "performance.md"


def main() -> None:
    """Run the scenarios that are asked for."""
    parser = ArgumentParser(prog="make bench", description="Measure deliveries on real parts.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--small", action="store_true", help="only to see that it runs")
    size.add_argument("--million", action="store_true", help="with a day of a million rows")
    options = parser.parse_args()
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"there is no scenario {min(unknown)}; those are {', '.join(SCENARIOS)}")
    # Whoever ends us, what we started is stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("bench").setLevel(logging.INFO)
    scale = Scale(options.small, options.million)
    try:
        report = measured(options.scenarios or list(SCENARIOS), scale)
    except BenchError as error:
        sys.exit(f"There is no figure: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped: nothing was written.")
    report.save(FOLDER / ("small.json" if options.small else "results.json"))
    report.show(Console())
    if not options.small and not options.scenarios:
        report.write_into(_PAGE)


def measured(scenarios: list[str], scale: Scale) -> Report:
    """Run scenarios, and give what they found."""
    command = " ".join(["python -m bench", *sys.argv[1:]])
    with stage.running() as stage_:
        told = {**facts(stage_.warehouse), "command": command}
        bench = Bench(stage_, scale)
        findings = [finding for name in scenarios for finding in bench.measure(name)]
    return Report(told, findings, bench.runs)
