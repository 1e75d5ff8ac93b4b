"""The task group that delivers a day in shards, each on any worker.

Airflow's dag processor imports this module again and again. Heavy imports are in `plan_task` and
`account_task`, which only `execute` imports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import TaskGroup, TriggerRule

from airflow_kombo.airflow_compat import AirflowFailException
from airflow_kombo.exceptions import PolicyError, ShardsFailedError
from airflow_kombo.operators.failure_policy import not_tried_again
from airflow_kombo.operators.garbage_collection import collecting_rarely
from airflow_kombo.operators.result_link import RESULT_LINKS, KomboResultLinkOperator
from airflow_kombo.operators.write import KomboWriteOperator, written_by

if TYPE_CHECKING:
    from airflow.sdk import Context

_OF_THE_DAY: Final = ("outlets", "on_success_callback", "on_failure_callback")
"""Arguments of the group that no shard has, as they are about the day."""
_OF_THE_PLAN: Final = ("trigger_rule",)
"""Arguments of the group that only the plan has, as they are about what is before the group."""


class KomboPlanOperator(KomboWriteOperator):
    """Divide a day into shards; the first task of a `KomboWriteGroup`.

    The parameters are those of `KomboWriteOperator`, and:

    :param shard_task_id: The task that delivers the shards.
    :param shards: Shards at most, from 1 to 100. (templated)
    """

    template_fields: Sequence[str] = (*KomboWriteOperator.template_fields, "shards")

    def __init__(self, *, shard_task_id: str, shards: int | str = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard_task_id = shard_task_id
        self.shards = shards

    @not_tried_again()
    def execute(self, context: Context) -> list[dict[str, Any]]:  # type: ignore[override]
        """Count the rows by integration, check the day's limit, and return the shards.

        :raises AirflowFailException: for an error that only a person can correct, such as a day
            with too many rows. Its cause is a `ConfigurationError`.
        :raises LedgerError: if the database fails.
        :raises WarehouseError: if the warehouse fails, where the ledger is elsewhere.
        :raises RunStoppedError: if the task was stopped.
        """
        with collecting_rarely(), self._stop.covers():
            from airflow_kombo.operators.plan_task import plan_task  # noqa: PLC0415 - see above

            return plan_task(self, written_by(self.write), context)

    def get_openlineage_facets_on_complete(  # type: ignore[override] # it may return None
        self,
        task_instance: object,
    ) -> None:
        """Return nothing for OpenLineage: shards and account have the tables."""


class KomboAccountOperator(KomboWriteOperator):
    """Account for a day in shards; the last task of a `KomboWriteGroup`.

    The parameters are those of `KomboWriteOperator`, and:

    :param shard_task_id: The task that delivered the shards.
    """

    def __init__(self, *, shard_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard_task_id = shard_task_id

    @not_tried_again()
    def execute(self, context: Context) -> dict[str, int]:
        """Count the rows of all shards, apply the failure policy, and return the counts by status.

        The counts are the task's XCom, also if it fails, and the extra of the day's asset event.

        :raises AirflowFailException: if a shard failed, or for an error that only a person can
            correct, or by `fail_on` or `fail_below`: another try of this task sends no row.
        :raises LedgerError: if the ledger failed.
        :raises WarehouseError: if a warehouse whose ledger is elsewhere failed.
        :raises RunStoppedError: if the task was stopped.
        """
        with collecting_rarely(), self._stop.covers():
            from airflow_kombo.operators.account_task import (  # noqa: PLC0415 - see above
                account_task,
            )

            try:
                return account_task(self, written_by(self.write), context, self._stop)
            except (PolicyError, ShardsFailedError) as error:
                raise AirflowFailException(str(error)) from error


class KomboWriteGroup(TaskGroup):
    """Deliver rows of the warehouse in shards, each a task of its own on any worker.

    The tasks are `plan`, which counts the rows by integration and checks `max_rows` for the whole
    day; `shard`, once for each shard; and `account`. The account has what is about the day: the
    counts as its XCom, `fail_on` and `fail_below`, the asset event, and the callbacks.

    All arguments but these are those of the operator, and Airflow's own for each of the tasks.

    :param group_id: The id of the group, which is before the ids of its tasks.
    :param shards: Shards at most, from 1 to 100. With one shard, nothing is counted before. A dry
        run and a run with `limit` or `result_ids` is one shard. (templated)
    :param outlets: Assets that get one event with the day when all of it is out.
    :param on_success_callback: Called once for the day, by the account.
    :param on_failure_callback: Called once for the day, by the account, or by a plan that fails.
    :param default_args: Default arguments of the three tasks, before those of the dag.
    """

    operator: type[KomboWriteOperator] = KomboWriteOperator
    """The operator of the task `shard`; it takes the arguments of the group and no others."""
    of_operator: Mapping[str, Any] = {}
    """Arguments that this operator adds by itself."""

    def __init__(
        self,
        group_id: str = "deliver",
        *,
        shards: int | str = 1,
        prefix_group_id: bool = True,
        tooltip: str = "",
        default_args: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        # As defaults of the group, because `partial` takes none of the operator's own.
        super().__init__(
            group_id,
            prefix_group_id=prefix_group_id,
            tooltip=tooltip,
            default_args=dict(default_args or {}),  # type: ignore[arg-type] # attrs' converter
        )
        of_the_day = {name: arguments.pop(name) for name in _OF_THE_DAY if name in arguments}
        of_plan = {name: arguments.pop(name) for name in _OF_THE_PLAN if name in arguments}
        shard_task_id: str = self.child_id("shard")  # type: ignore[no-untyped-call]
        beside = {**self._of_operator(), **arguments, "shard_task_id": shard_task_id}
        if "on_failure_callback" in of_the_day:  # no account follows a plan that fails
            of_plan["on_failure_callback"] = of_the_day["on_failure_callback"]
        with self:
            plan = KomboPlanOperator(
                task_id="plan",
                shards=shards,
                outlets=[],
                **{**beside, **of_plan, "do_xcom_push": True},  # the shards are its XCom
            )
            shard = self.operator.partial(
                task_id="shard", outlets=[], trigger_rule=TriggerRule.ALL_SUCCESS, **arguments
            ).expand(shard=plan.output)
            account = KomboAccountOperator(
                task_id="account",
                trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
                **beside,
                **of_the_day,
            )
            [plan, shard] >> account

    def _of_operator(self) -> dict[str, Any]:
        """Return what the operator adds by itself, as far as no default argument takes its place.

        Otherwise plan and account would not have the status table of the shards.
        """
        defaults = self.dag.default_args.keys() | self.default_args.keys()
        replaced = defaults & signature(self.operator.__init__).parameters.keys()
        return {name: one for name, one in self.of_operator.items() if name not in replaced}


class KomboResultLinkGroup(KomboWriteGroup):
    """Deliver rows of the warehouse as result links in shards, each a task of its own.

    The arguments are those of `KomboWriteGroup` without `write`.
    """

    operator = KomboResultLinkOperator
    of_operator = RESULT_LINKS
