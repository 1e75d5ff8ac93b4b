"""Planted mistakes of the looks for links, each to be shown by a night."""

from __future__ import annotations

from typing import Final

from tools.nights.planting import Mutant

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
        seed=26,
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
)
