"""Facts of the machine and the versions, without which no figure can be judged."""

from __future__ import annotations

import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import psutil

from tools.bench.process import ROOT
from tools.bench.warehouse import Warehouse

_CPUS: Final = Path("/proc/cpuinfo")


def facts(warehouse: Warehouse) -> dict[str, str]:
    """Return the facts for the reader of a figure, by name."""
    durable = ", ".join(
        f"{name} {warehouse.setting(name)}" for name in ("fsync", "synchronous_commit")
    )
    return {
        "CPU": f"{_cpu()}, {psutil.cpu_count()} cores for everything: client, server, PostgreSQL",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "PostgreSQL": f"{warehouse.setting('server_version')}, {durable}",
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
    }


def _cpu() -> str:
    lines = _CPUS.read_text("utf-8").splitlines() if _CPUS.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or "not in a git checkout"
