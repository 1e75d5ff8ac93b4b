"""Talk to a stand-in from a test or a demo, with nothing but the standard library."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

DEFAULT_KEY = "ks_dev_standin"

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 10  # seconds; a control call does nothing that takes time


class StandInError(Exception):
    """The stand-in did not start, or did not accept what it was told."""


@dataclass(frozen=True)
class StandIn:
    """A running stand-in.

    Args:
        url: The base that a Kombo client needs, for example ``http://127.0.0.1:8080/v1``.
        pid: Its process, if ``running`` started it: for those who want to kill it.

    """

    url: str
    pid: int | None = None

    def add_rule(
        self,
        outcome: Mapping[str, Any],
        *,
        times: int | None = None,
        delay: float = 0,
        effect: Literal["none", "created"] | None = None,
        **match: str,
    ) -> None:
        """Put a rule behind those in force; see ``kombo_standin.scenario.Rule``.

        Args:
            outcome: How the request ends, for example ``{"kind": "reset"}``.
            times: How often the rule fires; None is always.
            delay: Seconds before the outcome.
            effect: Whether the link is made; None: by a success only.
            **match: integration_id, target_type, target_id, url, label; what is left out is any.

        """
        rule = {"outcome": outcome, "times": times, "delay": delay, "effect": effect, **match}
        self._call("POST", "/rules", rule)

    def clear_rules(self) -> None:
        """Drop all rules, those of the scenario too."""
        self._call("DELETE", "/rules")

    def set_limits(self, **limits: Any) -> None:
        """Replace the limits; see ``kombo_standin.scenario.Limits`` for names and defaults."""
        self._call("PUT", "/limits", limits)

    def set_latency(
        self,
        default: tuple[float, float] = (0, 0),
        by_integration: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """Replace the latencies: shortest and longest, in seconds."""
        latency = {"default": default, "by_integration": dict(by_integration or {})}
        self._call("PUT", "/latency", latency)

    def reset(self) -> None:
        """Forget everything, the journal too, and begin the scenario anew."""
        self._call("POST", "/reset")

    def links(self, offset: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """List different links in the order they were first made; ``count`` tells how often."""
        size = "" if limit is None else f"&limit={limit}"
        links: list[dict[str, Any]] = self._call("GET", f"/links?offset={offset}{size}")["links"]
        return links

    def order_results(self) -> list[dict[str, Any]]:
        """List the results of orders in the order they were written, each as often as it was."""
        results: list[dict[str, Any]] = self._call("GET", "/order-results")
        return results

    def stats(self) -> dict[str, Any]:
        """Count what was asked and answered; see ``kombo_standin.state.State.stats``."""
        stats: dict[str, Any] = self._call("GET", "/stats")
        return stats

    def requests(self, last: int = 1000) -> list[dict[str, Any]]:
        """Show the last writes as they came in, oldest first; the server keeps 1000."""
        requests: list[dict[str, Any]] = self._call("GET", f"/requests?last={last}")
        return requests

    def _call(self, method: str, path: str, payload: Mapping[str, Any] | None = None) -> Any:
        body = None if payload is None else json.dumps(payload)
        headers = {"Content-Type": "application/json"}
        netloc = urlsplit(self.url).netloc
        with closing(HTTPConnection(netloc, timeout=_PATIENCE)) as connection:
            connection.request(method, f"/_standin{path}", body, headers)
            answer = connection.getresponse()
            content = answer.read().decode()
        if answer.status != HTTPStatus.OK:
            raise StandInError(f"{method} {path}: {answer.status} {content}")
        return json.loads(content)


@contextmanager
def running(
    *,
    port: int = 0,
    key: str = DEFAULT_KEY,
    scenario: Path | None = None,
    journal: Path | None = None,
) -> Iterator[StandIn]:
    """Run a stand-in in a process of its own, and always stop it.

    Args:
        port: Port on 127.0.0.1; 0 takes a free one.
        key: The API key that it accepts.
        scenario: YAML file with limits, latency and rules.
        journal: File that keeps the links over a restart.

    Raises:
        StandInError: It did not start; why is on its standard error, which is this process's.

    """
    options = {"--port": port, "--key": key, "--scenario": scenario, "--journal": journal}
    command = [sys.executable, "-m", "tools.kombo_standin"]
    for name, value in options.items():
        if value is not None:
            command += [name, str(value.resolve() if isinstance(value, Path) else value)]
    # The package is found from its own root, whatever directory the caller works in.
    # In a session of its own: Ctrl-C is for the caller, who may still wait for answers.
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield StandIn(_address(process), process.pid)
        finally:
            _stop(process)


def _address(process: subprocess.Popen[str]) -> str:
    """Wait for the line that tells where the stand-in listens."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise StandInError(f"The stand-in did not start: exit status {process.wait()}.")
    return line.split()[-1]


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
