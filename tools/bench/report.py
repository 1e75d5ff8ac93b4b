"""Report of the figures: on the terminal, as JSON, and in docs/performance.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from rich.table import Table

from tools.bench.stage import Run
from tools.bench.targets import Finding

if TYPE_CHECKING:
    from rich.console import Console

BEGIN: Final = "<!-- what `make bench` writes begins here -->"
END: Final = "<!-- and ends here -->"
_COLUMNS: Final = ("what", "measured", "target", "met", "rows", "others used")


@dataclass(frozen=True)
class Report:
    """Results of one run of the bench.

    :param facts: The machine, the versions and the command, by name.
    :param findings: The figures with their targets.
    :param runs: All runs, by scenario.
    """

    facts: Mapping[str, str]
    findings: Sequence[Finding]
    runs: Mapping[str, Sequence[Run]]

    @property
    def busy(self) -> str:
        """Return a sentence about the machine's use by other programs."""
        shares = [run.busy for run in self._all_runs]
        return f"{median(shares):.0%} of the machine in the median run, at most {max(shares):.0%}"

    @property
    def stood_still(self) -> str:
        """Return the longest time in which the machine did nothing, in seconds."""
        return f"{max(run.stood_still for run in self._all_runs):.1f} s at most"

    @property
    def _all_runs(self) -> list[Run]:
        return [run for runs in self.runs.values() for run in runs]

    def show(self, console: Console) -> None:
        """Print the findings as a table."""
        table = Table(*_COLUMNS)
        for finding in self.findings:
            table.add_row(*_cells(finding))
        console.print(table)
        for name, value in self._all_facts().items():
            console.print(f"{name}: {value}", highlight=False)

    def save(self, path: Path) -> None:
        """Write all results as JSON, with each run and the server's counts."""
        kept = {
            "facts": self._all_facts(),
            "findings": [asdict(finding) for finding in self.findings],
            "runs": {name: [asdict(run) for run in runs] for name, runs in self.runs.items()},
        }
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

    def write_into(self, page: Path) -> None:
        """Replace the text between the two markers of a page.

        :raises ValueError: if the page has not both markers exactly once.
        """
        before, begin, rest = page.read_text("utf-8").partition(BEGIN)
        old, end, after = rest.partition(END)
        if not (begin and end) or BEGIN in old + after or END in before + after:
            raise ValueError(f"{page} must have the lines {BEGIN!r} and {END!r}, once each.")
        page.write_text("\n".join([before + begin, self._markdown(), end + after]), "utf-8")

    def _markdown(self) -> str:
        rows = [_COLUMNS, ["---"] * len(_COLUMNS), *map(_cells, self.findings)]
        table = ["| " + " | ".join(row) + " |" for row in rows]
        facts = [f"- {name}: {value}" for name, value in self._all_facts().items()]
        return "\n".join(["", *table, "", *facts, ""])

    def _all_facts(self) -> dict[str, str]:
        if not self._all_runs:  # no scenario with a delivery was run
            return dict(self.facts)
        return {**self.facts, "other programs used": self.busy, "stood still": self.stood_still}


def _cells(finding: Finding) -> tuple[str, ...]:
    met = "yes" if finding.met else "no"
    return (
        finding.what,
        finding.measured,
        finding.target,
        met,
        f"{finding.n:,}",
        finding.others or "-",
    )
