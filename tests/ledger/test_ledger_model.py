"""The ledger compared with a model: claims, outcomes, crashes and reruns in any order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete
from support.harness import all_of, by_result, delivery
from support.quick import examples

from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.decisions import DecisionBy
from airflow_kombo.ledger.held_rows import LockTolerantLedger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome, UnsentRow
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.unknown_rows import UnknownRows, UnknownRowsFilter
from airflow_kombo.statuses import DECIDED, Decision, Status

NAMES = [f"r{number}" for number in range(4)]
REDELIVERED = st.sets(st.sampled_from(["success", "unknown", "failed"]))
RESPONSES = st.sampled_from(["success", "failed", "retryable", "blocked", "unknown"])


class World(RuleBasedStateMachine):
    """Runs that claim, record, die and are settled, and a person who decides.

    The model has the expected status of each row, and of each attempt.
    """

    def __init__(self, engine, tables):
        super().__init__()
        self.engine, self.tables = engine, tables
        with engine.begin() as connection:
            for table in (tables.links, tables.attempts, tables.runs):
                connection.execute(delete(table))
        self.ledger = LockTolerantLedger(Ledger(self.engine, self.tables))
        self.runs = Runs(self.engine, self.tables, dead_after=0.0)  # the rules choose the dead runs
        self.living, self.dead = [], []
        self.wire = []  # claims whose request may have left
        self.status = dict.fromkeys(NAMES)  # the expected status
        self.attempts = dict.fromkeys(NAMES, 0)
        self.recorded = {}  # by row and attempt: the expected status
        self.decided = {}  # by row and attempt: the decision
        self.left_out = set()
        self.before = {}  # by row and attempt: the status after a release
        self.senders = {}  # by row and attempt: the run
        self.started = 0

    @rule()
    def start(self):
        self.started += 1
        self.living.append(f"run{self.started}")
        self.runs.start(Run(self.living[-1]))

    @precondition(lambda self: self.living)
    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1), again=REDELIVERED, data=st.data())
    def claim(self, names, again, data):
        run_id = data.draw(st.sampled_from(self.living))
        claims = self.ledger.claim(run_id, [self.row(name) for name in names], again)
        won = {claim.key.result_id for claim in claims.won}
        assert won == {name for name in names if self.may_be_sent(name, run_id, again)}
        for claim in claims.won:
            name = claim.key.result_id
            self.attempts[name] += 1
            attempt = name, self.attempts[name]
            self.before[attempt], self.senders[attempt] = self.status[name], run_id
            self.status[name], self.recorded[attempt] = "sending", None
            self.wire.append(claim)

    def may_be_sent(self, name, run_id, again):
        """Return True if a run may claim a row: without a link, or redelivered once by each run."""
        if name in self.left_out:
            return False
        if self.status[name] in {None, "retryable", "blocked"}:
            return True
        sent = any(
            self.recorded[attempt] not in {"retryable", "blocked"}
            for attempt in self.attempts_of(name)
            if self.senders[attempt] == run_id
        )
        return self.status[name] in again and not sent

    def attempts_of(self, name):
        return sorted(attempt for attempt in self.recorded if attempt[0] == name)

    def made(self, attempt):
        decided = self.recorded[attempt] == "unknown" and self.decided.get(attempt) == "created"
        return decided or self.recorded[attempt] == "success"

    def in_doubt(self, attempt):
        return self.recorded[attempt] in {None, "unknown"} and attempt not in self.decided

    def standing(self, status, others):
        """Return the status of a row by the newest attempt and the others."""
        if status in {"success", "unknown"}:
            return status
        if any(map(self.made, others)):
            return "success"
        return "unknown" if any(map(self.in_doubt, others)) else status

    def by_history(self, name):
        *others, newest = self.attempts_of(name)
        if self.made(newest):
            return "success"
        known = "unknown" if self.in_doubt(newest) else self.recorded[newest]
        decided = known == "unknown" and not self.in_doubt(newest)
        return self.standing("retryable" if decided else known, others)

    @precondition(lambda self: self.wire)
    @rule(response=RESPONSES, data=st.data())
    def respond(self, response, data):
        claim = data.draw(st.sampled_from(self.wire))
        self.wire.remove(claim)
        self.ledger.record([AttemptOutcome(claim, RowOutcome(Status(response)))])
        name = claim.key.result_id
        attempt = name, claim.attempt
        others = [one for one in self.attempts_of(name) if one != attempt]
        self.recorded[attempt] = response
        is_newest = claim.attempt == self.attempts[name]
        if is_newest and self.status[name] in {"sending", "unknown"}:
            self.status[name] = self.standing(response, others)
        elif response != "unknown" and self.status[name] != "sending":
            self.record_late(attempt, response, others)

    def record_late(self, attempt, response, others):
        name, number = attempt
        if self.status[name] == "unknown":
            if not self.in_doubt((name, self.attempts[name])):
                self.status[name] = "success" if response == "success" else self.by_history(name)
        elif response == "success":
            self.status[name] = response  # the link exists, so it is not sent again
        elif number == self.attempts[name] and attempt in self.decided:
            alone = not {self.recorded[one] for one in others} & {"success", "unknown"}
            self.status[name] = response if alone else self.status[name]

    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1))
    def leave_out(self, names):
        """Leave rows out for good: each that has a status and is not being sent."""
        open_to = {
            name for name in names - self.left_out if self.status[name] not in {None, "sending"}
        }
        assert self.decided_rows(names, Decision.LEAVE_OUT) == len(open_to)
        self.left_out |= open_to

    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1))
    def take_back(self, names):
        assert self.decided_rows(names, Decision.TAKE_BACK) == len(names & self.left_out)
        self.left_out -= names

    def decided_rows(self, names, decision):
        by_somebody = DecisionBy(decision, "looked it up", "somebody")
        rows = UnknownRows(self.engine, self.tables)
        return sum(rows.decide(UnknownRowsFilter(result_ids=tuple(names)), by_somebody))

    @rule(
        names=st.sets(st.sampled_from(NAMES), min_size=1),
        decision=st.sampled_from([Decision.CREATED, Decision.NOT_CREATED]),
    )
    def decide(self, names, decision):
        doubtful = {name for name in names if self.status[name] == "unknown"}
        assert self.decided_rows(names, decision) == len(doubtful)
        for name in doubtful:
            attempts = self.attempts_of(name)
            in_doubt = {one for one in attempts if self.in_doubt(one)}
            made = any(map(self.made, attempts))
            self.decided |= dict.fromkeys(in_doubt, decision.value)
            is_made = decision is Decision.CREATED or made
            self.status[name] = "success" if is_made else DECIDED[decision].value

    @precondition(lambda self: self.wire and not self.dead)
    @rule(data=st.data())
    def release(self, data):
        claim = data.draw(st.sampled_from(self.wire))
        self.wire.remove(claim)
        self.ledger.release([claim], RowOutcome(Status.RETRYABLE))
        name = claim.key.result_id
        attempt = name, claim.attempt
        del self.recorded[attempt]
        self.attempts[name] -= 1
        self.status[name] = self.before[attempt] or "retryable"
        if self.status[name] == "unknown" and not any(map(self.in_doubt, self.attempts_of(name))):
            self.status[name] = self.by_history(name)

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def die(self, data):
        """Lose a process. Its late responses may still come, as after a pause."""
        run_id = data.draw(st.sampled_from(self.living))
        self.living.remove(run_id)
        self.dead.append(run_id)

    @precondition(lambda self: self.dead)
    @rule()
    def settle(self):
        settled = self.runs.settle(self.dead)
        doubtful = {
            claim.key.result_id
            for claim in self.wire
            if claim.run_id in self.dead
            and self.status[claim.key.result_id] == "sending"
            and claim.attempt == self.attempts[claim.key.result_id]
        }
        assert {row.key.result_id for row in settled if row.status == "unknown"} == doubtful
        self.status |= dict.fromkeys(doubtful, "unknown")
        self.recorded |= {(name, self.attempts[name]): "unknown" for name in doubtful}
        for run_id in self.dead:
            try:
                self.ledger.claim(run_id, [self.row(NAMES[0])])
            except LedgerError:
                continue
            raise AssertionError("a run that was declared dead claimed a row")

    @precondition(lambda self: self.living)
    @rule(name=st.sampled_from(NAMES))
    def record_unsent(self, name):
        blocked = RowOutcome(Status.BLOCKED)
        self.ledger.record_unsent(self.living[0], [UnsentRow(self.row(name).key, None, blocked)])
        if self.status[name] in {None, "retryable", "blocked"} and name not in self.left_out:
            self.status[name] = "blocked"

    @invariant()
    def the_table_has_the_expected_statuses(self):
        links = by_result(self.engine, self.tables)
        assert {
            name: links[name].status if name in links else None for name in NAMES
        } == self.status

    @invariant()
    def every_post_has_its_attempt(self):
        attempts = all_of(self.engine, self.tables.attempts)
        assert {(one.result_id, one.attempt): one.status for one in attempts} == self.recorded
        decided = {(one.result_id, one.attempt): one.resolution for one in attempts}
        assert {one: by for one, by in decided.items() if by} == self.decided

    @invariant()
    def no_row_with_a_possible_link_is_sent_by_itself(self):
        for name in NAMES:
            if self.status[name] in {"retryable", "blocked", "failed"}:
                assert not any(
                    self.made(one) or self.in_doubt(one) for one in self.attempts_of(name)
                )

    @staticmethod
    def row(name):
        return delivery(name, target_id=name)


@pytest.mark.parametrize("warehouse", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_any_order_of_events_keeps_the_promise(warehouse, tables):
    """In any order of events, one run sends each row, and each status is true."""
    once = settings(max_examples=examples(40), stateful_step_count=30, deadline=None)
    run_state_machine_as_test(lambda: World(warehouse, tables), settings=once)
