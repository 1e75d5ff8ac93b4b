"""Person with decisions about `unknown` rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from greenlet import GreenletExit

from airflow_kombo.exceptions import KomboError
from airflow_kombo.ledger.decisions import DecisionBy
from airflow_kombo.ledger.unknown_rows import UnknownRows, UnknownRowsFilter
from airflow_kombo.statuses import Decision
from tools.nights.kombo import LONGEST_SECONDS
from tools.nights.plan import PlannedDecision
from tools.nights.process import Process
from tools.nights.stage import Stage
from tools.nights.story import Decided, Story
from tools.nights.world import World


class Person:
    """Person with Kombo's logs, read or not."""

    def __init__(self, world: World, stage: Stage, story: Story) -> None:
        self._world = world
        self._stage = stage
        self._story = story

    def decide(self, planned: PlannedDecision, then: Callable[[], None] | None = None) -> None:
        """Decide about all rows with the status `unknown`.

        Rows of requests that Kombo may still carry out are left for later.

        :param then: Called when the decisions are written.
        """
        words: dict[str, list[str]] = {"created": [], "not created": []}
        for result_id in self._unknown_results():
            sent = [one for one in self._story.sent if one.result_id == result_id]
            if planned.careless:
                words[planned.careless].append(result_id)
            elif all(self._world.now - one.at > LONGEST_SECONDS + 10 for one in sent):
                made = any(one.made_at is not None for one in sent)
                words["created" if made else "not created"].append(result_id)
        self._write(words, is_careless=bool(planned.careless), then=then)

    def _unknown_results(self) -> list[str]:
        with closing(self._stage.look()) as connection:
            found = connection.execute(
                "SELECT result_id FROM kombo_result_links WHERE status = 'unknown' ORDER BY 1"
            )
            return [row["result_id"] for row in found]

    def _write(
        self, words: dict[str, list[str]], *, is_careless: bool, then: Callable[[], None] | None
    ) -> None:
        """Write decisions in a process, as the dag does."""
        name = f"person.{len(self._world.processes)}"

        async def write() -> None:
            unknown = UnknownRows(self._stage.engine, self._stage.tables)
            for word, result_ids in words.items():
                if result_ids:
                    self._keep(word, result_ids, is_careless=is_careless)
                    choice = UnknownRowsFilter(result_ids=tuple(result_ids))
                    decision = DecisionBy(Decision(word), "looked it up", "ada")
                    for _ in unknown.decide(choice, decision):
                        pass

        def end(error: BaseException | None) -> None:
            self._world.record(f"{name} has decided {words}{f': {error}' if error else ''}")
            if error and not isinstance(error, (KomboError, GreenletExit)):
                self._story.bugs.append(f"{name} ended with {type(error).__name__}: {error}")
            if then:
                self._world.soon(then)

        Process(self._world, name, write, end)

    def _keep(self, word: str, result_ids: list[str], *, is_careless: bool) -> None:
        """Keep decisions in the story."""
        self._story.decided += [
            Decided(self._world.now, one, word, is_careless) for one in result_ids
        ]
