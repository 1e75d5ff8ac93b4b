"""The operator for result links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kombo.operators.write import KomboWriteOperator

if TYPE_CHECKING:
    from airflow_kombo.kombo_api.writes import Write


class KomboResultLinkOperator(KomboWriteOperator):
    """Deliver rows of the warehouse as result links, and record the outcome of each.

    The parameters are those of `KomboWriteOperator` without `write`. A row with an
    `application_id` is posted to its application, any other row to its candidate.

    :param status_table: The status table, with its schema before a dot where it has one; the other
        two tables are named after it.
    """

    def __init__(self, *, status_table: str = "kombo_result_links", **kwargs: Any) -> None:
        super().__init__(write=_result_links, status_table=status_table, **kwargs)


def _result_links() -> Write:
    # The models of the request take a third of the time that a dag file may take to be parsed.
    from airflow_kombo.kombo_api.result_link import RESULT_LINKS  # noqa: PLC0415

    return RESULT_LINKS
