"""Planted mistakes, each to be shown by a night.

The mistake is planted in the text of a shipped module while Python imports it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Final, NamedTuple


class Mutant(NamedTuple):
    """A mistake.

    :param old: Text that stands once in the module.
    :param seed: A seed that shows it, which is tried first.
    :param also: Modules, texts and new texts of the mistake's other parts, where two mechanisms
        keep one promise.
    """

    name: str
    module: str
    old: str
    new: str
    seed: int = 0
    also: tuple[tuple[str, str, str], ...] = ()

    @property
    def changes(self) -> dict[str, tuple[str, str]]:
        """Return the texts and new texts by module."""
        parts = ((self.module, self.old, self.new), *self.also)
        return {f"airflow_kombo.{module}": (old, new) for module, old, new in parts}


MUTANTS: Final = (
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
        seed=137,
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
        seed=15,
    ),
    Mutant(
        "what may exist is forgotten after a refusal",
        "ledger.history",
        "    if in_doubt := [one for one in earlier if may_have_been_created(one)]:",
        "    if in_doubt := []:",
        seed=20,
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
        "self._sent_already(connection, known, run_id, requests) if redeliver else ()",
        "()",
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
        seed=5,
    ),
    Mutant(
        "a claim without a confirmation is sent",
        "delivery.claimer",
        "            failed, unconfirmed = LedgerError(str(error)), error.claims\n",
        "            return Claims(error.claims)\n",
        seed=6,
    ),
    Mutant(
        "waiting claims stay when a run stops",
        "delivery.integration_sender",
        "await self._unsent.release(claims, self._end.reason)",
        "self.counts.add(Status.RETRYABLE, len(claims))",
        seed=9,
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
        seed=5,
    ),
    Mutant(
        "rows of a failing integration are failed",
        "delivery.sending_end",
        "Status.RETRYABLE, ErrorCode.INTEGRATION_FAILING.value",
        "Status.FAILED, ErrorCode.INTEGRATION_FAILING.value",
        seed=147,
    ),
)


class _Loader(SourceFileLoader):
    """Loader of a module with a mistake."""

    mutant: Mutant

    def get_code(self, fullname: str) -> CodeType:
        old, new = self.mutant.changes[fullname]
        source = self.get_data(self.path).decode()
        if source.count(old) != 1:
            raise ImportError(f"{self.mutant.name}: its text does not stand once in {fullname}")
        mutated = source.replace(old, new)
        return compile(mutated, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002 - the base's
    ) -> ModuleSpec | None:
        if fullname not in self._mutant.changes:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec and spec.origin:
            spec.loader = _Loader(fullname, spec.origin)
            spec.loader.mutant = self._mutant
        return spec


def plant(name: str) -> Mutant:
    """Plant a mistake in the package before any import, and return the mistake."""
    if any(module.startswith("airflow_kombo.") for module in sys.modules):
        raise RuntimeError("The package is imported already.")
    mutant = next(one for one in MUTANTS if one.name == name)
    sys.meta_path.insert(0, _Finder(mutant))
    return mutant
