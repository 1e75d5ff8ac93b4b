"""Planted mistakes of the looks for links, each to be shown by a night."""

from __future__ import annotations

from typing import Final

from tools.nights.planting import Mutant

_READ_OF_CONTROL: Final = (
    "            places = await self._places([control.key.target_id])\n"
    "            seen = await self._look(places[control.key.target_id], control.url)\n"
)
_READ_ELSEWHERE: Final = """\
            key, recipe = control.key, self._recipe
            group = RowGroup(key.integration_id, key.target_type)
            places = (await places_of(self._reader, group, recipe, [key.target_id]))[key.target_id]
            if "attachments" in recipe.name:
                path = f"/ats/{key.target_type}s/{{target_id}}/attachments"
                recipe = recipe.model_copy(update={"get": path})
            seen = await look(self._reader, key.integration_id, recipe, places, control.url)
"""
"""The read of a later link where the link is, instead of where the rows in doubt are."""

OF_EVIDENCE: Final = (
    Mutant(
        "an older link serves as a later one",
        "reconciliation.rules",
        "return control.sent_after >= executed_by(row)",
        "return True",
        also=(("ledger.doubtful_rows", "                links.first_sent_at >= since,\n", ""),),
        seed=10,
    ),
    Mutant(
        "an absent link is denied without a later one",
        "reconciliation.rules",
        "    if control is None or not serves(control.control, row) or control.found_at > at:\n",
        "    if control is None:\n"
        "        return Evidence(row, f'{absent}.', Decision.NOT_CREATED)\n"
        "    if not serves(control.control, row):\n",
        seed=10,
    ),
    Mutant(
        "a link is denied while Kombo may still carry it out",
        "reconciliation.rules",
        "KOMBO_SECONDS: Final = 300.0",
        "KOMBO_SECONDS: Final = -120.0",
        seed=44,
    ),
    Mutant(
        "an answer without its list counts as empty",
        "reconciliation.look",
        '    if missing:\n        raise UnreadableError(f"the answer has no list',
        '    if False:\n        raise UnreadableError(f"the answer has no list',
        seed=52,
    ),
    Mutant(
        "an error of the ATS counts as an empty answer",
        "reconciliation.look",
        "    if not isinstance(status, int) or not 200 <= status < 300:",
        "    if not isinstance(status, int):",
        seed=542,
    ),
    Mutant(
        "a failed read counts as an absent link",
        "reconciliation.reconciliation",
        '            return Evidence(row, f"{self._recipe.name} cannot be read: {error}.")\n',
        "            seen = Seen.ABSENT\n",
        seed=36,
    ),
    Mutant(
        "a link that a rival may have made is found",
        "reconciliation.rules",
        "        if row.rivals is Rivals.NONE:\n",
        "        if True:\n",
        seed=44,
    ),
    Mutant(
        "an inferred recipe denies",
        "reconciliation.rules",
        "    if not recipe.may_deny:\n",
        "    if False:\n",
        also=(
            (
                "reconciliation.reconciliation",
                "await self._control(rows) if self._recipe.may_deny else None",
                "await self._control(rows)",
            ),
        ),
        seed=9,
    ),
    Mutant(
        "an address is found within a longer one",
        "reconciliation.url_search",
        "re.compile(re.escape(url) + _ENDS),",
        "re.compile(re.escape(url)),",
        seed=51,
    ),
    Mutant(
        "a link of another kind of target serves as a later one",
        "ledger.doubtful_rows",
        "            .where(\n                self._is_of(group),\n",
        "            .where(\n                links.integration_id == group.integration_id,\n",
        also=(
            (
                "reconciliation.reconciliation",
                _READ_OF_CONTROL,
                _READ_ELSEWHERE,
            ),
        ),
        seed=9,
    ),
    Mutant(
        "a look settles nothing that is there",
        "reconciliation.url_search",
        "            return Seen.FOUND\n",
        "            return Seen.SIMILAR\n",
        seed=9,
    ),
    Mutant(
        "a look denies nothing",
        "reconciliation.reconciliation",
        "        control = await self._control(rows) if self._recipe.may_deny else None\n",
        "        control = None\n",
        seed=51,
    ),
)
