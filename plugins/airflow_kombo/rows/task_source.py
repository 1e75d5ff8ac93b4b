"""Rows of an upstream task."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.kombo_api.writes import Write
from airflow_kombo.rows.other_targets import with_other_targets
from airflow_kombo.rows.row_keys import OTHER_TARGET, Row, assessment_date_of, id_of, integration_of
from airflow_kombo.rows.source import Selection, Unmatched


class TaskSource:
    """Rows of an upstream task.

    :param rows: The task's return value: a list of dictionaries, or a DataFrame.
    :param selection: The rows that the run wants.
    :param default_integration: The integration of rows without one.
    :param write: The write that sends the rows.
    :raises ConfigurationError: if the task returned something else.
    """

    def __init__(
        self,
        rows: Any,
        selection: Selection,
        default_integration: str | None = None,
        write: Write = RESULT_LINKS,
    ) -> None:
        self.unmatched = Unmatched(selection)
        records = _records(rows)
        self._columns = {name for row in records for name in row}
        self._by_integration: dict[str, list[Row]] = {}
        if records:
            selection.check(self._columns)
        with_targets = with_other_targets(
            sorted(enumerate(records), key=_result_of),
            result_of=_result_of,
            row_of=lambda numbered: numbered[1],
            default_integration=default_integration,
            write=write,
        )
        for (_, record), other in sorted(with_targets, key=lambda pair: pair[0][0]):
            row = {**record, OTHER_TARGET: other} if other else record
            integration_id = integration_of(row, default_integration)
            if not _is_too_old(row, selection) and self.unmatched.admit(
                integration_id, row.get("result_id")
            ):
                self._by_integration.setdefault(integration_id, []).append(row)

    def columns(self) -> Collection[str]:
        """Return the columns of all rows together."""
        return self._columns

    def plan(self) -> Mapping[str, int]:
        """Count the rows by integration."""
        return {integration_id: len(rows) for integration_id, rows in self._by_integration.items()}

    def pages(self, integration_id: str, rows: int) -> Iterator[list[Row]]:
        """Yield an integration's rows in one page: they are in memory already.

        :param rows: Most rows to yield.
        """
        yield self._by_integration.get(integration_id, [])[:rows]

    def cancel(self) -> None:
        """Do nothing: the rows are in memory."""


def _result_of(numbered: tuple[int, Row]) -> str:
    return id_of(numbered[1].get("result_id"))


def _records(rows: Any) -> list[Row]:
    if hasattr(rows, "to_dict"):
        rows = rows.to_dict("records")
    kind = type(rows).__name__
    if isinstance(rows, Sequence) and not isinstance(rows, (str, bytes)):
        other = next((row for row in rows if not isinstance(row, Mapping)), None)
        if other is None:
            return list(rows)
        kind += f" with a {type(other).__name__} in it"
    raise ConfigurationError(
        f"The upstream task of rows_task_id returned a {kind}. Let it return a list of"
        " dictionaries, or a DataFrame."
    )


def _is_too_old(row: Row, selection: Selection) -> bool:
    if not selection.not_before:
        return False
    day = assessment_date_of(row)
    return day is not None and day < selection.not_before
