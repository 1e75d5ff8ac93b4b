"""Planted mistakes, each to be shown by a night."""

from __future__ import annotations

from typing import Final

from tools.nights.evidence_mutants import OF_EVIDENCE
from tools.nights.planting import Mutant
from tools.nights.shard_mutants import OF_SHARDS

_OF_DELIVERY: Final = (
    Mutant(
        "an unknown code is tried again",
        "kombo_api.verdicts",
        "VERDICTS.get(result.error_code, Verdict.UNKNOWN)",
        "VERDICTS.get(result.error_code, Verdict.RETRY)",
        seed=6,
    ),
    Mutant(
        "another server's 2xx is a success",
        "kombo_api.verdicts",
        "agrees = result.succeeded and kind == 2",
        "agrees = kind == 2",
        seed=54,
    ),
    Mutant(
        "a success with another status is a success",
        "kombo_api.verdicts",
        "agrees = result.succeeded and kind == 2",
        "agrees = result.succeeded or result.from_kombo",
        seed=9,
    ),
    Mutant(
        "a lost response is tried again",
        "kombo_api.verdicts",
        "Verdict.RETRY if isinstance(result, NotSentError) else Verdict.UNKNOWN",
        "Verdict.RETRY",
        seed=2,
    ),
    Mutant(
        "a 503 that speaks of a reset is tried again",
        "kombo_api.verdicts",
        "Verdict.UNKNOWN if response.may_have_arrived else Verdict.RETRY",
        "Verdict.RETRY",
        seed=9,
    ),
    Mutant(
        "a server on the way that gave up is tried again",
        "kombo_api.verdicts",
        "frozenset({408, 499})",
        "frozenset()",
        seed=22,
    ),
    Mutant(
        "an empty 2xx of another server is a success",
        "kombo_api.response",
        "and not body and any(map(headers.get, _LIMIT_HEADERS))",
        "and not body",
        seed=7,
    ),
    Mutant(
        "a request that left counts as not sent",
        "kombo_api.client",
        "if body is None or not body.was_asked_for:",
        "if True:",
        seed=2,
    ),
    Mutant(
        "a request leaves without a claim",
        "ledger.claims",
        "            _write_claims(connection, self._sql, known, claims, self.redact)\n",
        "",
        seed=1,
    ),
    Mutant(
        "a claim takes what another run sends",
        "ledger.claim_rules",
        "if known is None or known.status in SENT_AGAIN or known.status in redeliver:",
        "if known is None or known.status not in ('success', 'failed', 'unknown', 'invalid'):",
        seed=7,
    ),
    Mutant(
        "what a redelivery refuses loses its link",
        "ledger.history",
        "    if made := [one for one in earlier if _was_created(one)]:",
        "    if made := []:",
        seed=13,
    ),
    Mutant(
        "what may exist is forgotten after a refusal",
        "ledger.history",
        "    if in_doubt := [one for one in earlier if may_have_been_created(one)]:",
        "    if in_doubt := []:",
        seed=22,
    ),
    Mutant(
        "a late response is ignored",
        "ledger.outcome_recording",
        "        record_late_responses(connection, tables, rows)\n",
        "        pass\n",
        also=(
            (
                "ledger.statements",
                "links.c.status == Status.SENDING.value, links.c.status == Status.UNKNOWN.value",
                "links.c.status == Status.SENDING.value",
            ),
        ),
        seed=2,
    ),
    Mutant(
        "a claim that is given back becomes retryable",
        "ledger.statement_rows",
        "        values = {name: getattr(before, name) for name in names}\n",
        "        values = {name: getattr(before, name) for name in names} | outcome.values\n",
        seed=171,
    ),
    Mutant(
        "a redelivery is sent again by a retry",
        "ledger.claims",
        "self._own_attempts(connection, known, run_id, requests) if redeliver else {}",
        "{}",
        seed=17,
    ),
    Mutant(
        "a changed target is sent again",
        "ledger.claim_rules",
        "            if not may_follow(before, redeliver):",
        "            if False:",
        seed=1,
    ),
    Mutant(
        "a result in doubt follows its target as a delivered one does",
        "ledger.claim_rules",
        "    if bound.status == Status.SUCCESS.value:\n        words.add",
        "    if bound.status != Status.SENDING.value:\n        words.add",
        seed=44,
    ),
    Mutant(
        "a dead run sends",
        "delivery.liveness",
        "return clock() - self._last_beat < self._may_send_for",
        "return True",
        seed=76,
    ),
    Mutant(
        "a body leaves without a last question",
        "kombo_api.aiohttp_payload",
        "if not self._may_leave():",
        "if False:",
        seed=2,
    ),
    Mutant(
        "a dead run's rows are sent again",
        "ledger.settling",
        '"status": Status.UNKNOWN.value,',
        '"status": Status.RETRYABLE.value,',
        seed=2,
    ),
    Mutant(
        "a living run's rows are settled as a dead one's",
        "delivery.dead_runs",
        "if seconds >= self._runs.dead_after}",
        "if seconds >= 0}",
        also=(
            (
                "ledger.runs",
                "< timedelta(seconds=self.dead_after)",
                "< timedelta(0)",
            ),
        ),
        seed=8,
    ),
    Mutant(
        "dead runs are not settled",
        "delivery.dead_runs",
        "settled = await self._threads.run(self._runs.settle, dead)",
        "settled = list[LeftRow]()",
        seed=7,
    ),
    Mutant(
        "a claim without a confirmation is sent",
        "delivery.claimer",
        "            failed, unconfirmed = LedgerError(str(error)), error.claims\n",
        "            return Claims(error.claims)\n",
        seed=20,
    ),
    Mutant(
        "waiting claims stay when a run stops",
        "delivery.integration_sender",
        "await self._unsent.release(claims, self._end.reason)",
        "self.counts.add(Status.RETRYABLE, len(claims))",
        seed=18,
    ),
    Mutant(
        "an outcome is written once",
        "delivery.outcome_writer",
        "stop=stop_after_delay(self._give_up_after)",
        "stop=stop_after_delay(0)",
        seed=80,
    ),
    Mutant(
        "an unknown row is sent again in the run",
        "delivery.retry_queue",
        "frozenset({Verdict.WAIT, Verdict.RETRY})",
        "frozenset({Verdict.WAIT, Verdict.RETRY, Verdict.UNKNOWN})",
        seed=2,
    ),
    Mutant(
        "a retry is forgotten",
        "delivery.retry_queue",
        "        self.put(request, now + pause)\n",
        "",
        seed=26,
    ),
    Mutant(
        "rows of a failing integration are failed",
        "delivery.sending_end",
        "Status.RETRYABLE, ErrorCode.INTEGRATION_FAILING.value",
        "Status.FAILED, ErrorCode.INTEGRATION_FAILING.value",
        seed=147,
    ),
    Mutant(
        "a redelivery sends rows of any status",
        "ledger.claim_rules",
        "if known is None or known.status in SENT_AGAIN or known.status in redeliver:",
        "if known is None or known.status in SENT_AGAIN or (\n"
        "        redeliver and known.status != 'sending'\n"
        "    ):",
        seed=1,
    ),
    Mutant(
        "a redelivery of changed rows sends unchanged ones",
        "ledger.claim_rules",
        "        return known.request_hash != request.request_hash\n",
        "        return True\n",
        seed=1,
    ),
)

MUTANTS: Final = (*_OF_DELIVERY, *OF_SHARDS, *OF_EVIDENCE)
