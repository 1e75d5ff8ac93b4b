"""Command of `make bom`: a bill of materials of what is shipped, as CycloneDX has it.

cyclonedx-py describes a whole environment. The tools of tests are left out here: what remains is in
the locks of the dag and of its image.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[2]
LOCKS: Final = (ROOT / "requirements.txt", ROOT / "docker" / "requirements.txt")
WRITER: Final = ROOT / ".tools" / "audit" / "bin" / "cyclonedx-py"


def locked(locks: Iterable[Path]) -> dict[str, str]:
    """Map each package of the locks, for this Python, to its version."""
    found = (one for lock in locks for one in _requirements(lock.read_text(encoding="utf-8")))
    fitting = (one for one in found if one.marker is None or one.marker.evaluate())
    return {canonicalize_name(one.name): str(one.specifier)[2:] for one in fitting}


def _requirements(text: str) -> Iterator[Requirement]:
    for line in text.splitlines():
        if re.match(r"\w", line):
            yield Requirement(line.removesuffix("\\"))


def prune(bom: dict[str, Any], kept: dict[str, str]) -> list[str]:
    """Leave in a bill of materials the locked packages, and return those that differ."""
    root = bom["metadata"]["component"]["bom-ref"]
    bom["components"] = [c for c in bom["components"] if canonicalize_name(c["name"]) in kept]
    refs = {root, *(one["bom-ref"] for one in bom["components"])}
    bom["dependencies"] = [
        {"ref": one["ref"], "dependsOn": [ref for ref in one.get("dependsOn", ()) if ref in refs]}
        for one in bom["dependencies"]
        if one["ref"] in refs
    ]
    installed = {str(canonicalize_name(one["name"])): one["version"] for one in bom["components"]}
    return sorted(name for name, version in kept.items() if installed.get(name) != version)


def main(target: Path) -> None:
    """Write the bill of materials of this environment.

    :raises SystemExit: if the environment is not what the locks say.
    """
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"]
    command = [str(WRITER), "environment", *options, "--of", "JSON", "--no-validate"]
    done = subprocess.run(  # noqa: S603 - ours
        [*command, sys.executable], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    bom = json.loads(done.stdout)
    kept = locked(LOCKS)
    if different := prune(bom, kept):
        sys.exit(f"Not installed as locked: {', '.join(different)}. Run make check first.")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(bom, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{target}: {len(kept)} packages\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
