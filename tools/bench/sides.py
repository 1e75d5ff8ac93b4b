"""Sides of a comparison: a commit in a folder of its own, and the working tree.

Each side delivers with the code, the query and the mapping of its own checkout. The process runs
`tools/bench/deliver.py` of that checkout.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Final

import psutil

from tools.bench.process import FOLDER, LOG, ROOT, Took
from tools.bench.stage import BenchError

COMMIT: Final = "commit"
TREE: Final = "tree"
COMMIT_LOG: Final = FOLDER / "commit.log"
_LOGS: Final = {COMMIT: COMMIT_LOG, TREE: LOG}
_PACKAGES: Final = tuple(dict.fromkeys([__package__ or "bench", "bench"]))
"""Packages of the bench: of this checkout, and of older commits."""
_KILL_SECONDS: Final = 10.0
"""Longest wait for the end of killed processes."""
_BEFORE_DELIVER: Final = """
import json, os, sys
from dataclasses import asdict
from datetime import date
from bench import process
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
process.prepare()
for line in sys.stdin:
    with process.client("ours", date.fromisoformat(line.strip()), None, {}) as (_, pipe):
        print(json.dumps(asdict(pipe.recv())), file=answers, flush=True)
"""
"""A replacement for `deliver.py` in commits without this file."""


@dataclass(frozen=True)
class Side:
    """One side of the comparison.

    :param name: `COMMIT` or `TREE`, also the name of the side's databases.
    :param root: The folder of the checkout.
    :param words: The side's name in the report.
    """

    name: str
    root: Path
    words: str


@dataclass(frozen=True)
class Deliverer:
    """A running process for deliveries with one side's code."""

    side: Side
    _orders: IO[str]
    _answers: IO[str]

    def deliver(self, day: date) -> Took:
        """Deliver a day, and return the time and the memory.

        :param day: The day to deliver.
        :raises BenchError: if the side's code fails.
        """
        try:
            print(day.isoformat(), file=self._orders, flush=True)
        except BrokenPipeError:  # the missing response is reported below
            line = ""
        else:
            line = self._answers.readline()
        if not line:
            raise BenchError(
                f"The delivery of the {self.side.words} failed: see {_LOGS[self.side.name]}"
            )
        took = json.loads(line)
        names = ("seconds", "cpu", "cpu_before", "peak_mb", "counts")
        return Took(**{name: took[name] for name in names})


@contextmanager
def delivering(side: Side, connections: Mapping[str, str]) -> Iterator[Deliverer]:
    """Run a side's process, and always stop all processes of the side.

    :param side: The side.
    :param connections: Airflow's connections, as environment variables.
    :raises BenchError: if the side's checkout has no bench that can deliver.
    """
    command = [sys.executable, *command_of(side)]
    environment = {**os.environ, **connections, "PYTHONPATH": str(side.root)}
    with (
        _LOGS[side.name].open("ab") as log,
        subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd=side.root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the bench only, which ends this group
        ) as running,
    ):
        assert running.stdin  # noqa: S101 - both are pipes
        assert running.stdout  # noqa: S101
        try:
            yield Deliverer(side, running.stdin, running.stdout)
        finally:
            children = psutil.Process(running.pid).children(recursive=True)
            os.killpg(running.pid, signal.SIGKILL)
            # The checkout is removed next: nobody may still write into it.
            psutil.wait_procs(children, timeout=_KILL_SECONDS)


def command_of(side: Side) -> list[str]:
    """Return Python's arguments for a delivery with a side's code.

    :raises BenchError: if the side's checkout has no bench that can deliver.
    """
    for package in _PACKAGES:
        if (side.root / package.replace(".", "/") / "deliver.py").exists():
            return ["-m", f"{package}.deliver"]
    if (side.root / "bench" / "process.py").exists():
        return ["-c", _BEFORE_DELIVER]
    raise BenchError(f"The {side.words} has no bench that could deliver: name a later commit.")


@contextmanager
def both(commit: str) -> Iterator[tuple[Side, Side]]:
    """Check a commit out beside the working tree, and always remove the checkout.

    :param commit: Any name of the commit for git.
    :raises BenchError: if there is no git checkout or no such commit.
    """
    head = _git("rev-parse", "--short", "HEAD", failing=f"{ROOT} is not a git checkout.")
    sha = _git(
        "rev-parse",
        "--verify",
        "--quiet",
        "--short",
        "--end-of-options",
        f"{commit}^{{commit}}",
        failing=f"There is no commit {commit!r} here: git log shows which there are.",
    )
    changes = "with" if _git("status", "--porcelain") else "without"
    with _checked_out(sha) as folder:
        yield (
            Side(COMMIT, folder, f"commit {sha}"),
            Side(TREE, ROOT, f"working tree ({head} {changes} changes that are not committed)"),
        )


@contextmanager
def _checked_out(sha: str) -> Iterator[Path]:
    FOLDER.mkdir(exist_ok=True)
    folder = Path(mkdtemp(prefix="commit-", dir=FOLDER))
    COMMIT_LOG.unlink(missing_ok=True)
    try:
        _git("worktree", "add", "--quiet", "--detach", str(folder), sha)
        yield folder
    finally:
        with _uninterrupted():
            _remove(folder)


def _remove(folder: Path) -> None:
    log = folder / ".bench" / "clients.log"
    if log.exists():  # the reason of a failure is in this file
        with COMMIT_LOG.open("ab") as kept:
            kept.write(log.read_bytes())
    removed = ["git", "worktree", "remove", "--force", "--force", str(folder)]
    subprocess.run(removed, cwd=ROOT, capture_output=True, check=False)  # noqa: S603
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore signals for a while: make and the terminal may both send one."""
    before = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _git(*arguments: str, failing: str = "") -> str:
    """Run git in the working tree, and return the output.

    :param failing: The message of the error; empty: git's own message.
    :raises BenchError: if git fails.
    """
    done = subprocess.run(  # noqa: S603 - our own command
        ["git", *arguments],  # noqa: S607 - the user's git
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(failing or f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()
