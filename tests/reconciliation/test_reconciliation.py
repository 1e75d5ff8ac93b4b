"""Evidence: rows in doubt are settled by their links in the ATS, and by nothing less."""

from __future__ import annotations

import asyncio

import pytest
from support.doubt import (
    ACTIVITIES,
    DOCUMENTS,
    LOST,
    NOTES,
    READS,
    deliver,
    leave_in_doubt,
    let_pass,
    recipes_of,
    reconcile,
)
from support.harness import all_of, by_result, run_day, statuses

from airflow_kombo.ledger.doubtful_rows import DoubtfulRows
from airflow_kombo.ledger.evidence import Evidence, record_evidence
from airflow_kombo.ledger.unknown_rows import UnknownRowsFilter
from airflow_kombo.statuses import Decision

REFUSED = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}


@pytest.fixture(params=READS)
def kept_as(request, standin):
    """Let the ATS keep links in each of three ways."""
    standin.set_ats(default={"kept_as": request.param})
    return request.param


@pytest.fixture
def recipes(kept_as, tmp_path):
    return recipes_of(tmp_path, READS[kept_as])


@pytest.fixture
def day(warehouse, tables, source_table, standin):
    """Return functions on one warehouse with a source."""

    class Day:
        def doubt(self, **options):
            leave_in_doubt(warehouse, tables, source_table, standin, **options)

        def deliver(self, *result_ids, **columns):
            deliver(warehouse, tables, source_table, *result_ids, **columns)

        def let_pass(self, **options):
            let_pass(warehouse, tables, **options)

        def reconcile(self, recipes, *arguments, **options):
            return reconcile(warehouse, tables, recipes, *arguments, **options)

        def status(self, result_id="r1"):
            return by_result(warehouse, tables)[result_id].status

        def attempts(self, result_id="r1"):
            rows = all_of(warehouse, tables.attempts)
            return [one for one in rows if one.result_id == result_id]

        def run(self, **options):
            return run_day(warehouse, tables, **options)

        def count(self):
            return dict(statuses(warehouse, tables))

    return Day()


@pytest.mark.parametrize("target", ["candidate", "application"])
def test_rows_in_doubt_are_settled_by_their_links(day, recipes, standin, target):
    """A found link is `success`; an absent one beside a later link is made once."""
    columns = {"application_id": "a1"} if target == "application" else {}
    made, not_made = [f"m{one}" for one in range(5)], [f"n{one}" for one in range(5)]
    day.doubt(made=made, not_made=not_made, **columns)
    day.let_pass()
    day.deliver("later", **columns)
    assert day.reconcile(recipes) == {"created": 5, "not created": 5}
    assert {one: day.status(one) for one in made} == dict.fromkeys(made, "success")
    assert {one: day.status(one) for one in not_made} == dict.fromkeys(not_made, "retryable")
    day.run()
    assert day.count() == {"success": 11}
    assert {one["count"] for one in standin.links()} == {1}
    assert day.reconcile(recipes) == {}


@pytest.mark.parametrize("written_as", ["plain", "html", "percent"])
def test_an_address_counts_in_any_writing(day, standin, tmp_path, written_as):
    """An address counts as found with HTML's escapes and within another address."""
    standin.set_ats(default={"kept_as": "notes", "written_as": written_as})
    url = "https://results.example/r1?a=1&b=%C3%BC&c='x'"
    day.doubt(made=["r1"], result_url=url)
    day.let_pass()
    assert day.reconcile(recipes_of(tmp_path, NOTES)) == {"created": 1}


def test_the_history_has_the_evidence(day, recipes, kept_as):
    """An attempt has place and time of the look, and the later link beside a missed one."""
    day.doubt(made=["made"], not_made=["not-made"])
    day.let_pass()
    day.deliver("later")
    day.reconcile(recipes)
    (made,), (not_made,) = day.attempts("made"), day.attempts("not-made")
    assert (made.status, made.resolution, made.resolved_by) == ("unknown", "created", "test")
    assert made.evidence == made.resolution_reason
    assert made.evidence.startswith("Found by GET ")
    assert not_made.resolution == "not created"
    assert "later link was: that of later" in not_made.evidence
    assert not_made.evidence_at is not None


def test_nothing_is_denied_without_a_later_link(day, recipes):
    """Without a later link, an absent link proves nothing."""
    day.deliver("earlier")
    day.let_pass()
    day.doubt(not_made=["r1"])
    day.let_pass()
    assert day.reconcile(recipes) == {"undecided": 1}
    assert day.status() == "unknown"
    assert "No later link" in day.attempts()[0].evidence


def test_a_later_link_of_another_kind_of_target_proves_nothing(day, recipes):
    """The later link has to be on the same kind of target, of the same integration."""
    day.doubt(not_made=["r1"])
    day.let_pass()
    day.deliver("other-kind", application_id="a1")
    day.deliver("other-integration", integration_id="workday:two")
    assert day.reconcile(recipes) == {"undecided": 1}


def test_a_link_that_was_sent_before_the_time_limit_proves_nothing(day, recipes):
    """The later link was sent when Kombo could not carry out the row in doubt any more."""
    day.doubt(not_made=["r1"])
    day.let_pass(seconds=400)
    day.deliver("too-early")
    day.let_pass(seconds=600)
    assert day.reconcile(recipes) == {"undecided": 1}


def test_nothing_is_looked_for_before_the_time_limit(day, recipes, standin):
    """A row is left alone while Kombo may still carry out the request."""
    day.doubt(made=["r1"])
    day.let_pass(seconds=400)
    assert day.reconcile(recipes) == {"not due": 1}
    assert standin.stats()["reads"] == 0
    day.let_pass(seconds=30)
    assert day.reconcile(recipes) == {"created": 1}


def test_a_synced_system_denies_after_a_sync_that_brought_a_later_link(day, standin, tmp_path):
    """An absent link proves nothing until a sync has brought a later link."""
    standin.set_ats(default={"kept_as": "notes", "sync_seconds": None})
    recipes = recipes_of(tmp_path, NOTES)
    day.doubt(made=["made"], not_made=["not-made"])
    day.let_pass()
    standin.sync()
    day.deliver("later")
    assert day.reconcile(recipes) == {"created": 1, "undecided": 1}
    standin.sync()
    assert day.reconcile(recipes, look_again=True) == {"not created": 1}


def test_a_row_is_read_after_its_control(day, standin, tmp_path):
    """A sync right before the control is found has brought the row in doubt, too."""
    standin.set_ats(default={"kept_as": "notes", "sync_seconds": None})
    day.doubt(made=["made"])
    day.let_pass()
    day.deliver("later")
    reads = []

    class Syncing:
        """Client with a sync right before each read for the control."""

        def __init__(self, client):
            self._client = client

        async def read(self, read):
            reads.append(read)
            if "later" in str(read.params):
                await asyncio.to_thread(standin.sync)
            return await self._client.read(read)

    recipes = recipes_of(tmp_path, NOTES)
    assert day.reconcile(recipes, wrap=Syncing) == {"created": 1}
    assert len(reads) > 1


def test_a_recipe_that_is_not_sure_denies_nothing(day, kept_as, tmp_path):
    """An inferred recipe finds links, and leaves absent ones in doubt."""
    sure = {"source": "inferred", "when_absent": None}
    recipes = recipes_of(tmp_path, READS[kept_as], **sure)
    day.doubt(made=["made"], not_made=["not-made"])
    day.let_pass()
    day.deliver("later")
    assert day.reconcile(recipes) == {"created": 1, "undecided": 1}
    assert "may not deny" in day.attempts("not-made")[0].evidence


def test_a_link_proves_nothing_for_one_of_two_attempts(day, recipes, standin):
    """A link of either of two attempts leaves the row in doubt."""
    day.doubt(made=["r1"])
    standin.add_rule(LOST, effect="none")
    day.run(redeliver=frozenset({"unknown"}))
    day.let_pass()
    assert day.reconcile(recipes) == {"undecided": 1}
    assert "may have made it" in day.attempts()[-1].evidence


def test_two_attempts_without_a_link_are_denied_together(day, recipes, standin):
    """An absent link denies all attempts of a row."""
    day.doubt(not_made=["r1"])
    standin.add_rule(LOST, effect="none")
    day.run(redeliver=frozenset({"unknown"}))
    standin.clear_rules()
    day.let_pass()
    day.deliver("later")
    assert day.reconcile(recipes) == {"not created": 1}
    assert [one.resolution for one in day.attempts()] == ["not created"] * 2


@pytest.mark.parametrize("answer", [LOST, REFUSED], ids=["in doubt", "refused"])
def test_a_target_says_nothing_of_an_attempt_on_another_one(
    warehouse, source_table, day, recipes, standin, answer
):
    """A row whose attempt in doubt is on an earlier target stays in doubt."""
    day.doubt(made=["r1"], candidate_id="c1")
    with warehouse.begin() as connection:
        connection.execute(source_table.update().values(candidate_id="c2"))
    standin.add_rule(answer, effect="none")
    day.run(redeliver=frozenset({"unknown"}))
    standin.clear_rules()
    day.let_pass()
    day.deliver("later")
    assert len(day.attempts()) == 2
    assert day.reconcile(recipes) == {"no address": 1}
    assert day.status() == "unknown"


def test_the_link_of_an_earlier_attempt_proves_nothing(day, recipes, standin):
    """A redelivery in doubt stays so: the first attempt's link is found."""
    day.deliver("r1")
    standin.add_rule(LOST, effect="none")
    day.run(redeliver=frozenset({"success"}))
    standin.clear_rules()
    day.let_pass()
    day.deliver("later")
    assert day.reconcile(recipes) == {"undecided": 1}
    assert day.status() == "unknown"


def test_the_link_of_another_result_of_the_candidate_proves_nothing(day, standin, tmp_path):
    """Two results with one address, on two applications of one candidate, are not told apart."""
    standin.set_ats(
        default={"kept_as": "notes", "filed_under": "candidate"},
        candidates={"a1": "c1", "a2": "c1"},
    )
    shared = {"result_url": "https://results.example/overview"}
    day.doubt(not_made=["r1"], application_id="a1", **shared)
    day.deliver("r2", application_id="a2", **shared)
    day.let_pass()
    assert day.reconcile(recipes_of(tmp_path, NOTES)) == {"undecided": 1}
    assert day.status() == "unknown"


def test_a_row_whose_address_is_masked_stays_in_doubt(warehouse, tables, day, recipes):
    """Without the address nothing can be looked for."""
    day.doubt(made=["r1"])
    day.let_pass()
    with warehouse.begin() as connection:
        connection.execute(tables.attempts.update().values(request='{"url": "***"}'))
    assert day.reconcile(recipes) == {"no address": 1}


def test_a_similar_address_neither_finds_nor_denies(day, recipes, standin):
    """A longer address is another one, or the same one changed."""
    day.doubt(not_made=["r1"], candidate_id="c1")
    day.let_pass()
    day.deliver("r11", candidate_id="c1")
    day.deliver("later")
    assert day.reconcile(recipes) == {"undecided": 1}
    assert "Another form" in day.attempts()[0].evidence


def test_reads_that_fail_are_tried_again(day, kept_as, recipes, standin):
    """A share of failing reads costs time, and no truth."""
    made, not_made = [f"m{one}" for one in range(6)], [f"n{one}" for one in range(6)]
    day.doubt(made=made, not_made=not_made)
    day.let_pass()
    day.deliver("later")
    standin.set_ats(default={"kept_as": kept_as, "failing_reads": 0.2}, seed=1)
    for _ in range(5):
        day.reconcile(recipes, look_again=True)
    assert {day.status(one) for one in made} <= {"success", "unknown"}
    assert {day.status(one) for one in not_made} <= {"retryable", "unknown"}
    assert day.count()["retryable"] == 6


@pytest.mark.parametrize("kept", ["documents", "activities"])
def test_a_live_system_settles_nearly_all_rows_within_ten_minutes(day, standin, tmp_path, kept):
    """Ten minutes after Kombo's limit, two looks have settled 95 % of the rows in doubt."""
    standin.set_ats(default={"kept_as": kept, "appears_after": [0, 0.2]}, seed=1)
    integrations = [f"workday:{one}" for one in range(10)]
    for one in integrations:
        day.doubt(made=[f"{one}-m{n}" for n in (1, 2)], integration_id=one)
        day.doubt(not_made=[f"{one}-n{n}" for n in (1, 2)], integration_id=one)
    day.let_pass(seconds=430)
    for one in integrations:
        day.deliver(f"{one}-later", integration_id=one)
    standin.set_ats(default={"kept_as": kept, "failing_reads": 0.1}, seed=1)
    recipes = recipes_of(tmp_path, READS[kept])
    day.reconcile(recipes)
    day.let_pass(seconds=300)
    day.reconcile(recipes)
    assert day.count().get("unknown", 0) <= 2
    assert {day.status(f"{one}-m1") for one in integrations} <= {"success", "unknown"}
    assert {day.status(f"{one}-n1") for one in integrations} <= {"retryable", "unknown"}


def test_an_integration_without_the_permission_is_named_once(
    day, kept_as, recipes, standin, caplog
):
    """Rows stay in doubt where nothing may be read, and one line says so."""
    day.doubt(made=[f"r{one}" for one in range(5)])
    day.let_pass()
    standin.set_ats(default={"kept_as": kept_as, "may_read": False})
    assert day.reconcile(recipes) == {"unreadable": 5}
    named = [one for one in caplog.messages if "INTEGRATION.PERMISSION_MISSING" in one]
    assert len(named) == 1


def test_a_target_that_is_not_tracked_stays_in_doubt(day, standin, tmp_path):
    """A row without a tracked target proves nothing."""
    standin.set_ats(default={"kept_as": "activities"}, untracked_ids=["candidate-r1"])
    day.doubt(made=["r1"])
    day.let_pass()
    assert day.reconcile(recipes_of(tmp_path, ACTIVITIES)) == {"undecided": 1}
    assert "does not track" in day.attempts()[0].evidence


def test_pages_that_were_not_read_deny_nothing(day, standin, tmp_path):
    """A recipe without further pages finds links, and denies nothing."""
    standin.set_ats(default={"kept_as": "activities", "per_page": 1})
    day.doubt(not_made=["r1"], candidate_id="c1")
    day.let_pass()
    day.deliver("later1", candidate_id="c1")
    day.deliver("later2", candidate_id="c1")
    recipes = recipes_of(tmp_path, ACTIVITIES, next_param=None)
    assert day.reconcile(recipes) == {"undecided": 1}
    assert "more pages" in day.attempts()[0].evidence
    assert day.reconcile(recipes_of(tmp_path, ACTIVITIES), look_again=True) == {"not created": 1}


def test_a_row_is_looked_for_ever_more_rarely(day, standin, tmp_path):
    """A row in doubt is looked for again a quarter of the age later."""
    standin.set_ats(default={"kept_as": "documents"})
    recipes = recipes_of(tmp_path, DOCUMENTS)
    day.doubt(not_made=["r1"])
    day.let_pass(seconds=4000)
    assert day.reconcile(recipes) == {"undecided": 1}
    assert day.reconcile(recipes) == {"not due": 1}
    day.let_pass(seconds=900)
    assert day.reconcile(recipes) == {"not due": 1}
    day.let_pass(seconds=200)
    assert day.reconcile(recipes) == {"undecided": 1}


def test_a_dry_run_writes_nothing(day, recipes):
    """A dry run looks, and counts."""
    day.doubt(made=["r1"])
    day.let_pass()
    assert day.reconcile(recipes, dry_run=True) == {"created": 1}
    assert day.status() == "unknown"
    assert day.attempts()[0].evidence is None


def test_only_chosen_rows_are_looked_for(day, recipes):
    """A filter of rows holds here as for a person's decisions."""
    day.doubt(made=["r1", "r2"])
    day.let_pass()
    assert day.reconcile(recipes, UnknownRowsFilter(result_ids=("r2",))) == {"created": 1}
    assert (day.status("r1"), day.status("r2")) == ("unknown", "success")


def test_a_row_that_changed_meanwhile_is_left(warehouse, tables, day, recipes, source_table):
    """A row sent again during the look keeps the new status."""
    day.doubt(made=["r1"])
    day.let_pass()
    with warehouse.begin() as connection:
        connection.execute(tables.links.update().values(attempts=2))
    rows = DoubtfulRows(warehouse, tables, "url")
    (page,) = rows.pages(rows.groups()[0], UnknownRowsFilter())
    with warehouse.begin() as connection:
        connection.execute(tables.links.update().values(attempts=3))
    evidence = [Evidence(one, "Found.", Decision.CREATED) for one in page.rows]
    assert record_evidence(warehouse, tables, evidence, "test") == []
    assert day.status() == "unknown"
