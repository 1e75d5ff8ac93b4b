"""Looks for links of rows in doubt: the shipped reconciliation in processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from greenlet import GreenletExit

from airflow_kombo.exceptions import KomboError
from airflow_kombo.kombo_api.api_check import check_api
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.ledger.doubtful_rows import DoubtfulRows
from airflow_kombo.ledger.unknown_rows import UnknownRowsFilter
from airflow_kombo.reconciliation.recipes import Recipe, Recipes
from airflow_kombo.reconciliation.reconciliation import Reconciliation, Settings
from tools.nights.accidents import Accidents
from tools.nights.planned_evidence import LAST_LOOK, KeptAs, PlannedLook, PlannedRecipe
from tools.nights.process import Process
from tools.nights.stage import Stage
from tools.nights.story import Look, Story
from tools.nights.world import World

BY: Final = "kombo_reconcile"
"""Name that evidence has in the history."""
_PASSED_THROUGH: Final = {"lists": ["activities"], "texts": ["body"], "next": "paging.next"}
_NOTES: Final = {
    "get": "/ats/notes",
    "params": {"candidate_ids": "{candidate_id}", "page_size": "250"},
    "lists": ["results"],
    "texts": ["content_html"],
    "next": "next",
    "next_param": "cursor",
}
_ACTIVITIES: Final = (
    {
        "path": "/candidates/{candidate_remote_id}/activities",
        "params": {"limit": "100"},
    },
    {
        "method": "POST",
        "path": "/activities.list",
        "data": {"candidate": "{candidate_remote_id}", "limit": 100},
    },
)


class Looks:
    """The looks of a night.

    :param look: Called with a name of the moment, whenever a process has ended.
    """

    def __init__(
        self,
        world: World,
        stage: Stage,
        story: Story,
        accidents: Accidents,
        look: Callable[[str], None],
    ) -> None:
        self._world = world
        self._stage = stage
        self._story = story
        self._accidents = accidents
        self._look_at = look
        self._recipes = recipes_of(story.plan.recipes)

    def start(self, planned: PlannedLook, then: Callable[[], None] | None = None) -> None:
        """Start a look.

        :param then: Called when it has ended.
        """
        self._world.record(f"{planned.name} starts")

        def end(error: BaseException | None) -> None:
            self._ended(one, error)
            if then:
                self._world.soon(then)

        process = Process(self._world, planned.name, lambda: self._look(one), end)
        one = Look(planned, process, self._world.now)
        self._story.looks.append(one)
        self._accidents.befall_look(process, planned)

    async def _look(self, one: Look) -> None:
        """Look as the operator's task does."""
        planned = one.planned
        rows = DoubtfulRows(self._stage.engine, self._stage.tables, RESULT_LINKS.once or "url")
        if not rows.groups():
            return
        settings = Settings(BY, look_again=planned.look_again, dry_run=planned.dry_run)
        async with self._stage.hook.client() as client:
            await check_api(client)
            choice = UnknownRowsFilter(result_ids=planned.result_ids)
            reconciliation = Reconciliation(rows, self._recipes, client, settings)
            one.counts = await reconciliation.run(choice)

    def _ended(self, one: Look, error: BaseException | None) -> None:
        one.error, one.has_ended = error, True
        name = one.process.name
        cause = f": {type(error).__name__}: {error}" if error else f" with {dict(one.counts)}"
        self._world.record(f"{name} ends{cause}")
        bugs = self._story.bugs
        if error and not isinstance(error, (KomboError, GreenletExit)):
            bugs.append(f"{name} ended with {type(error).__name__}: {error}")
        bugs += [f"{name}: {context}" for context in one.process.loop.errors]
        self._look_at(f"after {name}")
        if error and one.planned is LAST_LOOK:
            bugs.append(f"{name}, with nothing wrong, ended with {error}")


def recipes_of(planned: tuple[PlannedRecipe, ...]) -> Recipes:
    """Build the recipes of a night."""
    tools: dict[str, dict[str, Recipe]] = {}
    for one in planned:
        tools.setdefault(one.tool, {})[one.target_type] = _recipe(one)
    return Recipes(tools)


def _recipe(planned: PlannedRecipe) -> Recipe:
    # As it is: a planted mistake may let an inferred recipe deny.
    given: dict[str, Any] = {
        **_read(planned),
        "source": planned.source,
        "because": "The night says so.",
        "when_absent": "retryable" if planned.may_deny else "unknown",
    }
    if not planned.has_next:
        given.pop("next_param", None)
    return Recipe.model_validate(given)


def _read(planned: PlannedRecipe) -> Mapping[str, Any]:
    """Return the read of a recipe, by the members of the file."""
    if planned.reads is KeptAs.NOTES:
        return _NOTES
    if planned.reads is KeptAs.DOCUMENTS:
        path = f"/ats/{planned.target_type}s/{{target_id}}/attachments"
        return {"get": path, "lists": ["results"], "texts": ["data_url"]}
    own = {"passthrough": f"{planned.tool}/v1", "next_param": "offset"}
    return {**_PASSED_THROUGH, **own, **_ACTIVITIES[planned.shape]}
