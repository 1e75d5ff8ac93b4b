"""Days in shards: their figures, and the quota of a process."""

import os

import pytest

from tools.bench.counts import Counts
from tools.bench.process import Took
from tools.bench.quota import Quota
from tools.bench.sharded_day import ShardedDay
from tools.bench.shards import _against_one
from tools.bench.stage import Run
from tools.bench.targets import exactly


def took(seconds):
    return Took(seconds, cpu=1.0, cpu_before=3.0, peak_mb=150.0, counts={})


def day(seconds, cpu, *shards):
    """Return a day of a thousand rows, with the seconds of each shard."""
    figures = dict.fromkeys(("peak_mb", "server_cpu", "postgres_cpu", "others", "stood_still"), 0.0)
    counts = {"client": "shards", "rows": 1_000, "machine": 4.0, "counts": {}}
    run = Run(**figures, **counts, seconds=seconds, cpu=cpu, server=Counts({}, {}))
    return ShardedDay(run, took(0.1), [took(one) for one in shards], took(0.1))


def test_shards_are_compared_with_one_in_each_round():
    """CPU, makespan and the shards' ends are medians over the rounds' own ratios."""
    rounds = [
        {1: day(10.0, 1.0, 10.0), 2: day(10.0 * more, 1.0 * more, 8.0, 10.0)}
        for more in (1.0, 1.1, 1.3)
    ]
    cpu, makespan, apart = _against_one(rounds, 2)
    assert (cpu.measured.split()[0], cpu.met) == ("1.1", True)
    assert (makespan.measured.split()[0], makespan.met) == ("1.1", False)
    assert (apart.measured.split()[0], apart.met) == ("20.00%", False)


def test_a_count_has_one_right_value():
    """A count above or below the expected one does not meet the target."""
    assert [exactly("rows", rows, 8, 8, note="").met for rows in (7, 8, 9)] == [False, True, False]


@pytest.mark.parametrize(
    ("folder", "shared", "files"),
    [
        (".", "cpu memory", {"cpu.max": "25000 100000"}),
        ("cpu", None, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "25000"}),
    ],
)
def test_a_quota_is_a_cgroup_of_either_version(tmp_path, folder, shared, files):
    """Each process gets one cgroup, with the quota in the files of the version."""
    (tmp_path / folder).mkdir(exist_ok=True)
    if shared:
        (tmp_path / "cgroup.subtree_control").write_text(shared)
    quota = Quota(0.25, tmp_path)
    assert quota.is_possible
    with quota.holding(os.getpid()):
        (group,) = (tmp_path / folder).glob("kombo-bench-*")
        written = {path.name: path.read_text() for path in group.iterdir()}
    assert written == {**files, "cgroup.procs": str(os.getpid())}


def test_without_cgroups_no_quota_is_possible(tmp_path):
    """On a machine without a writable cgroup the bench leaves the figure out."""
    assert not Quota(0.25, tmp_path).is_possible
