"""Rows in DuckDB, ledger in PostgreSQL: reading, a delivered day, and the write-back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from tools.bench.day_sizes import delivered_again, memory
from tools.bench.measurement import Bench
from tools.bench.process import FOLDER
from tools.bench.stage import WAREHOUSE, BenchError, Run
from tools.bench.targets import Finding, at_most
from tools.bench.warehouse import statements

_INTEGRATIONS: Final = 10
_LEDGER: Final = "ledger"
_PACKAGES: Final = ("duckdb", "duckdb_provider")


def elsewhere(bench: Bench) -> list[Finding]:
    """Measure deliveries of rows in DuckDB, with the ledger in PostgreSQL.

    :raises BenchError: if DuckDB is not installed, or if a run did something else.
    """
    least, rows = bench.scale.rows(1_000, 100), bench.scale.rows(200_000, 400)
    sizes = [least, rows, *([1_000_000] if bench.scale.million else [])]
    with _databases(bench) as databases:
        databases.fill(0)
        empty = {
            client: databases.repeated(client, **counts)
            for client, counts in (
                ("ours", {}),
                ("plan", {"planned": 0}),
                ("write_back", {"written": 0}),
            )
        }
        plans: dict[int, list[Run]] = {}
        for size in sizes:
            databases.fill(size)
            times = 1 if size > rows else None  # a million rows take a minute
            plans[size] = databases.repeated("plan", times, planned=size)
        databases.fill(rows)
        bench.stage.warehouse.deliver()
        written = databases.run("write_back", written=rows)
        unchanged = databases.repeated("write_back", written=0)
        again = databases.repeated("ours")
    return [
        *(_planned(plans[size], empty["plan"], size) for size in sizes[1:]),
        *memory("Peak memory with rows in DuckDB", plans, 60),
        delivered_again(
            "A delivered day again, with two databases", again, empty["ours"], 6.0, rows
        ),
        _written(written, empty["write_back"], rows),
        _unchanged(unchanged, empty["write_back"], rows),
    ]


def require_duckdb() -> None:
    """Check that DuckDB and its Airflow provider are installed.

    :raises BenchError: if one of them is not.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise BenchError(
            f"The scenario elsewhere needs {' and '.join(missing)}: install"
            " requirements-duckdb.txt, or name other scenarios."
        )


@dataclass(frozen=True)
class _Databases:
    """A DuckDB file with the rows, and the bench's PostgreSQL with the ledger.

    :param file: DuckDB's file. It is open in one process at a time.
    """

    bench: Bench
    file: Path

    def fill(self, rows: int) -> None:
        """Write a day of new rows to a new file, and empty the ledger."""
        from duckdb import connect  # noqa: PLC0415 - only this scenario needs it

        self.bench.stage.fill(rows, _INTEGRATIONS)
        self.file.unlink(missing_ok=True)
        with connect(str(self.file)) as database:
            for statement in statements(rows, _INTEGRATIONS):
                database.execute(statement)

    def run(self, client: str, **counts: int) -> Run:
        """Run a client that sends nothing.

        :param counts: The expected counts of the client.
        :raises BenchError: if the client counts otherwise.
        """
        run = self.bench.run(client, rows=0, environment=self._environment())
        if wrong := {name: run.counts[name] for name in counts if run.counts[name] != counts[name]}:
            raise BenchError(f"{client}: the counts are {wrong} instead of {counts}")
        return run

    def repeated(self, client: str, times: int | None = None, **counts: int) -> list[Run]:
        """Run such a client some times: three by default, or once in a small measurement."""
        times = times or self.bench.scale.rows(3, 1)
        return [self.run(client, **counts) for _ in range(times)]

    def _environment(self) -> dict[str, str]:
        return {
            WAREHOUSE: json.dumps({"conn_type": "duckdb", "host": str(self.file)}),
            f"AIRFLOW_CONN_{_LEDGER.upper()}": self.bench.stage.warehouse.connection(),
            "AIRFLOW__KOMBO__LEDGER_CONN_ID": _LEDGER,
        }


@contextmanager
def _databases(bench: Bench) -> Iterator[_Databases]:
    require_duckdb()
    with TemporaryDirectory(dir=FOLDER, prefix="duckdb-") as folder:
        yield _Databases(bench, Path(folder) / "warehouse.duckdb")


def _planned(runs: list[Run], nothing: list[Run], rows: int) -> Finding:
    """Build the finding of the CPU time of planning, less that of a day without rows."""
    full, fixed = (median(run.cpu for run in some) for some in (runs, nothing))
    return at_most(
        "Rows read from DuckDB, looked up in a ledger elsewhere and mapped: µs of CPU a row",
        1e6 * (full - fixed) / rows,
        60,
        rows,
        note=f"{full:.2f} s of CPU, {fixed:.2f} s without rows",
    )


def _written(run: Run, nothing: list[Run], rows: int) -> Finding:
    """Build the finding of the CPU time of a write-back, less that of an empty ledger."""
    fixed = median(run.cpu for run in nothing)
    return at_most(
        "Written back to DuckDB: µs of CPU a row",
        1e6 * (run.cpu - fixed) / rows,
        300,
        rows,
        note=f"{run.cpu:.1f} s of CPU in {run.seconds:.1f} s, {fixed:.2f} s without rows",
    )


def _unchanged(runs: list[Run], nothing: list[Run], rows: int) -> Finding:
    """Build the finding of the time of a write-back that finds no change."""
    full, fixed = (median(run.seconds for run in some) for some in (runs, nothing))
    return at_most(
        "Nothing to write back to DuckDB: seconds above an empty ledger",
        full - fixed,
        2.0,
        rows,
        note=f"{full:.2f} s against {fixed:.2f} s",
    )
