"""Command of `make docs`: build the site without the network, and check it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tools.docs_site.check import faults

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
_LINKED: Final = ("LICENSE", "include", "docs")
"""What pages link to, beside other pages."""


def main(target: Path) -> int:
    """Build the site, and return 1 if it has a warning, a broken link or a foreign address."""
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "source"
        _stage(source)
        if failed := _build(source, target, Path(place)):
            return failed
    # A server's start page, and pictures that the pages name in HTML.
    shutil.copy(target / "README.html", target / "index.html")
    shutil.copytree(ROOT / "docs" / "img", target / "docs" / "img")
    found = list(faults(target.resolve()))
    sys.stdout.writelines(f"{one}\n" for one in found)
    sys.stdout.write(f"{target}/index.html: {sum(1 for _ in target.rglob('*.html'))} pages\n")
    return int(bool(found))


def _stage(source: Path) -> None:
    """Copy what the site is made of, where the links between its files stay as they are."""
    for name in _LINKED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(ROOT / name, source / name)
    for path in ROOT.glob("*.md"):
        shutil.copy(path, source)
    shutil.copytree(HERE / "api", source / "api")


def _build(source: Path, target: Path, place: Path) -> int:
    """Run Sphinx, where each warning is a failure, and return its exit status."""
    options = ["-W", "--keep-going", "--quiet", "-b", "html", "-c", str(HERE)]
    environment = os.environ | {"AIRFLOW_HOME": str(place / "airflow")}
    command = [sys.executable, "-m", "sphinx", *options, "-d", str(place / "doctrees")]
    return subprocess.run(  # noqa: S603 - ours
        [*command, str(source), str(target)], env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
