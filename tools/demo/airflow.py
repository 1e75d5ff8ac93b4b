"""An Airflow of the demo's own: its environment, its commands, and the end of its processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import httpx
import psutil

ROOT: Final = Path(__file__).resolve().parents[2]
DAG: Final = "kombo_result_links"

_TOLD: Final = re.compile(
    r"^\S+ \[\w+ *\] (?P<line>.+?) +\[[\w.]*airflow_kombo\.(?:operators|delivery)\."
    r"|^airflow_kombo\.exceptions\.(?P<error>\w+: .+)"
)
"""What of Airflow's log tells how the delivery as a whole goes, or what ended it."""
_COMPONENTS: Final = frozenset({"api_server", "scheduler", "dag_processor", "triggerer"})
_PATIENCE: Final = 10  # seconds; Airflow takes a few of them, or forever if its task has retries
_START_PATIENCE: Final = 180  # seconds, on a slow and busy machine


class AirflowError(Exception):
    """Airflow did not do what it was asked to; the message names the log."""


@dataclass(frozen=True)
class Airflow:
    """Airflow with its home in a directory, apart from any other on this machine.

    :param home: Where it keeps its database and settings.
    :param log: The file that gets all its output.
    :param connections: Airflow connections, by the variable that holds each.
    :param port: Where its UI and API listen; on this machine only.
    """

    home: Path
    log: Path
    connections: Mapping[str, str]
    port: int = 8080

    @property
    def url(self) -> str:
        """The address of the UI."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What its processes run in; another Airflow's settings are left out, connections stay."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AIRFLOW") or name.startswith("AIRFLOW_CONN_")
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
            # The dag is not paused, so that it can be triggered; its schedule must not send.
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",  # the workers of a UI for one person
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            **self.connections,
        }

    @property
    def is_migrated(self) -> bool:
        """Whether its database is there and of this version."""
        return self._migrated.exists()

    @property
    def _migrated(self) -> Path:
        return self.home / f"migrated-to-{version('apache-airflow-core')}"

    def migrate(self) -> None:
        """Make its database, or bring it to this version.

        :raises AirflowError: if that fails.
        """
        self.run("db", "migrate")
        self._migrated.touch()

    def run(self, *command: str, say: Callable[[str], None] | None = None) -> None:
        """Run a command of Airflow's to its end.

        :param say: Gets the lines of the log that tell of the delivery, as they come.
        :raises AirflowError: if it fails.
        """
        # SIGTERM lets a task record what is on the wire; SIGINT would cut through it.
        session = self._session(*command, stdout=subprocess.PIPE, ending=signal.SIGTERM)
        with session as process, self.log.open("a", encoding="utf-8") as log:
            for line in process.stdout or ():
                log.write(line)
                if say and (told := _TOLD.match(line)):
                    say(told["line"] or told["error"])
            if process.wait():
                raise AirflowError(f"airflow {' '.join(command)} failed: {self.log} says why.")

    @contextmanager
    def standalone(self) -> Iterator[subprocess.Popen[str]]:
        """Run the UI with all that belongs to it."""
        with (
            self.log.open("a", encoding="utf-8") as log,
            # On SIGINT it ends its components; on SIGTERM it would leave them.
            self._session("standalone", stdout=log, ending=signal.SIGINT) as process,
        ):
            yield process

    def wait_until_ready(
        self, standalone: subprocess.Popen[str], say: Callable[[str], None]
    ) -> None:
        """Wait until all of `standalone` is ready.

        :param say: Gets a line for each component when it is.
        :raises AirflowError: if one does not get ready.
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
        """Give the password of the user `admin`, which Airflow made up on its first start."""
        file = self.home / "simple_auth_manager_passwords.json.generated"
        passwords: dict[str, str] = json.loads(file.read_text())
        return passwords["admin"]

    def _healthy(self) -> set[str]:
        try:
            health = httpx.get(f"{self.url}/api/v2/monitor/health", trust_env=False).json()
        except (httpx.TransportError, ValueError):  # nobody answers yet, or not in JSON
            return set()
        healthy = {name for name in health if health[name]["status"] == "healthy"}
        return {"api_server", *healthy} & _COMPONENTS

    @contextmanager
    def _session(
        self, *command: str, stdout: Any, ending: signal.Signals
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a command in a session of its own, and leave no process of it behind.

        Ctrl-C reaches the terminal's foreground processes only, so this one hears of its end from
        us, and its descendants can be found by their session, whoever their parents are by then.
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
    """Ask a session's first process to end, with all the others; then kill what is left."""
    try:
        if process.poll() is None:
            process.send_signal(ending)
        psutil.wait_procs(_members(process.pid), timeout=_PATIENCE)
    finally:  # however impatient its user is
        for left in _members(process.pid):
            left.kill()
        process.wait()


def _members(session: int) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _session_of(process.pid) == session]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:  # it has ended, or is none of ours
        return None
