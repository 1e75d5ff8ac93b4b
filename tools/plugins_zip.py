"""Write dist/plugins.zip for MWAA, with the ignore files: `python -m tools.plugins_zip`."""

from __future__ import annotations

import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the archive, and name it."""
    archive = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "plugins.zip"
    archive.parent.mkdir(parents=True, exist_ok=True)
    write(archive)
    sys.stdout.write(f"{archive}\n")


def write(archive: Path) -> None:
    """Write the content of plugins/ without bytecode.

    A shell's `*` leaves out `.airflowignore`. Without that file Airflow would load our modules
    under their bare names.
    """
    plugins = ROOT / "plugins"
    with ZipFile(archive, "w", ZIP_DEFLATED) as file:
        for path in sorted(plugins.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                file.write(path, path.relative_to(plugins))


if __name__ == "__main__":
    main()
