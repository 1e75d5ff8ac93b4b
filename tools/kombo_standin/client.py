"""Client of the stand-in for tests and the demo, with the standard library only."""

import json
import os
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
_PATIENCE = 10  # seconds; control calls are fast


class StandInError(Exception):
    """The stand-in did not start, or refused an order."""


@dataclass(frozen=True)
class StandIn:
    """A running stand-in.

    :param url: The base URL for a Kombo client, for example ``http://127.0.0.1:8080/v1``.
    :param pid: The process id, if ``running`` started it, for tests that kill it.
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
        """Add a rule behind the existing ones; see ``kombo_standin.scenario.Rule``.

        :param outcome: The end of the request, for example ``{"kind": "reset"}``.
        :param times: The number of requests for this rule; None: no limit.
        :param delay: Seconds before the outcome.
        :param effect: ``created`` or ``none``; None: only a success makes the link.
        :param match: integration_id, target_type, target_id, url, label; a missing one matches all.
        """
        rule = {"outcome": outcome, "times": times, "delay": delay, "effect": effect, **match}
        self._call("POST", "/rules", rule)

    def clear_rules(self) -> None:
        """Delete all rules, also the scenario's."""
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

    def set_ats(
        self,
        default: Mapping[str, Any] | None = None,
        by_tool: Mapping[str, Mapping[str, Any]] | None = None,
        **others: Any,
    ) -> None:
        """Replace the customers' ATSs; see ``kombo_standin.scenario.Flavour`` for names.

        :param default: The flavour of all tools that are not in ``by_tool``.
        :param by_tool: Flavours by tool, which is the integration's id before the colon.
        :param others: candidates, untracked_ids, seed; see ``kombo_standin.scenario.Flavours``.
        """
        ats = {"default": dict(default or {}), "by_tool": dict(by_tool or {}), **others}
        self._call("PUT", "/ats", ats)

    def sync(self) -> None:
        """Sync the notes of all integrations now."""
        self._call("POST", "/sync")

    def delete_link(self, **match: str) -> int:
        """Delete links from the ATS, as a recruiter does, and return the number of deleted ones.

        The counts of writes, and ``links``, stay the same.

        :param match: integration_id, target_type, target_id, url, label; a missing one matches all.
        :raises StandInError: if the ATS has no such link.
        """
        deleted: int = self._call("POST", "/deletions", match)["deleted"]
        return deleted

    def reset(self) -> None:
        """Delete links, counts and journal, and begin the scenario again."""
        self._call("POST", "/reset")

    def links(self, offset: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """List different links in order of creation; ``count`` is the number of writes."""
        size = "" if limit is None else f"&limit={limit}"
        links: list[dict[str, Any]] = self._call("GET", f"/links?offset={offset}{size}")["links"]
        return links

    def order_results(self) -> list[dict[str, Any]]:
        """List all written results of orders in the order of writing."""
        results: list[dict[str, Any]] = self._call("GET", "/order-results")
        return results

    def stats(self) -> dict[str, Any]:
        """Return counts of requests and responses; see ``kombo_standin.state.State.stats``."""
        stats: dict[str, Any] = self._call("GET", "/stats")
        return stats

    def requests(self, last: int = 1000) -> list[dict[str, Any]]:
        """Return the last 1000 writes as they were received, oldest first."""
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
    """Run a stand-in in a process of its own, and always stop the process.

    :param port: The port on 127.0.0.1; 0: any free one.
    :param key: The accepted API key.
    :param scenario: A YAML file with limits, latency and rules.
    :param journal: A file that keeps the links after a restart.
    :raises StandInError: if the stand-in does not start; standard error has the reason.
    """
    options = {
        "--port": port,
        "--key": key,
        "--scenario": scenario,
        "--journal": journal,
        "--parent": os.getpid(),  # also a killed caller leaves no stand-in behind
    }
    command = [sys.executable, "-m", "tools.kombo_standin"]
    for name, value in options.items():
        if value is not None:
            command += [name, str(value.resolve() if isinstance(value, Path) else value)]
    # The package's own folder is on the path, also if the caller works elsewhere.
    # A session of its own: the caller handles Ctrl-C, and may still wait for responses.
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield StandIn(_address(process), process.pid)
        finally:
            _stop(process)


def _address(process: subprocess.Popen[str]) -> str:
    """Wait for the line with the address, and return the address."""
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
