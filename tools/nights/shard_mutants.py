"""Planted mistakes of a day in shards, each to be shown by a night."""

from __future__ import annotations

from typing import Final

from tools.nights.planting import Mutant

OF_SHARDS: Final = (
    Mutant(
        "the rest leaves out integrations that nobody knew",
        "planning.shards",
        "    return [Shard(frozenset().union(*(one.integration_ids for one in others))), *others]",
        "    of_others = frozenset().union(*(one.integration_ids for one in others))\n"
        "    known = frozenset(one.integration_id for one in counts)\n"
        "    return [Shard(known - of_others, is_rest=False), *others]",
        seed=1,
    ),
    Mutant(
        "the rest reads the rows of all shards",
        "rows.query_source",
        "return self._integration.not_in(ids) if shard.is_rest else",
        "return true() if shard.is_rest else",
        seed=1,
    ),
    Mutant(
        "a shard sees one target of a result with two",
        "planning.shards",
        "is_integration_id(one.integration_id) and not one.shares_results",
        "is_integration_id(one.integration_id)",
        seed=3,
    ),
    Mutant(
        "the plan sees no result with two targets",
        "rows.integration_counts",
        "first != last), 1)",
        "first > last), 1)",
        seed=3,
    ),
    Mutant(
        "the account counts a row once for each attempt",
        "ledger.dag_run_rows",
        "select(links.integration_id, links.status, func.count())",
        "select(links.integration_id, links.status, func.sum(links.attempts))",
        seed=3,
    ),
    Mutant(
        "the account leaves out the rows of a dead shard",
        "ledger.dag_run_rows",
        "connection.execute(self._runs(runs.run_id))",
        "connection.execute(self._runs(runs.run_id).where(runs.error.is_(None)))",
        seed=14,
    ),
    Mutant(
        "the account leaves out the earlier tries of a shard",
        "ledger.dag_run_rows",
        "connection.execute(self._runs(runs.run_id))",
        "connection.execute(self._runs(func.max(runs.run_id)).group_by(runs.map_index))",
        seed=14,
    ),
    Mutant(
        "the account leaves out what another run left in doubt",
        "ledger.dag_run_rows",
        "return or_(links.run_id.in_(run_ids), is_left_in_doubt)",
        "return links.run_id.in_(run_ids)",
        seed=249,
    ),
    Mutant(
        "the account does not wait for a dead shard",
        "delivery.day_account",
        "            await dead_runs.settle_own()\n",
        "",
        seed=33,
    ),
    Mutant(
        "the account counts the skipped rows of all tries",
        "ledger.dag_run_rows",
        "last = {row.map_index: row for row in connection.execute(last_runs)}",
        "last = dict(enumerate(connection.execute(last_runs)))",
        seed=71,
    ),
)
