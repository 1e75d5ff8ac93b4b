"""Days in shards in a simulated night, and the checks of them."""

from collections import Counter
from dataclasses import replace

import pytest

from tools.nights.check_accounts import check_account
from tools.nights.check_night import check_night
from tools.nights.check_shards import check_reached, check_shards
from tools.nights.findings import LIE, LOST
from tools.nights.plan import DAY, Accident, Plan, PlannedClear, PlannedRun, SourceRow
from tools.nights.plans import plan_of
from tools.nights.stage import stage
from tools.nights.world import Point

PLAN = Plan(
    seed=9,  # Kombo makes each link at the first request
    rows=(
        SourceRow("late", 0.06, DAY, "tool:new", "late"),
        *(SourceRow(f"r{n}", -1.0, DAY, f"tool:{n % 3}", f"c{n}") for n in range(5)),
        SourceRow("two", -1.0, DAY, "tool:1", "here"),
        SourceRow("two", -1.0, DAY, "tool:2", "there"),
    ),
    runs=(PlannedRun("night-0", 0.0, DAY, shards=2),),
    decisions=(),
    accidents=(),
    patience=(0.1, 0.3),
    slots=30,
    commit_seconds=0.2,
    shards=2,
)


@pytest.fixture(scope="module")
def one():
    with stage() as stage_:
        yield stage_


@pytest.fixture
def story(one):
    """Return the story of a night in shards that kept every promise."""
    checked = check_night(PLAN, one)
    assert checked.findings == []
    return checked.story


def tries(story, part):
    return [name for name in story.tries if name.startswith(f"night-0.{part}")]


def test_shards_run_side_by_side_and_have_one_account(story):
    """Each shard is a process, and the account counts each row once."""
    assert tries(story, "shard") == ["night-0.shard0.1", "night-0.shard1.1"]
    account = story.accounts[0]
    assert account.is_alone
    counts = sum(account.counts.values(), Counter())
    assert (counts["success"], counts["invalid"]) == (6, 2)
    assert {sent.run for sent in story.sent if sent.result_id == "late"} == {"night-0.shard0.1"}


def test_a_dead_shard_is_tried_again_before_the_account(one):
    """Airflow tries one shard again, and the account waits."""
    kill = Accident("kill", process=1, point=(Point.SENT, 2))
    checked = check_night(replace(PLAN, accidents=(kill,)), one)
    assert checked.findings == []
    killed = [name for name, try_ in checked.story.tries.items() if try_.was_killed]
    assert len(killed) == 1
    assert f"{killed[0][:-1]}2" in checked.story.tries
    assert tries(checked.story, "account") == ["night-0.account.1"]


@pytest.mark.parametrize(("shard", "runs"), [(0, 1), (None, 2)])
def test_a_clear_runs_a_shard_alone_or_all(one, shard, runs):
    """A cleared shard runs alone, with the account after it; a cleared day is divided again."""
    clear = PlannedClear(60.0, "night-0", shard)
    checked = check_night(replace(PLAN, clears=(clear,)), one)
    assert checked.findings == []
    assert len(tries(checked.story, "shard0")) == 2
    assert len(tries(checked.story, "plan")) == runs
    assert len(tries(checked.story, "account")) == 2


def rows_of(story):
    """Return the status rows as the account's check wants them, all of one run."""
    names = ("result_id", "integration_id", "target_type", "target_id", "status", "run_id")
    values = [
        (sent.result_id, *sent.target, "success", sent.run)
        for sent in story.sent
        if sent.run.startswith("night-0")
    ]
    more = {"assessment_date": DAY.isoformat(), "updated_at": "9999", "error_code": None}
    return [_Row(zip(names, value, strict=True)) | more for value in values]


class _Row(dict):
    """Row whose values can be read in order, as those of SQLite."""

    def __iter__(self):
        return iter(self.values())

    def __or__(self, other):
        return _Row({**self, **other})


def texts(story, account, rows):
    return [one.text for one in check_account(story, account, rows)]


def test_an_account_is_held_beside_the_ledger(story):
    """A row counted twice, left out, or still `sending` is found."""
    account = replace(story.accounts[0], in_doubt=0)
    account.counts["tool:1"].pop("invalid")
    account.counts["tool:2"].pop("invalid")
    rows = rows_of(story)
    assert texts(story, account, rows) == []
    assert "counts" in texts(story, account, rows[1:])[0]
    assert any(
        "sending" in text for text in texts(story, account, [rows[0] | {"status": "sending"}])
    )
    assert "in doubt" in texts(story, replace(account, in_doubt=3), rows)[0]


def test_an_account_is_held_beside_kombo(story):
    """A link that Kombo made is in the account of the shard that sent it, and no other one."""
    account = story.accounts[0]
    story.sent.pop()
    assert "links of" in " ".join(texts(story, account, rows_of(story)))
    account.counts["tool:0"]["success"] = 0
    assert "are made" in " ".join(texts(story, account, rows_of(story)))


def test_a_row_that_no_shard_reads_is_lost(story):
    """A row of the day without a status is lost, if it was there when the shards began."""
    found = {one.result_id: one.kind for one in check_reached(story, story.accounts[0], [])}
    assert found == {row.result_id: LOST for row in PLAN.rows if row.result_id != "late"}


def test_a_row_of_another_shard_is_found(story):
    """A request of a shard for an integration of another one is a lie."""
    story.sent[0].target = ("tool:elsewhere", "candidate", "c0")
    story.sent[0].run = "night-0.shard1.1"
    assert {one.kind for one in check_shards(story)} == {LIE}


def test_a_target_by_chance_is_found(story):
    """A request for a result that had two targets is a lie."""
    story.sent.append(replace(story.sent[0], result_id="two"))
    assert [(one.kind, one.result_id) for one in check_shards(story)][-1] == (LIE, "two")


def test_an_integration_in_no_shard_or_in_two_is_found(story):
    """Each integration is in one shard."""
    plan = story.tries["night-0.plan.1"]
    shards = plan.shards
    plan.shards = shards[1:]
    assert LOST in {one.kind for one in check_shards(story)}
    plan.shards = [*shards, shards[0]]
    assert "twice" in {one.kind for one in check_shards(story)}


def test_nights_with_and_without_shards_are_drawn():
    """About two of five nights have shards, with late rows, second targets and clears."""
    plans = [plan_of(seed) for seed in range(1, 101)]
    divided = [plan for plan in plans if plan.shards]
    assert 25 < len(divided) < 55
    assert any(plan.clears for plan in divided)
    assert any(row.integration_id == "personio:late" for plan in divided for row in plan.rows)
    assert any(row.candidate_id == "second" for plan in divided for row in plan.rows)
    assert not any(run.shards for plan in plans if not plan.shards for run in plan.runs)
