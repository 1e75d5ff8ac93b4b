"""The operator: it wires the parts together, counts, and says whether the task is red.

Airflow's dag processor imports this module again and again, so heavy imports are in the methods.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow.sdk import BaseOperator
from airflow.sdk.bases.xcom import BaseXCom

from airflow_kombo.exceptions import RunStoppedError, TooManyRefusedError
from airflow_kombo.observability.asset_events import add_to_asset_events
from airflow_kombo.operators.assessment_day import day_of
from airflow_kombo.operators.failure_policy import FAIL_ON, Policy, not_tried_again
from airflow_kombo.operators.links import RowsLink
from airflow_kombo.statuses import HELD, NOT_DELIVERED, Status

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context
    from sqlalchemy import Engine

    from airflow_kombo.delivery.run import DeliveryRun, RunReport
    from airflow_kombo.kombo_api.writes import Write
    from airflow_kombo.ledger.runs import Run, Runs
    from airflow_kombo.ledger.tables import Tables
    from airflow_kombo.operators.parameters import RunParameters
    from airflow_kombo.planning.planner import Planner
    from airflow_kombo.planning.row_limit import RowLimit
    from airflow_kombo.rows.row_mapping import RowMapping


class _ToldToEndError(KeyboardInterrupt):
    """Interrupts what waits in the main thread; database drivers know what to do with it."""


class KomboResultLinkOperator(BaseOperator):
    """Deliver rows of the warehouse as result links, and write every row's fate back.

    The rows come from `sql`, from a `table`, or from the upstream task `rows_task_id`: one of them.

    :param sql: A query (or a `.sql` file on the dag's template path) that gives `result_id`,
        `integration_id`, `candidate_id`, `application_id` and what the mapping reads. The parameter
        `:assessment_date` in it is bound to the run's day, and `:first_assessment_date` to the
        first that it looks back to, or to the same day. (templated)
    :param table: A table or view, whose rows of the day (`assessment_date`) are taken. (templated)
    :param rows_task_id: An upstream task that returns a list of dictionaries, or a DataFrame.
    :param mapping: Which columns feed which part of a request: a YAML file, or its content as a
        dictionary.
    :param assessment_date: The day, `YYYY-MM-DD`; by default the run's partition key, else the date
        of its logical date: as it was typed, or that of the moment in the dag's time zone.
        (templated)
    :param lookback_days: Days before the run's own whose rows it also takes if they were never
        delivered: late ones, `retryable` and `blocked` ones. Only a run that the schedule or an
        asset made looks back; any other is exact. (templated)
    :param integration_ids: Only these integrations. A run by hand ends if nobody knows any of them.
        (templated)
    :param result_ids: Only these results, by their ids as the status table has them. A run ends if
        nobody knows any of them. (templated)
    :param redeliver: Statuses whose rows are sent again though they are final or unchanged, and
        `changed`: successful rows that would give another request now. (templated)
    :param limit: Rows to send at most. (templated)
    :param max_rows: A run that would send more rows stops before the first one; by default ten
        times what a day usually sends, which is the median of the task's last 14 days that sent
        something, and 1,000 at least. (templated)
    :param approve_rows: Send them however many they are. (templated)
    :param not_before: Deliver no row whose `assessment_date` is before this day, `YYYY-MM-DD`.
        (templated)
    :param preview: Write what a run would do with each row into a table of its own, and send
        nothing. (templated)
    :param kombo_conn_id: The connection to Kombo, of the type `http`.
    :param warehouse_conn_id: The connection to the warehouse, which holds the rows and our tables.
    :param integration_id: The integration of rows without one; by default the Kombo connection's
        extra of that name.
    :param status_table: The status table, with its schema before a dot where it has one; the other
        two tables are named after it.
    :param fail_on: When the task fails, after all rows were tried: the most rows that may end with
        a status, as a share (`0.05`) or as a number (`100`); `0` allows none.
    :param max_in_flight: Calls of one integration at once at most, below what Kombo allows.
    :param store_request: Whether the attempts' history keeps each request as it was sent.
    :param masked_fields: Members of the request that the history keeps only as `"***"`, such as
        `label` or `url`.
    """

    write: Write | None = None
    """What is made of the rows, where it is not result links."""

    template_fields: Sequence[str] = (
        "sql",
        "table",
        "assessment_date",
        "lookback_days",
        "integration_ids",
        "result_ids",
        "redeliver",
        "limit",
        "max_rows",
        "approve_rows",
        "not_before",
        "preview",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "sql"}  # noqa: RUF012 - Airflow's own way to declare it
    ui_color = "#dfeaf5"
    operator_extra_links = (RowsLink(),)

    def __init__(
        self,
        *,
        mapping: str | Path | Mapping[str, Any],
        sql: str | None = None,
        table: str | None = None,
        rows_task_id: str | None = None,
        assessment_date: str | None = None,
        lookback_days: int = 0,
        integration_ids: Sequence[str] | None = None,
        result_ids: Sequence[str] | None = None,
        redeliver: Sequence[str] | None = None,
        limit: int | None = None,
        max_rows: int | None = None,
        approve_rows: bool = False,
        not_before: str | None = None,
        preview: bool = False,
        kombo_conn_id: str = "kombo_default",
        warehouse_conn_id: str = "warehouse_default",
        integration_id: str | None = None,
        status_table: str = "kombo_result_links",
        fail_on: Mapping[str, float] = FAIL_ON,
        max_in_flight: int | None = None,
        store_request: bool = True,
        masked_fields: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mapping = mapping
        self.sql = sql
        self.table = table
        self.rows_task_id = rows_task_id
        self.assessment_date = assessment_date
        self.lookback_days = lookback_days
        self.integration_ids = integration_ids
        self.result_ids = result_ids
        self.redeliver = redeliver
        self.limit = limit
        self.max_rows = max_rows
        self.approve_rows = approve_rows
        self.not_before = not_before
        self.preview = preview
        self.kombo_conn_id = kombo_conn_id
        self.warehouse_conn_id = warehouse_conn_id
        self.integration_id = integration_id
        self.status_table = status_table
        self.fail_on = Policy(fail_on).limits
        self.max_in_flight = max_in_flight
        self.store_request = store_request
        self.masked_fields = masked_fields
        self._delivery: DeliveryRun | None = None
        self._is_starting = False

    @not_tried_again()
    def execute(self, context: Context) -> dict[str, int]:
        """Deliver, and give the counts by status.

        The counts are the task's XCom, red or green, and asset events tell them of the day.

        :raises AirflowFailException: whose cause is a `ConfigurationError`, before anything is
            sent, for what a person has to change; or a `TooManyRefusedError`, after all rows were
            tried, by `fail_on`. Airflow does not retry it.
        :raises LedgerError: if the ledger failed.
        :raises RunStoppedError: if the task was told to end.
        """
        self._is_starting = True
        try:
            return self._run_task(context)
        except _ToldToEndError as error:
            raise RunStoppedError(str(error)) from None
        finally:
            self._is_starting = False

    def _run_task(self, context: Context) -> dict[str, int]:
        from airflow_kombo.database.connections import engine_of  # noqa: PLC0415
        from airflow_kombo.ledger.tables import Tables  # noqa: PLC0415
        from airflow_kombo.operators.parameters import RunParameters  # noqa: PLC0415
        from airflow_kombo.rows.result_link_mapping import mapping_of  # noqa: PLC0415 - see above

        asked = RunParameters.of(self)
        kind = mapping_of(self._write)
        mapping = (
            kind.parse(dict(self.mapping))
            if isinstance(self.mapping, Mapping)
            else kind.load(self.mapping)
        )
        day = day_of(context, asked.assessment_date)
        self.log.info("Assessment day: %s", day)
        engine = engine_of(self.warehouse_conn_id)
        try:
            tables = Tables.named(self.status_table)
            tables.create(engine)
            counts = asyncio.run(
                self._execute(context, asked, day, mapping, engine=engine, tables=tables)
            )
        finally:
            engine.dispose()
        if asked.is_whole(day):
            add_to_asset_events(self.outlets, context["outlet_events"], day, counts)
        elif self.outlets:
            self.log.info("No asset event: this run does not say that the whole day is out")
            self.outlets = []
        return counts

    @property
    def _write(self) -> Write:
        from airflow_kombo.kombo_api.result_link import RESULT_LINKS  # noqa: PLC0415

        return self.write or RESULT_LINKS

    async def _execute(
        self,
        context: Context,
        asked: RunParameters,
        day: date,
        mapping: RowMapping,
        *,
        engine: Engine,
        tables: Tables,
    ) -> dict[str, int]:
        from airflow_kombo.hooks.kombo import KomboHook  # noqa: PLC0415
        from airflow_kombo.ledger.claims import Ledger  # noqa: PLC0415
        from airflow_kombo.ledger.redaction import redactor  # noqa: PLC0415
        from airflow_kombo.ledger.runs import Runs  # noqa: PLC0415
        from airflow_kombo.operators.row_selection import selection_of, source_of  # noqa: PLC0415
        from airflow_kombo.planning.planner import Planner  # noqa: PLC0415

        hook = KomboHook(self.kombo_conn_id)
        await hook.config()
        hook.default_integration = self.integration_id or hook.default_integration
        selection = selection_of(asked, context)
        ledger = Ledger(engine, tables, redactor(asked.masked_fields, store=asked.store_request))
        source = source_of(
            asked,
            context,
            day,
            ledger=ledger,
            selection=selection,
            default_integration=hook.default_integration,
            write=self._write,
        )
        if source.columns():
            mapping.check(source.columns())
        run, runs = self._run(context, day), Runs(engine, tables)
        guard = None if asked.approve_rows else self._guard(runs, run, asked.max_rows)
        if asked.preview:
            return self._preview(
                run, Planner(source, mapping, ledger, selection, hook.default_integration), guard
            )
        return await self._deliver(
            context,
            run,
            runs=runs,
            guard=guard,
            source=source,
            mapping=mapping,
            selection=selection,
            hook=hook,
            ledger=ledger,
        )

    def _preview(self, run: Run, planner: Planner, guard: RowLimit | None) -> dict[str, int]:
        from airflow_kombo.planning.dry_run import dry_run  # noqa: PLC0415

        previewed = dry_run(run, planner, self.max_in_flight)
        self._tell(previewed.senders)
        if guard and (reason := guard.refuses(sum(previewed.to_send.values()))):
            self.log.warning("A run would stop before the first of them: %s", reason)
        self.log.info("A dry run: nothing was sent.")
        return dict(previewed.counts)

    def _guard(self, runs: Runs, run: Run, max_rows: int | None) -> RowLimit:
        from airflow_kombo.planning.row_limit import RowLimit  # noqa: PLC0415

        if max_rows is not None:
            return RowLimit(max_rows, "max_rows says so")
        return RowLimit.over(runs.usual(run))

    def _run(self, context: Context, day: date) -> Run:
        from airflow_kombo.ledger.runs import Run  # noqa: PLC0415

        instance = context["ti"]
        return Run(
            run_id=str(uuid4()),
            dag_id=instance.dag_id,
            dag_run_id=instance.run_id,
            task_id=instance.task_id,
            map_index=instance.map_index,
            try_number=instance.try_number,
            assessment_date=day,
        )

    async def _deliver(self, context: Context, run: Run, **parts: Any) -> dict[str, int]:
        from airflow_kombo.delivery.run import DeliveryRun  # noqa: PLC0415
        from airflow_kombo.delivery.run_context import RunParts, Settings  # noqa: PLC0415
        from airflow_kombo.operators.execution_timeout import execution_timeout  # noqa: PLC0415

        settings = Settings(max_in_flight=self.max_in_flight)
        self._delivery = DeliveryRun(RunParts(run, settings=settings, **parts))
        report = self._delivery.report
        try:
            with execution_timeout(self._delivery.stop):
                await self._delivery.deliver()
        finally:
            self._tell(report.senders)
            if self.do_xcom_push:  # also if it fails now, and so will have no return value
                context["ti"].xcom_push(BaseXCom.XCOM_RETURN_KEY, report.numbers)
        self._judge(report, run.run_id)
        return report.numbers

    def on_kill(self) -> None:
        """Let what is on the wire end, and give the rest back.

        Before anything can have been sent, what the main thread waits for is interrupted.
        """
        if self._delivery:
            self._delivery.stop("The task was told to end.")
        elif self._is_starting:
            raise _ToldToEndError("The task was told to end before it had sent anything.")

    def get_openlineage_facets_on_complete(
        self,
        task_instance: object,  # noqa: ARG002 - OpenLineage's signature
    ) -> OperatorLineage[Any, Any]:
        """Tell OpenLineage, if its provider asks, which tables the rows and their fates are in."""
        from airflow_kombo.observability.lineage_events import lineage  # noqa: PLC0415

        return lineage(
            self.warehouse_conn_id, sql=self.sql, table=self.table, status_table=self.status_table
        )

    def _tell(self, senders: Mapping[str, Counter[str]]) -> None:
        from airflow_kombo.observability.log_summary import table  # noqa: PLC0415

        for line in table(senders):
            self.log.info("%s", line)

    def _judge(self, report: RunReport, run_id: str) -> None:
        """Warn of what a person should look at, and raise for more than the policy allows."""
        counts, where = report.counts, f"{self.status_table}, run_id {run_id}"
        for status in NOT_DELIVERED:
            # Rows that others hold are named in the log already, and are not this run's.
            if counts[status] and status not in {Status.INVALID, HELD}:
                self.log.warning("%d rows are %s; see %s", counts[status], status, where)
        over = Policy(self.fail_on).exceeded(counts, report.planned - counts["skipped"])
        if over:
            raise TooManyRefusedError(f"{'; '.join(over)}. All were tried; see {where}.")
