"""Comparison of two commits: alternating runs, without remains."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tools.bench import sides
from tools.bench.compare import Ratio, interval
from tools.bench.sides import Side

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("include", "plugins", "tools")
DELIVERY = Path("plugins", "airflow_kombo", "delivery", "run.py")
SLOWER = """

_deliver = DeliveryRun.deliver


async def _deliver_slowly(self):
    import time

    end = time.process_time() + 0.6
    while time.process_time() < end:
        pass
    return await _deliver(self)


DeliveryRun.deliver = _deliver_slowly
"""


@pytest.fixture
def project(tmp_path):
    """Return a copy of this project outside of git."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".gitignore", tmp_path)
    return tmp_path


def git(project, *arguments):
    command = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    return done.stdout.strip()


def commit(project):
    """Commit all files, and return the commit."""
    if not (project / ".git").exists():
        git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "A commit")
    return git(project, "rev-parse", "--short", "HEAD")


def started(project, *arguments):
    command = [sys.executable, "-m", "tools.bench", *arguments]
    return subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def bench(project, *arguments):
    """Run the bench to the end, and return the exit status and the output."""
    with started(project, *arguments) as running:
        out, err = running.communicate(timeout=600)
    return running.returncode, out, err


def left_behind(project):
    """Return other worktrees of the project's git, and folders of commits."""
    worktrees = git(project, "worktree", "list").splitlines()[1:]
    return [*worktrees, *(project / ".bench").glob("commit-*")]


def test_a_slower_working_tree_is_called_slower(project):
    """A delivery with more CPU time than a commit's is slower."""
    before = commit(project)
    with (project / DELIVERY).open("a") as delivery:
        delivery.write(SLOWER)
    arguments = ("--compare", before, "--small", "--rounds", "6", "at_once")
    status, out, err = bench(project, *arguments)
    assert status == 0, err
    (row,) = [line for line in out.splitlines() if line.startswith("at_once")]
    assert "slower" in row
    assert (
        f"the working tree ({before} with changes that are not committed) with the commit {before}"
        in out
    )
    found = json.loads((project / ".bench" / "compare.json").read_text())["scenarios"]["at_once"]
    assert (found["verdict"], len(found["rounds"])) == ("slower", 6)
    assert left_behind(project) == []


def test_all_scenarios_run_in_turns(project):
    """Both sides deliver the same rows on the same server, and begin by turns."""
    commit(project)
    status, out, err = bench(project, "--compare", "HEAD", "--small")
    assert status == 0, err
    assert out.count("too few rounds") == 3
    assert "without changes that are not committed" in out
    scenarios = json.loads((project / ".bench" / "compare.json").read_text())["scenarios"]
    posts = {"at_once": 200, "latency": 100, "again": 0}
    assert list(scenarios) == list(posts)
    for name, found in scenarios.items():
        assert [one["first"] for one in found["rounds"]] == ["commit", "tree"]
        runs = [one[side] for one in found["rounds"] for side in ("commit", "tree")]
        assert [run["rows"] for run in runs] == [posts[name]] * 4
        assert all(run["cpu"] > 0 for run in runs)
    assert left_behind(project) == []


@pytest.mark.parametrize(
    ("sign", "line"), [(signal.SIGINT, "Comparing"), (signal.SIGTERM, "round 1")]
)
def test_whoever_ends_it_finds_nothing_left(project, sign, line):
    """An interrupted comparison stops all its processes, and removes the other checkout."""
    commit(project)
    with started(project, "--compare", "HEAD", "--small", "at_once") as running:
        assert any(line in one for one in running.stderr)
        assert left_behind(project) != []
        children = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(sign)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err.splitlines()[-1]) == (1, "Stopped: nothing was written.")
    assert psutil.wait_procs(children, timeout=60)[1] == []
    assert left_behind(project) == []


def test_an_unknown_commit_is_named(project):
    """An unknown commit is reported in a sentence, without a traceback."""
    commit(project)
    status, _, err = bench(project, "--compare", "nowhere", "--small")
    assert status == 1
    assert err.splitlines()[-1].startswith("There is no figure: There is no commit 'nowhere' here")


def test_a_folder_without_git_cannot_compare(project):
    """A comparison outside a git checkout is refused."""
    status, _, err = bench(project, "--compare", "HEAD", "--small")
    assert status == 1
    assert err.splitlines()[-1].endswith("is not a git checkout.")


@pytest.mark.parametrize(
    ("files", "part"),
    [
        (["tools/bench/deliver.py"], "-m tools.bench.deliver"),
        (["bench/process.py", "bench/deliver.py"], "-m bench.deliver"),
        (["bench/process.py"], "from bench import process"),
    ],
)
def test_a_bench_is_found_where_older_commits_had_it(tmp_path, files, part):
    """The bench is found in older commits, also in their other folder."""
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    command = sides.command_of(Side("commit", tmp_path, "commit"))
    assert part in " ".join(command)


def test_a_commit_without_a_bench_cannot_be_compared(project):
    """A commit without a bench is refused."""
    shutil.move(project / "tools" / "bench", project.parent / "bench-of-later")
    before = commit(project)
    shutil.move(project.parent / "bench-of-later", project / "tools" / "bench")
    status, _, err = bench(project, "--compare", before, "--small")
    assert status == 1
    assert f"The commit {before} has no bench" in err.splitlines()[-1]
    assert left_behind(project) == []


def test_a_delivery_that_fails_keeps_its_log(project):
    """The log of a failed commit is kept when the checkout is removed."""
    (project / DELIVERY).write_text(
        (project / DELIVERY).read_text() + "\nraise RuntimeError('42')\n"
    )
    before = commit(project)
    status, _, err = bench(project, "--compare", before, "--small")
    kept = project / ".bench" / "commit.log"
    assert status == 1
    assert err.splitlines()[-1] == (
        f"There is no figure: The delivery of the commit {before} failed: see {kept}"
    )
    assert "RuntimeError: 42" in kept.read_text()
    assert left_behind(project) == []


def test_the_spread_is_the_medians_confidence_interval():
    """Up to 8 rounds, the interval is the range; with more, it leaves out extremes."""
    assert interval([3, 1, 2, 7, 5, 6, 4]) == (1, 7)
    assert interval(range(1, 9)) == (1, 8)
    assert interval(range(1, 10)) == (2, 8)
    assert interval(range(1, 16)) == (4, 12)
    assert interval([2, 1]) == (1, 2)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([1.029] * 6, "within 3 %"),
        ([1.031] * 6, "slower"),
        ([0.969] * 6, "faster"),
        ([1.0, 1.1, 1.05, 1.05, 1.05, 1.05], "within the spread"),
        ([1.04, 1.1, 1.07, 1.07, 1.07, 1.07], "slower"),
        ([1.5] * 5, "too few rounds"),
    ],
)
def test_slower_is_what_exceeds_3_per_cent_and_the_spread(ratios, verdict):
    """A difference is beyond 3 % and beyond the spread."""
    assert Ratio.of(ratios).verdict == verdict
