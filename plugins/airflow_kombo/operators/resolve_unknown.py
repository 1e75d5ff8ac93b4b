"""The operator for decisions about `unknown` rows, at once or after a question.

Airflow's dag processor imports this module again and again. Heavy imports are in `decide_rows`,
which only the methods import.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param

from airflow_kombo.airflow_compat import add_param, adds_to_resumption, can_park_questions
from airflow_kombo.operators.failure_policy import not_tried_again
from airflow_kombo.operators.garbage_collection import collecting_rarely
from airflow_kombo.operators.run_configuration import refuse_misspelled_params
from airflow_kombo.statuses import Decision

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_kombo.ledger.unknown_rows import UnknownRows, UnknownRowsFilter
    from airflow_kombo.operators.parameters import ResolveParameters

LEAVE: Final = "leave as they are"
_REASON: Final = "why"
"""The answer's field for the reason; a run's param of the same name would take its place."""


class KomboResolveUnknownOperator(HITLOperator):
    """Decide about `unknown` rows: they were created in the ATS, or they were not.

    The operator also leaves rows out for good, and takes that back.

    Without a `decision` the task describes the rows in Airflow's UI and waits for a person's
    answer. It needs no worker and no triggerer while it waits. The answer decides only rows that
    were `unknown` when the question was asked. Before Airflow 3.3 a task cannot wait like that: the
    decision is required.

    A row has to meet all conditions that are set. At least one condition is needed, except for an
    export and for a file of decisions.

    For many rows, `export_to` writes a CSV file in the order of Kombo's log view. A person fills in
    the columns `decision` and `reason`, and hands the file back in `decisions` or
    `decisions_from`. Each line decides exactly its row, as long as the row is `unknown` and was not
    sent again since. A file with a mistake decides nothing.

    :param result_ids: Only these results. Those that are not `unknown` are left as they are, and
        the log names them with their status. (templated)
    :param integration_ids: Only these integrations. (templated)
    :param assessment_date: Only rows of this day, `YYYY-MM-DD`. (templated)
    :param error_code: Only rows with this code in the status table, such as `run_died`. (templated)
    :param run_id: Only rows that this run sent, by the status table's column. (templated)
    :param decision: `created`: the rows become `success`. `not created`: they become `retryable`,
        and the next run of their day sends them. `leave out`: rows of any status but `sending` keep
        their status, and no run sends them. `take back`: runs send rows that were left out again,
        as their status says. Empty: ask a person. (templated)
    :param reason: The evidence for the decision; the attempts' history keeps it, with the name of
        the person who triggered the run or answered. With a file, the reason of lines without one.
        (templated)
    :param decisions: The text of a filled-in CSV file. The conditions narrow it. (templated)
    :param decisions_from: The path of such a file, or its address in an object storage, such as
        `s3://aws_default@bucket/unknown.csv`. (templated)
    :param export_to: The path or address of the CSV file to write; an existing one is replaced.
        Nothing is decided. (templated)
    :param dry_run: List the rows in the log, and decide nothing. (templated)
    :param warehouse_conn_id: The connection to the warehouse, as the delivering task names it.
    :param ledger_conn_id: The connection to the database of the ledger, as the delivering task
        names it. By default the warehouse holds the ledger too.
    :param status_table: The status table, as the delivering task names it.
    """

    template_fields: Sequence[str] = (
        "result_ids",
        "integration_ids",
        "assessment_date",
        "error_code",
        "run_id",
        "decision",
        "reason",
        "decisions",
        "decisions_from",
        "export_to",
        "is_dry_run",
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
        decision: str | None = None,
        reason: str | None = None,
        decisions: str | None = None,
        decisions_from: str | None = None,
        export_to: str | None = None,
        dry_run: bool | str = False,
        warehouse_conn_id: str = "warehouse_default",
        ledger_conn_id: str | None = None,
        status_table: str = "kombo_result_links",
        **kwargs: Any,
    ) -> None:
        evidence = "The evidence for the answer, such as an entry in Kombo's logs."
        reason_of_answer = Param(
            "", source="task", type="string", title="Reason", description=evidence
        )
        super().__init__(
            subject="Were these unknown rows created?",
            options=[Decision.CREATED.value, Decision.NOT_CREATED.value, LEAVE],
            params=add_param(kwargs.pop("params", None), _REASON, reason_of_answer),
            **kwargs,
        )
        self.result_ids = result_ids
        self.integration_ids = integration_ids
        self.assessment_date = assessment_date
        self.error_code = error_code
        self.run_id = run_id
        self.decision = decision
        self.reason = reason
        self.decisions = decisions
        self.decisions_from = decisions_from
        self.export_to = export_to
        self.is_dry_run = dry_run  # Airflow's operators have a method `dry_run`
        self.warehouse_conn_id = warehouse_conn_id
        self.ledger_conn_id = ledger_conn_id
        self.status_table = status_table

    @not_tried_again()
    @collecting_rarely()
    def execute(self, context: Context) -> dict[str, int]:
        """Decide, export, or ask a person, and return the numbers of rows.

        The numbers are `decided` and `left`, of an export `exported`.

        :raises AirflowFailException: for an error that only a person can correct, before anything
            is decided, so that Airflow does not retry the task. Its cause is a
            `ConfigurationError`.
        :raises LedgerError: if the ledger failed; rows that were decided by then stay decided.
        """
        from airflow_kombo.operators import decide_rows  # noqa: PLC0415 - see above

        refuse_misspelled_params(context)
        parameters = decide_rows.parameters_of(self)
        rows_filter = decide_rows.filter_of(parameters)
        if parameters.export_to or parameters.has_file:
            return self._by_file(context, parameters, rows_filter)
        decision, word = None, parameters.decision or Decision.CREATED
        if parameters.decision:
            person = _triggering_person(context)
            decision = decide_rows.decision_by(parameters.decision, parameters.reason, person)
        with self._unknown_rows(decides=not parameters.dry_run) as unknown:
            asked_at = unknown.now()
            left = {"left": decide_rows.log_others(unknown, rows_filter, word)}
            if parameters.dry_run:
                return decide_rows.log_rows(unknown, rows_filter, word) | left
            if decision:
                return decide_rows.decide(unknown, rows_filter, decision) | left
            question = decide_rows.question_about(unknown, rows_filter)
        if question is None:
            self.log.info("None of the rows is unknown: there is nothing to decide.")
            return {"decided": 0} | left
        if not can_park_questions():
            decide_rows.require_decision(question)
        self.body = question
        return self._ask(context, asked_at)

    @not_tried_again()
    @collecting_rarely()
    def execute_complete(
        self, context: Context, event: dict[str, Any], asked_at: datetime | None = None
    ) -> dict[str, int]:
        """Apply a person's answer to the rows of the question.

        :raises AirflowFailException: as `execute` does.
        :raises LedgerError: as `execute` does.
        """
        from airflow_kombo.operators import decide_rows  # noqa: PLC0415 - see above

        parameters = decide_rows.parameters_of(self)
        answer = super().execute_complete(context, event)
        (option,), given = answer["chosen_options"], answer["params_input"]
        if option == LEAVE:
            self.log.info("The answer is to leave the rows as they are.")
            return {"decided": 0, "left": 0}
        person = (answer["responded_by_user"] or {}).get("name") or _unnamed_person(context)
        reason = (given.get(_REASON) or "").strip() or parameters.reason
        decision = decide_rows.decision_by(Decision(option), reason, person)
        rows_filter = decide_rows.filter_of(parameters, until=asked_at)
        with self._unknown_rows() as unknown:
            return decide_rows.decide(unknown, rows_filter, decision)

    def _by_file(
        self, context: Context, parameters: ResolveParameters, rows_filter: UnknownRowsFilter
    ) -> dict[str, int]:
        from airflow_kombo.operators import row_files  # noqa: PLC0415 - see above

        if parameters.export_to:
            with self._unknown_rows(decides=False) as unknown:
                return row_files.export(unknown, rows_filter, parameters.export_to)
        file = row_files.decisions_of(parameters)
        if parameters.dry_run:
            with self._unknown_rows(decides=False) as unknown:
                return row_files.log_file(unknown, rows_filter, file)
        with self._unknown_rows() as unknown:
            return row_files.decide(unknown, rows_filter, file, _triggering_person(context))

    def _unknown_rows(self, *, decides: bool = True) -> AbstractContextManager[UnknownRows]:
        from airflow_kombo.operators.decide_rows import unknown_rows  # noqa: PLC0415 - see above

        return unknown_rows(
            self.warehouse_conn_id, self.ledger_conn_id, self.status_table, decides=decides
        )

    def _ask(self, context: Context, asked_at: datetime) -> dict[str, int]:
        with adds_to_resumption(asked_at=asked_at):
            counts: dict[str, int] = super().execute(context)
        return counts


def _triggering_person(context: Context) -> str:
    return context["dag_run"].triggering_user_name or _unnamed_person(context)


def _unnamed_person(context: Context) -> str:
    return f"not named by Airflow (run {context['dag_run'].run_id})"
