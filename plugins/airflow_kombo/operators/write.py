"""The operator for any other of Kombo's writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kombo.operators.result_link import KomboResultLinkOperator

if TYPE_CHECKING:
    from airflow_kombo.kombo_api.writes import Write


class KomboWriteOperator(KomboResultLinkOperator):
    """Deliver rows of the warehouse through another of Kombo's writes, as result links are.

    Takes the parameters of `KomboResultLinkOperator`, and one more. Its `mapping` has the members
    of the write's request, and its rows need `result_id`, `integration_id` and the columns of the
    write's targets.

    :param write: The endpoint, the request's model, and what its rows are known by.
    :param status_table: The status table; by default it is named after the write. Each write needs
        one of its own.
    """

    def __init__(self, *, write: Write, status_table: str | None = None, **kwargs: Any) -> None:
        super().__init__(status_table=status_table or write.status_table, **kwargs)
        self.write = write
