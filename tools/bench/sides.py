"""The two sides of a comparison: a commit in a folder of its own, and the working tree as it is.

Each side delivers with the code, the query and the mapping of its own checkout, in a process of its
own that `tools/bench/deliver.py` of that checkout runs.
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

from tools.bench.process import FOLDER, LOG, ROOT, Took
from tools.bench.stage import BenchError

COMMIT: Final = "commit"
TREE: Final = "tree"
COMMIT_LOG: Final = FOLDER / "commit.log"
_LOGS: Final = {COMMIT: COMMIT_LOG, TREE: LOG}
_PACKAGES: Final = tuple(dict.fromkeys([__package__ or "bench", "bench"]))
"""Where a checkout may have the bench: where this one has it, or where older commits have it."""
_BEFORE_DELIVER: Final = """
import json, os, sys
from dataclasses import asdict
from datetime import date
from tools.bench import process
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
process.prepare()
for line in sys.stdin:
    with process.client("ours", date.fromisoformat(line.strip()), None, {}) as (_, pipe):
        print(json.dumps(asdict(pipe.recv())), file=answers, flush=True)
"""
"""What `deliver.py` does, for commits that do not have it, in the words of their bench."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    :param name: `COMMIT` or `TREE`; the side's databases are named after it.
    :param root: Its checkout.
    :param words: The side in the words of the report.
    """

    name: str
    root: Path
    words: str


@dataclass(frozen=True)
class Deliverer:
    """A running process that delivers days with a side's code."""

    side: Side
    _orders: IO[str]
    _answers: IO[str]

    def deliver(self, day: date) -> Took:
        """Deliver a day, and return what it took.

        :raises BenchError: if the side's code fails.
        """
        try:
            print(day.isoformat(), file=self._orders, flush=True)
        except BrokenPipeError:  # the answer, which is missing then, says so
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
    """Run a side's process, and always stop it with all that it started.

    :param connections: Airflow's, as environment variables.
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
            start_new_session=True,  # a Ctrl-C is for us; and all that it starts has one group
        ) as running,
    ):
        assert running.stdin  # noqa: S101 - both are pipes
        assert running.stdout  # noqa: S101
        try:
            yield Deliverer(side, running.stdin, running.stdout)
        finally:
            os.killpg(running.pid, signal.SIGKILL)


def command_of(side: Side) -> list[str]:
    """Return what Python is called with to deliver with a side's code.

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
    """Check a commit out beside the working tree, and always remove it again.

    :param commit: Any name that git knows a commit by.
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
    if log.exists():  # why it failed is in here, if it did
        with COMMIT_LOG.open("ab") as kept:
            kept.write(log.read_bytes())
    removed = ["git", "worktree", "remove", "--force", "--force", str(folder)]
    subprocess.run(removed, cwd=ROOT, capture_output=True, check=False)  # noqa: S603
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let nobody end the process: make and a terminal may both send a signal."""
    before = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _git(*arguments: str, failing: str = "") -> str:
    """Run git in the working tree.

    :raises BenchError: if git refuses; with its own words where `failing` has none.
    """
    told = subprocess.run(  # noqa: S603 - our own command
        ["git", *arguments],  # noqa: S607 - the user's git
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        raise BenchError(failing or f"git {arguments[0]} failed: {told.stderr.strip()}")
    return told.stdout.strip()
