"""The operator for result links."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from airflow_kombo.operators.write import KomboWriteOperator

if TYPE_CHECKING:
    from airflow_kombo.kombo_api.writes import Write

_STATUS_TABLE: Final = "kombo_result_links"


def _result_links() -> Write:
    # The models of the request take a third of the time that a dag file may take to be parsed.
    from airflow_kombo.kombo_api.result_link import RESULT_LINKS as WRITE  # noqa: PLC0415

    return WRITE


RESULT_LINKS: Final[Mapping[str, Any]] = MappingProxyType(
    {"write": _result_links, "status_table": _STATUS_TABLE}
)
"""Arguments of `KomboWriteOperator` that make it the operator for result links."""


class KomboResultLinkOperator(KomboWriteOperator):
    """Deliver rows of the warehouse as result links, and record the outcome of each.

    The parameters are those of `KomboWriteOperator` without `write`. A row with an
    `application_id` is posted to its application, any other row to its candidate.

    :param status_table: The status table, with its schema before a dot where it has one; the other
        two tables are named after it.
    """

    def __init__(self, *, status_table: str = _STATUS_TABLE, **kwargs: Any) -> None:
        super().__init__(**{**RESULT_LINKS, "status_table": status_table}, **kwargs)
