"""Command of `make audit`: known vulnerabilities of the shipped locks, by pip-audit.

pip-audit alone exits with 0 and "No known vulnerabilities found" when its source knows none of the
packages. This command names what was not checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ACCEPTED: Final = Path(__file__).with_name("accepted.conf")
_SOURCES: Final = ("pypi", "osv")
"""Sources of data, as pip-audit names them; the second is asked where the first has nothing."""
_SECONDS: Final = 60
NOTHING: Final = "Nothing was checked: the data of vulnerabilities cannot be had here."


@dataclass(frozen=True)
class Findings:
    """The result of a source.

    :param checked: Number of packages that the source knows.
    :param unchecked: Packages that it does not know.
    :param vulnerabilities: A line for each vulnerability.
    """

    checked: int
    unchecked: list[str]
    vulnerabilities: list[str]


def findings_of(report: dict[str, Any]) -> Findings:
    """Read the JSON report of pip-audit."""
    found = report["dependencies"]
    return Findings(
        sum("skip_reason" not in one for one in found),
        [one["name"] for one in found if "skip_reason" in one],
        [_line(one, each) for one in found for each in one.get("vulns", ())],
    )


def _line(package: dict[str, Any], found: dict[str, Any]) -> str:
    fixed = ", ".join(found["fix_versions"]) or "no version yet"
    names = ", ".join([found["id"], *found.get("aliases", ())])
    return f"{package['name']} {package['version']}: {names}; fixed in {fixed}"


def accepted(path: Path = ACCEPTED) -> list[str]:
    """Return the ids that are left out."""
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line]


def ask(
    source: str, locks: Iterable[str], options: Sequence[str] = (), python: str = sys.executable
) -> Findings | None:
    """Run pip-audit, and return its findings, or None if the source cannot be reached."""
    command = [python, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    command += ["--require-hashes", "--disable-pip", "--vulnerability-service", source, *options]
    command += [word for one in locks for word in ("--requirement", one)]
    command += [word for one in accepted() for word in ("--ignore-vuln", one)]
    try:
        done = subprocess.run(  # noqa: S603 - ours
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        return findings_of(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None


def report(found: Findings | None) -> Iterator[str]:
    """Yield the lines that a person reads, those to act on last."""
    if found is None or not found.checked:
        yield NOTHING
        return
    if found.unchecked:
        yield f"Not checked, because the source does not know them: {', '.join(found.unchecked)}"
    yield f"{found.checked} packages checked, {len(found.vulnerabilities)} vulnerabilities found."
    yield from found.vulnerabilities
    if found.vulnerabilities:
        yield f"Run make lock with a fixed version, or add the id to {ACCEPTED.name} with a reason."


def main(locks: Sequence[str]) -> int:
    """Check the locks, and return 1 if a vulnerability is known."""
    asked = (ask(source, locks) for source in _SOURCES)
    found = next((one for one in asked if one and one.checked), None)
    sys.stdout.writelines(f"{line}\n" for line in report(found))
    return int(bool(found and found.vulnerabilities))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
