"""Names of the shown write, derived from the status table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from airflow_kombo.ledger.tables import STATUS_TABLE

_TABLE_OF_WRITE: Final = re.compile(r"kombo_(\w+)s")
"""Default name of a write's status table."""
_DELIVERY_DAG: Final = "kombo_result_links"
_DECISION_DAG: Final = "kombo_resolve_unknown"


@dataclass(frozen=True)
class ShownWrite:
    """Names of the shown write, the created objects and the dags.

    :param status_table: The status table, with its schema before a dot where it has one.
    """

    status_table: str = STATUS_TABLE

    @property
    def title(self) -> str:
        """Title of the page, such as `Kombo result links`."""
        words = self._table.replace("_", " ").strip()
        return words[:1].upper() + words[1:]

    @property
    def created_object(self) -> str:
        """Name of a created object, such as `result link`."""
        match = _TABLE_OF_WRITE.fullmatch(self._table)
        return match[1].replace("_", " ") if match else "record"

    @property
    def file_name(self) -> str:
        """Name of an exported file, without the extension."""
        return re.sub(r"[^\w.-]", "_", self._table, flags=re.ASCII)

    @property
    def delivery_dag_id(self) -> str | None:
        """Dag for deliveries to the default tables; None for other tables."""
        return _DELIVERY_DAG if self._is_default else None

    @property
    def decision_dag_id(self) -> str | None:
        """Dag for decisions about rows of the default tables; None for other tables."""
        return _DECISION_DAG if self._is_default else None

    def dag_hint(self, *, decides: bool) -> str:
        """Describe a dag unknown to the page, for a person in search of the dag.

        :param decides: True for the deciding dag, False for the delivering one.
        """
        if decides:
            operator = f'KomboResolveUnknownOperator has the status_table "{self.status_table}"'
            return f"the dag whose {operator}"
        return f"the dag that delivers to {self.status_table}"

    @property
    def _table(self) -> str:
        return self.status_table.rpartition(".")[2]

    @property
    def _is_default(self) -> bool:
        return self._table == STATUS_TABLE
