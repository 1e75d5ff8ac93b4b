"""The operator for any of Kombo's writes.

Airflow's dag processor imports this module again and again. Heavy imports are in `run_task`, which
only `execute` imports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_kombo.ledger.time_limits import KOMBO_LOG_DAYS
from airflow_kombo.operators.failure_policy import (
    FAIL_BELOW,
    FAIL_ON,
    Policy,
    checked_share,
    not_tried_again,
)
from airflow_kombo.operators.garbage_collection import collecting_rarely
from airflow_kombo.operators.links import RowsLink
from airflow_kombo.operators.task_stop import TaskStop

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context
    from pandas import DataFrame

    from airflow_kombo.kombo_api.writes import Write


class KomboWriteOperator(BaseOperator):
    """Deliver rows of the warehouse through one of Kombo's writes, and record every outcome.

    The rows come from `sql`, from a `table`, or from the upstream task `rows_task_id`: one of them.

    :param write: The endpoint, the request's model, and the columns that its rows are known by; or
        a function that returns them, which is called when the task runs.
    :param sql: A query (or a `.sql` file on the dag's template path) that returns `result_id`,
        `integration_id`, the columns of the write's targets and the columns of the mapping. Its
        parameter `:assessment_date` is bound to the run's day. `:first_assessment_date` is bound to
        the first day that the run looks back to, or to the same day. (templated)
    :param table: A table or view, of which the rows of the day (`assessment_date`) are taken.
        (templated)
    :param rows_task_id: An upstream task that returns a list of dictionaries, or a DataFrame.
    :param transform: A function from frame to frame, which gets the rows in chunks as pandas
        DataFrames before anything else is done with them: to join, derive, filter or rename. Each
        column is of the type `object`, with the cells as the driver gave them. The function returns
        the columns that the write and the mapping need. A result's rows may be in several chunks.
    :param mapping: The column or template of each part of a request: a YAML file, or a dictionary.
    :param assessment_date: The day, `YYYY-MM-DD`; by default the run's partition key, else the date
        of its logical date: as it was typed, or as the dag's time zone has it. (templated)
    :param lookback_days: Days before the run's own day of which it also takes the rows that were
        never delivered: late, `retryable` and `blocked` ones. Only runs by schedule or by asset
        look back; all others are exact. (templated)
    :param integration_ids: Only these integrations. A run by hand fails if none of them is known.
        (templated)
    :param result_ids: Only these results, by their ids in the status table. A run fails if none of
        them is known. (templated)
    :param redeliver: Statuses whose rows are sent again although they are final or unchanged, and
        `changed`: successful rows whose request is another now. (templated)
    :param seen: Status and number of attempts by result id, such as `{"ar-1": "unknown 2"}`:
        `redeliver` sends only results that still have them. Empty: any. (templated)
    :param limit: Rows to send at most. (templated)
    :param max_rows: A run that would send more rows stops before the first one. By default: ten
        times the median of the task's last 14 days that sent something, and 1,000 at least.
        (templated)
    :param approve_rows: Send the rows, however many they are. (templated)
    :param not_before: Deliver no row whose `assessment_date` is before this day, `YYYY-MM-DD`.
        (templated)
    :param dry_run: Write each row with the action of a run into a table of its own, and send
        nothing. (templated)
    :param kombo_conn_id: The connection to Kombo, of the type `http`.
    :param warehouse_conn_id: The connection to the warehouse with the rows, of any type of SQL
        database.
    :param ledger_conn_id: The connection to the database of the ledger: PostgreSQL, SQLite, MySQL
        or MariaDB. By default the warehouse holds the ledger too. With a ledger elsewhere, statuses
        and warnings are written back to a table of the warehouse with the status table's name.
    :param integration_id: The integration of rows without one; by default the Kombo connection's
        extra of that name.
    :param status_table: The status table, with its schema before a dot where it has one; the other
        two tables are named after it. By default it is named after the write. Each write needs one
        of its own.
    :param fail_on: The most rows that may end with a status before the task fails, as a share
        (`0.05`) or as a number (`100`); `0` allows none. A share is one of the day's rows, also if
        the run tries only some of them. All rows are tried first.
    :param fail_below: The least share of the day's tried rows that has to be delivered, or the task
        fails; `0.0` demands nothing. The task is tried again only if the cause may pass.
    :param max_in_flight: Calls of one integration at once at most, below Kombo's own limit: one
        number for all integrations, or a number by tool, such as `{"workday": 4, "default": 28}`.
        The tool of an integration is the part of its id before the first `:`. Tools that are not
        named have the number of `default`, or Kombo's limit alone. (templated)
    :param store_request: Keep each request as it was sent in the attempts' history.
    :param masked_fields: Members of the request that the history keeps only as `"***"`, such as
        `label` or `url`.
    :param keep_responses_days: Days for which the history keeps responses other than plain
        successes, with 8 KB of body as far as the two parameters above allow; `0` keeps none.
    :param shard: The part of the day to deliver, as `KomboWriteGroup` plans it. By default the task
        delivers the whole day, and accounts for it.
    """

    template_fields: Sequence[str] = (
        "sql",
        "table",
        "assessment_date",
        "lookback_days",
        "integration_ids",
        "result_ids",
        "redeliver",
        "seen",
        "limit",
        "max_rows",
        "approve_rows",
        "not_before",
        "is_dry_run",
        "max_in_flight",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "sql"}  # noqa: RUF012 - Airflow's own way to declare it
    ui_color = "#dfeaf5"
    operator_extra_links = (RowsLink(),)

    def __init__(
        self,
        *,
        write: Write | Callable[[], Write],
        mapping: str | Path | Mapping[str, Any],
        sql: str | None = None,
        table: str | None = None,
        rows_task_id: str | None = None,
        transform: Callable[[DataFrame], DataFrame] | None = None,
        assessment_date: str | None = None,
        lookback_days: int | str = 0,
        integration_ids: Sequence[str] | None = None,
        result_ids: Sequence[str] | None = None,
        redeliver: Sequence[str] | None = None,
        seen: Mapping[str, str] | None = None,
        limit: int | str | None = None,
        max_rows: int | str | None = None,
        approve_rows: bool | str = False,
        not_before: str | None = None,
        dry_run: bool | str = False,
        kombo_conn_id: str = "kombo_default",
        warehouse_conn_id: str = "warehouse_default",
        ledger_conn_id: str | None = None,
        integration_id: str | None = None,
        status_table: str | None = None,
        fail_on: Mapping[str, float] = FAIL_ON,
        fail_below: float = FAIL_BELOW,
        max_in_flight: int | str | Mapping[str, int | str] | None = None,
        store_request: bool = True,
        masked_fields: Sequence[str] = (),
        keep_responses_days: int = KOMBO_LOG_DAYS,
        shard: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.write = write
        self.mapping = mapping
        self.sql = sql
        self.table = table
        self.rows_task_id = rows_task_id
        self.transform = transform
        self.assessment_date = assessment_date
        self.lookback_days = lookback_days
        self.integration_ids = integration_ids
        self.result_ids = result_ids
        self.redeliver = redeliver
        self.seen = seen
        self.limit = limit
        self.max_rows = max_rows
        self.approve_rows = approve_rows
        self.not_before = not_before
        self.is_dry_run = dry_run  # Airflow's operators have a method `dry_run`
        self.kombo_conn_id = kombo_conn_id
        self.warehouse_conn_id = warehouse_conn_id
        self.ledger_conn_id = ledger_conn_id
        self.integration_id = integration_id
        self.status_table = status_table or written_by(write).status_table
        self.fail_on = Policy(fail_on).limits
        self.fail_below = checked_share(fail_below)
        self.max_in_flight = max_in_flight
        self.store_request = store_request
        self.masked_fields = masked_fields
        self.keep_responses_days = keep_responses_days
        self.shard = shard
        self._stop = TaskStop()

    @not_tried_again()
    def execute(self, context: Context) -> dict[str, int]:
        """Deliver the rows, and return the counts by status.

        The counts are the task's XCom, also of a task that fails, and the extra of asset events.
        The rows that a killed try left in doubt are in the counts of the next try.

        :raises AirflowFailException: for an error that only a person can correct, so that Airflow
            does not retry the task. Its cause is a `ConfigurationError`, before anything is sent,
            or a `PolicyError`, by `fail_on` or `fail_below`, after all rows were tried.
        :raises TooFewDeliveredError: if too few rows of the day were delivered, and another try may
            deliver more.
        :raises LedgerError: if the ledger failed.
        :raises WarehouseError: if a warehouse whose ledger is elsewhere failed. Another try sends
            nothing twice, and writes back what is missing.
        :raises RunStoppedError: if the task was stopped.
        """
        with collecting_rarely(), self._stop.covers():
            from airflow_kombo.operators.run_task import run_task  # noqa: PLC0415 - see above

            return run_task(self, written_by(self.write), context, self._stop)

    def on_kill(self) -> None:
        """Send nothing more, let the calls in flight end, and give the other rows back.

        Before a delivery exists, the main thread is interrupted instead.
        """
        self._stop.now()

    def get_openlineage_facets_on_complete(
        self,
        task_instance: object,  # noqa: ARG002 - OpenLineage's signature
    ) -> OperatorLineage[Any, Any]:
        """Return the source's tables and our tables for OpenLineage."""
        from airflow_kombo.observability.lineage_events import lineage  # noqa: PLC0415 - optional

        return lineage(
            self.warehouse_conn_id,
            self.ledger_conn_id,
            sql=self.sql,
            table=self.table,
            status_table=self.status_table,
        )


def written_by(write: Write | Callable[[], Write]) -> Write:
    """Return the write that an operator was given, or the write of the function that it was."""
    return write() if callable(write) else write
