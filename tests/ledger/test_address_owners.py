"""Results that once had a link with the address of a row in doubt."""

from __future__ import annotations

import pytest
from support.doubt import DOCUMENTS, NOTES, deliver, leave_in_doubt, let_pass, recipes_of, reconcile
from support.harness import by_result, run_day

TAKEN = {"result_url": "https://results.example/taken"}


@pytest.fixture
def doubt(warehouse, tables, source_table, standin):
    """Leave rows in doubt, and let the time pass."""

    def leave(**options):
        leave_in_doubt(warehouse, tables, source_table, standin, **options)
        let_pass(warehouse, tables)

    return leave


@pytest.fixture
def corrected(warehouse, tables, source_table):
    """Deliver a result with the address, and send the result again with another address."""

    def deliver_both(**columns):
        deliver(warehouse, tables, source_table, "before", **TAKEN, **columns)
        other = {"result_url": "https://results.example/new"}
        with warehouse.begin() as connection:
            connection.execute(source_table.update().values(**other))
        run_day(warehouse, tables, redeliver=frozenset({"changed"}))

    return deliver_both


def test_the_former_link_of_another_result_proves_nothing(
    warehouse, tables, doubt, corrected, standin, tmp_path
):
    """A corrected result leaves a link behind, and another result may take over the address."""
    standin.set_ats(default={"kept_as": "documents"})
    corrected(candidate_id="c1")
    doubt(not_made=["r1"], candidate_id="c1", **TAKEN)
    assert reconcile(warehouse, tables, recipes_of(tmp_path, DOCUMENTS)) == {"undecided": 1}
    assert by_result(warehouse, tables)["r1"].status == "unknown"


def test_the_former_link_on_another_application_of_the_candidate_proves_nothing(
    warehouse, tables, doubt, corrected, standin, tmp_path
):
    """A read of a candidate also shows what a corrected result left on another application."""
    standin.set_ats(
        default={"kept_as": "notes", "filed_under": "candidate"},
        candidates={"a1": "c1", "a2": "c1"},
    )
    corrected(application_id="a2")
    doubt(not_made=["r1"], application_id="a1", **TAKEN)
    assert reconcile(warehouse, tables, recipes_of(tmp_path, NOTES)) == {"undecided": 1}
    assert by_result(warehouse, tables)["r1"].status == "unknown"


def test_a_later_link_over_a_former_one_denies_nothing(
    warehouse, tables, doubt, corrected, source_table, standin, tmp_path
):
    """A former link with the address of a later one may be older than the copy."""
    standin.set_ats(default={"kept_as": "documents"})
    corrected(candidate_id="c1")
    doubt(not_made=["r1"], candidate_id="c1")
    deliver(warehouse, tables, source_table, "later", candidate_id="c1", **TAKEN)
    assert reconcile(warehouse, tables, recipes_of(tmp_path, DOCUMENTS)) == {"undecided": 1}
