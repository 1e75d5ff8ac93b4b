"""The operator that decides about `unknown` rows: at once, or after it has asked a person.

Airflow's dag processor imports this module again and again, so heavy imports are in the methods.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.operators.failure_policy import not_tried_again
from airflow_kombo.statuses import Decision

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_kombo.ledger.unknown_rows import DecisionBy, UnknownRows, UnknownRowsFilter
    from airflow_kombo.operators.parameters import ResolveParameters

LEAVE: Final = "leave as they are"
_REASON: Final = "why"  # a name of its own: a run's param of the same name would take its place
_NAMED_IN_A_QUESTION: Final = 20
_QUESTION: Final = f"""
**{{rows}} rows** are `unknown`: nobody heard whether their links were created. Look them up in
Kombo's dashboard under *Logs*, by integration and time; logs are kept for 30 days.

| integration | error code | rows |
| --- | --- | --- |
{{table}}

At most {_NAMED_IN_A_QUESTION} of the results: {{some}}

`{Decision.CREATED}`: they become `success`, and are not sent again. `{Decision.NOT_CREATED}`: they
become `retryable`, and the next run of their day sends them. The answer is about the rows that are
`unknown` now.
"""


class KomboResolveUnknownOperator(HITLOperator):
    """Say of rows that are `unknown` whether their links were created, and move them on.

    Where the verdict is empty, the task shows what it is about and waits for a person's answer,
    which takes neither a worker nor a triggerer meanwhile. What is `unknown` only later is not part
    of the answer.

    Conditions have to hold together, and at least one is needed.

    :param result_ids: Only these results. Those that are not `unknown` are left as they are, and
        told in the log with their status. (templated)
    :param integration_ids: Only these integrations. (templated)
    :param assessment_date: Only rows of this day, `YYYY-MM-DD`. (templated)
    :param error_code: Only rows with this code in the status table, such as `run_died`. (templated)
    :param run_id: Only rows that this run sent, by the status table's column. (templated)
    :param verdict: `created`: the rows become `success`. `not created`: they become `retryable`,
        and the next run of their day sends them. Empty: ask. (templated)
    :param reason: What the verdict rests on; it is kept in the attempts' history, with the name of
        who triggered the run or gave the answer. (templated)
    :param preview: List the rows in the log, and decide nothing. (templated)
    :param warehouse_conn_id: The connection to the warehouse, which holds our tables.
    :param status_table: The status table, as the delivering task names it.
    """

    template_fields: Sequence[str] = (
        "result_ids",
        "integration_ids",
        "assessment_date",
        "error_code",
        "run_id",
        "verdict",
        "reason",
        "preview",
    )
    ui_color = "#dfeaf5"

    def __init__(
        self,
        *,
        result_ids: Sequence[str] | None = None,
        integration_ids: Sequence[str] | None = None,
        assessment_date: str | None = None,
        error_code: str | None = None,
        run_id: str | None = None,
        verdict: str | None = None,
        reason: str | None = None,
        preview: bool = False,
        warehouse_conn_id: str = "warehouse_default",
        status_table: str = "kombo_result_links",
        **kwargs: Any,
    ) -> None:
        description = "What the answer rests on, such as what Kombo's logs say."
        why = Param("", source="task", type="string", title="Reason", description=description)
        params = ParamsDict(kwargs.pop("params", None))
        params[_REASON] = why
        super().__init__(
            subject="Were the links of these unknown rows created?",
            options=[Decision.CREATED.value, Decision.NOT_CREATED.value, LEAVE],
            params=params,
            **kwargs,
        )
        self.result_ids = result_ids
        self.integration_ids = integration_ids
        self.assessment_date = assessment_date
        self.error_code = error_code
        self.run_id = run_id
        self.verdict = verdict
        self.reason = reason
        self.preview = preview
        self.warehouse_conn_id = warehouse_conn_id
        self.status_table = status_table

    @not_tried_again()
    def execute(self, context: Context) -> dict[str, int]:
        """Decide, or ask, and give the number of rows that were `decided` and `left`.

        :raises AirflowFailException: whose cause is a `ConfigurationError`, before anything is
            decided, for what a person has to change. Airflow does not retry it.
        :raises LedgerError: if the ledger failed; what was decided by then stays decided.
        """
        from airflow_kombo.operators.parameters import ResolveParameters  # noqa: PLC0415 - see above

        asked = ResolveParameters.of(self)
        choice = self._choice(asked)
        judgement = None
        if asked.verdict:
            judgement = _judgement(asked.verdict, asked.reason, _who_triggered(context))
        with self._resolution() as resolution:
            asked_at = resolution.now()
            left = self._tell_others(resolution, choice)
            if asked.preview:
                return {**self._list(resolution, choice), "left": left}
            if judgement:
                return {**self._decide(resolution, choice, judgement), "left": left}
            question = _question(resolution, choice)
        if question is None:
            self.log.info("None of the rows is unknown: there is nothing to decide.")
            return {"decided": 0, "left": left}
        self.body = question
        return self._ask(context, asked_at)

    @not_tried_again()
    def execute_complete(
        self, context: Context, event: dict[str, Any], asked_at: datetime | None = None
    ) -> dict[str, int]:
        """Do what the person answered, about the rows that were `unknown` when they were asked.

        :raises AirflowFailException: as `execute` does.
        :raises LedgerError: as `execute` does.
        """
        from airflow_kombo.operators.parameters import ResolveParameters  # noqa: PLC0415

        asked = ResolveParameters.of(self)
        answer = super().execute_complete(context, event)
        (verdict,), given = answer["chosen_options"], answer["params_input"]
        if verdict == LEAVE:
            self.log.info("The answer is to leave the rows as they are.")
            return {"decided": 0, "left": 0}
        by = (answer["responded_by_user"] or {}).get("name") or _nobody(context)
        reason = (given.get(_REASON) or "").strip() or asked.reason
        judgement = _judgement(Decision(verdict), reason, by)
        with self._resolution() as resolution:
            return self._decide(resolution, self._choice(asked, until=asked_at), judgement)

    def _ask(self, context: Context, asked_at: datetime) -> dict[str, int]:
        from airflow.sdk.exceptions import TaskAwaitingInput  # noqa: PLC0415

        try:
            counts: dict[str, int] = super().execute(context)
        except TaskAwaitingInput as waiting:
            waiting.kwargs = {**(waiting.kwargs or {}), "asked_at": asked_at}
            raise
        return counts

    @staticmethod
    def _choice(asked: ResolveParameters, until: datetime | None = None) -> UnknownRowsFilter:
        from airflow_kombo.ledger.unknown_rows import UnknownRowsFilter  # noqa: PLC0415

        choice = UnknownRowsFilter(
            result_ids=asked.result_ids,
            integration_ids=asked.integration_ids,
            assessment_date=asked.assessment_date,
            error_code=asked.error_code,
            run_id=asked.run_id,
            until=until,
        )
        if choice.is_everything:
            raise ConfigurationError(
                "Say which rows: give result_ids, integration_ids, assessment_date, error_code or"
                " run_id. Without any of them, every unknown row would be decided."
            )
        return choice

    @contextmanager
    def _resolution(self) -> Iterator[UnknownRows]:
        from airflow_kombo.database.connections import engine_of  # noqa: PLC0415
        from airflow_kombo.ledger.tables import Tables  # noqa: PLC0415
        from airflow_kombo.ledger.unknown_rows import UnknownRows  # noqa: PLC0415

        engine = engine_of(self.warehouse_conn_id)
        try:
            tables = Tables.named(self.status_table)
            tables.create(engine)
            yield UnknownRows(engine, tables)
        finally:
            engine.dispose()

    def _tell_others(self, resolution: UnknownRows, choice: UnknownRowsFilter) -> int:
        """Tell which of the results that were named are not in doubt, and give their number.

        :raises ConfigurationError: if there is none of them: they are mistyped.
        """
        from airflow_kombo.ledger.unknown_rows import NOT_FOUND  # noqa: PLC0415

        left = lost = 0
        for others in resolution.others(choice):
            lost += len(others.get(NOT_FOUND, ()))
            for status, result_ids in sorted(others.items()):
                left += len(result_ids)
                self.log.warning(
                    "%d results are left, they are %s: %s",
                    len(result_ids),
                    status,
                    ", ".join(result_ids),
                )
        if lost and lost == len(choice.result_ids):
            raise ConfigurationError(
                f"None of the {lost} result_ids has a row in {self.status_table} that meets the"
                " other conditions: check them."
            )
        return left

    def _list(self, resolution: UnknownRows, choice: UnknownRowsFilter) -> dict[str, int]:
        listed = 0
        for result_ids in resolution.in_doubt(choice):
            listed += len(result_ids)
            self.log.info("Would be decided: %s", ", ".join(result_ids))
        self.log.info("A dry run: %d rows would be decided, none was.", listed)
        return {"would_be_decided": listed}

    def _decide(
        self, resolution: UnknownRows, choice: UnknownRowsFilter, judgement: DecisionBy
    ) -> dict[str, int]:
        decided = 0
        for rows in resolution.decide(choice, judgement):
            decided += rows
            self.log.info("%d rows are decided: %s", decided, judgement.decision)
        self.log.info("%d rows were unknown and are decided: %s", decided, judgement.decision)
        return {"decided": decided}


def _question(resolution: UnknownRows, choice: UnknownRowsFilter) -> str | None:
    """Write what a person has to know to decide, or None where nothing is in doubt."""
    counts = resolution.count(choice)
    if not counts:
        return None
    some = next(resolution.in_doubt(choice), [])[:_NAMED_IN_A_QUESTION]
    groups = sorted(counts.items(), key=lambda group: -group[1])[:_NAMED_IN_A_QUESTION]
    table = [f"| `{integration}` | `{code}` | {rows} |" for (integration, code), rows in groups]
    return _QUESTION.format(
        rows=sum(counts.values()),
        table="\n".join(table),
        some=", ".join(f"`{result_id}`" for result_id in some),
    )


def _judgement(decision: Decision, reason: str | None, by: str) -> DecisionBy:
    from airflow_kombo.ledger.unknown_rows import DecisionBy  # noqa: PLC0415

    if not reason:
        raise ConfigurationError(
            "A verdict needs a reason, it is kept in the history: give it, and run the task again."
        )
    return DecisionBy(decision, reason, by)


def _who_triggered(context: Context) -> str:
    return context["dag_run"].triggering_user_name or _nobody(context)


def _nobody(context: Context) -> str:
    return f"not named by Airflow (run {context['dag_run'].run_id})"
