"""Airflow of the demo: environment, commands, and the end of all processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import httpx
import psutil

ROOT: Final = Path(__file__).resolve().parents[2]
DAG: Final = "kombo_result_links"

_REPORTED: Final = re.compile(
    r"^\S+ \[\w+ *\] (?P<line>.+?) +\[[\w.]*airflow_kombo\.(?:operators|delivery)\."
    r"|^airflow_kombo\.exceptions\.(?P<error>\w+: .+)"
)
"""Lines of Airflow's log about the delivery as a whole, or about the error that ended the task."""
_COMPONENTS: Final = frozenset({"api_server", "scheduler", "dag_processor", "triggerer"})
_PATIENCE: Final = 10  # seconds; Airflow needs a few, or never ends if a task has retries
_START_PATIENCE: Final = 180  # seconds, on a slow and busy machine

_KEPT: Final = ("AIRFLOW_CONN_", "AIRFLOW_KOMBO_")
"""Beginnings of variables that are no settings of another Airflow."""


class AirflowError(Exception):
    """Airflow failed; the message names the log."""


@dataclass(frozen=True)
class Airflow:
    """Airflow with a home of its own, apart from any other Airflow on this machine.

    :param home: The folder of Airflow's database and settings.
    :param log: The file for all output.
    :param connections: Airflow's connections, by environment variable.
    :param port: The port of UI and API, on 127.0.0.1 only.
    """

    home: Path
    log: Path
    connections: Mapping[str, str]
    port: int = 8080

    @property
    def url(self) -> str:
        """Return the address of the UI."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of all processes, without another Airflow's settings."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AIRFLOW") or name.startswith(_KEPT)
        }
        not_proxied = ",".join(filter(None, [kept.get("NO_PROXY"), "127.0.0.1"]))
        return kept | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")]),
            "NO_PROXY": not_proxied,
            "no_proxy": not_proxied,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            # The dag is not paused and can be triggered. The schedule must not send.
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",  # enough for one person's UI
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            **self.connections,
        }

    @property
    def is_migrated(self) -> bool:
        """Return True if the database exists, in this version."""
        return self._migrated.exists()

    @property
    def _migrated(self) -> Path:
        return self.home / f"migrated-to-{version('apache-airflow-core')}"

    def migrate(self) -> None:
        """Make the database, or migrate an older one.

        :raises AirflowError: if the migration fails.
        """
        self.run("db", "migrate")
        self._migrated.touch()

    def run(self, *command: str, say: Callable[[str], None] | None = None) -> None:
        """Run one of Airflow's commands to the end.

        :param say: Called with each line of the log about the delivery, at once.
        :raises AirflowError: if the command fails.
        """
        # At SIGTERM a task records calls in flight; SIGINT would interrupt the task.
        session = self._session(*command, stdout=subprocess.PIPE, ending=signal.SIGTERM)
        with session as process, self.log.open("a", encoding="utf-8") as log:
            for line in process.stdout or ():
                log.write(line)
                if say and (found := _REPORTED.match(line)):
                    say(found["line"] or found["error"])
            if process.wait():
                raise AirflowError(f"airflow {' '.join(command)} failed: {self.log} says why.")

    def write_exports(self, file: Path) -> None:
        """Write a file for a shell, after which `airflow` works on the demo.

        Connections of the user's own stay in the shell: the file has those of the demo alone.
        """
        settings = ("AIRFLOW_HOME", "AIRFLOW__")
        lines = [f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"']
        lines += [
            f"export {name}={shlex.quote(value)}"
            for name, value in sorted(self.environment.items())
            if name in self.connections or name.startswith(settings)
        ]
        file.touch(mode=0o600)
        file.write_text("\n".join([*lines, ""]), encoding="utf-8")

    def end_left_runs(self) -> None:
        """Mark dag runs and tasks as failed that no process is running any more.

        After Ctrl-C, `airflow dags test` leaves them as `running` in the demo's own database.
        """
        database = self.home / "airflow.db"
        if not database.exists() or not self.is_migrated:
            return
        with closing(sqlite3.connect(database)) as connection, connection:
            for table in ("dag_run", "task_instance"):
                connection.execute(
                    f"UPDATE {table} SET state = 'failed', end_date = CURRENT_TIMESTAMP"  # noqa: S608 - two names of Airflow's
                    " WHERE state IN ('running', 'queued')"
                )

    def standalone(self) -> AbstractContextManager[subprocess.Popen[str]]:
        """Run the UI with all of Airflow's components."""
        # At SIGINT Airflow ends all components; at SIGTERM they would stay.
        return self.component("standalone", ending=signal.SIGINT)

    @contextmanager
    def component(
        self, *command: str, ending: signal.Signals = signal.SIGTERM
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a command that ends only at a signal.

        :param ending: The signal at which the command ends in order.
        """
        with (
            self.log.open("a", encoding="utf-8") as log,
            self._session(*command, stdout=log, ending=ending) as process,
        ):
            yield process

    def wait_until_ready(
        self, standalone: subprocess.Popen[str], say: Callable[[str], None]
    ) -> None:
        """Wait until all components of `standalone` are ready.

        :param standalone: The process of `standalone`.
        :param say: Called with a line for each component that is ready.
        :raises AirflowError: if a component does not get ready.
        """
        ready: set[str] = set()
        latest = monotonic() + _START_PATIENCE
        while len(ready) < len(_COMPONENTS):
            if standalone.poll() is not None or monotonic() > latest:
                missing = ", ".join(sorted(_COMPONENTS - ready))
                raise AirflowError(f"Airflow did not start ({missing}): {self.log} says why.")
            sleep(0.5)
            for component in sorted(self._healthy() - ready):
                ready.add(component)
                say(f"{component} is ready")

    def password(self) -> str:
        """Return the password of the user `admin`, which Airflow generated at the first start."""
        file = self.home / "simple_auth_manager_passwords.json.generated"
        passwords: dict[str, str] = json.loads(file.read_text())
        return passwords["admin"]

    def _healthy(self) -> set[str]:
        try:
            health = httpx.get(f"{self.url}/api/v2/monitor/health", trust_env=False).json()
        except (httpx.TransportError, ValueError):  # no response yet, or no JSON
            return set()
        healthy = {name for name in health if health[name]["status"] == "healthy"}
        return {"api_server", *healthy} & _COMPONENTS

    @contextmanager
    def _session(
        self, *command: str, stdout: Any, ending: signal.Signals
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a command in a session of its own, and leave no process behind.

        Ctrl-C reaches the terminal's foreground processes only. So this session gets its signal
        from the demo. All descendants are found by their session, also those without a living
        parent.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "airflow", *command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=self.environment,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process, ending)
            if process.stdout:
                process.stdout.close()


def _end(process: subprocess.Popen[str], ending: signal.Signals) -> None:
    """Stop a session's first process with all others; after a while, kill the rest."""
    try:
        if process.poll() is None:
            process.send_signal(ending)
        psutil.wait_procs(members_of(process.pid), timeout=_PATIENCE)
    finally:  # also if the user presses Ctrl-C again
        for left in members_of(process.pid):
            left.kill()
        process.wait()


def members_of(session: int) -> list[psutil.Process]:
    """Return the processes of a session, which has the id of its first process."""
    return [process for process in psutil.process_iter() if _session_of(process.pid) == session]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:  # the process has ended, or belongs to another user
        return None
