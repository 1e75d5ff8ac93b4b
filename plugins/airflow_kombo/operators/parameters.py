"""The operators' parameters, read from the values of templates and of people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.ledger.time_limits import KOMBO_LOG_DAYS
from airflow_kombo.operators.parameter_types import (
    A_CAP,
    A_COUNT,
    A_DAY,
    A_FLAG,
    A_LIST_OF_IDS,
    A_SHARD,
    A_TEXT,
    DECISIONS,
    SEEN_VERSIONS,
    AtLeastOne,
    Cap,
    Day,
    Decided,
    Flag,
    Ids,
    Lines,
    Number,
    Statuses,
    Text,
    Versions,
    Words,
    is_nothing,
    shown,
    takes,
)
from airflow_kombo.planning.shards import PlannedShard
from airflow_kombo.statuses import REDELIVERABLE

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

if sys.version_info >= (3, 11):
    from typing import Self
else:
    from typing_extensions import Self

MOST_SHARDS: Final = 100
"""Most shards of a day: Airflow's scheduler slows down with some hundred mapped tasks."""
_ATTRIBUTES: Final[Mapping[str, str]] = {"dry_run": "is_dry_run"}
"""The operators' attributes with another name than their parameter."""
_EXCLUDED: Final[Mapping[str, tuple[str, ...]]] = {
    "export_to": ("decision", "decisions", "decisions_from", "dry_run"),
    "decisions": ("decision", "decisions_from"),
    "decisions_from": ("decision",),
}
"""Parameters of a deciding task, each with the parameters that it excludes."""


class _Parameters(BaseModel):
    """Parameters of an operator, under the names of the constructor."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def of(cls, operator: Any) -> Self:
        """Read an operator's attributes.

        :raises ConfigurationError: naming each parameter that cannot be read, its value and the
            values that it takes.
        """
        given = {name: getattr(operator, _ATTRIBUTES.get(name, name)) for name in cls.model_fields}
        try:
            return cls.model_validate(
                {name: value for name, value in given.items() if not is_nothing(value)}
            )
        except ValidationError as error:
            wrong = "; ".join(cls._explain(one, given) for one in error.errors())
            raise ConfigurationError(f"The task {operator.task_id} cannot run: {wrong}.") from None

    @classmethod
    def _explain(cls, error: ErrorDetails, given: Mapping[str, object]) -> str:
        name = str(error["loc"][0])
        hint = error["ctx"]["error"] if error["type"] == "value_error" else ""
        takes = cls.model_fields[name].description
        return f"{name} is {shown(given[name])}, and has to be {takes}{hint}"


class RunParameters(_Parameters):
    """Parameters of a delivering task; see `KomboWriteOperator`."""

    sql: Text | None = takes(A_TEXT)
    table: Text | None = takes(A_TEXT)
    rows_task_id: Text | None = takes(A_TEXT)
    assessment_date: Day | None = takes(A_DAY)
    lookback_days: Annotated[Number, Field(ge=0, le=366)] = takes(
        "a whole number from 0 to 366", default=0
    )
    integration_ids: Ids = takes(A_LIST_OF_IDS, default=())
    result_ids: Ids = takes(A_LIST_OF_IDS, default=())
    redeliver: Statuses = takes(f"a list of some of {', '.join(REDELIVERABLE)}", default=())
    seen: Versions = takes(SEEN_VERSIONS, default={})
    limit: AtLeastOne | None = takes(A_COUNT)
    max_rows: AtLeastOne | None = takes(A_COUNT)
    approve_rows: Flag = takes(A_FLAG, default=False)
    not_before: Day | None = takes(A_DAY)
    dry_run: Flag = takes(A_FLAG, default=False)
    max_in_flight: Cap = takes(A_CAP)
    shard: PlannedShard | None = takes(A_SHARD)
    store_request: Flag = takes(A_FLAG, default=True)
    masked_fields: Words = takes("a list of names such as ['label']", default=())
    keep_responses_days: Annotated[Number, Field(ge=0, le=3650)] = takes(
        "a whole number from 0 to 3650", default=KOMBO_LOG_DAYS
    )

    @classmethod
    def of(cls, operator: Any) -> Self:
        """Read an operator's attributes.

        :raises ConfigurationError: as for any operator, and if there is not one source of rows.
        """
        parameters = super().of(operator)
        sources = [parameters.sql, parameters.table, parameters.rows_task_id]
        if len(sources) - sources.count(None) != 1:
            raise ConfigurationError(
                f"The task {operator.task_id} needs one of sql, table and rows_task_id."
            )
        return parameters

    def is_whole(self, day: date) -> bool:
        """Return True if a run with these parameters covers the whole day."""
        if self.not_before and self.not_before > day:
            return False
        return not (self.dry_run or self.integration_ids or self.result_ids or self.limit)


class PlanParameters(RunParameters):
    """Parameters of a planning task; see `KomboPlanOperator`."""

    shards: Annotated[Number, Field(ge=1, le=MOST_SHARDS)] = takes(
        f"a whole number from 1 to {MOST_SHARDS}", default=1
    )

    @property
    def are_one_shard(self) -> bool:
        """Return True for a run that one task does: its rows are few, or it sends none."""
        return self.shards == 1 or bool(self.dry_run or self.limit or self.result_ids)


class ResolveParameters(_Parameters):
    """Parameters of a deciding task; see `KomboResolveUnknownOperator`."""

    result_ids: Ids = takes(A_LIST_OF_IDS, default=())
    integration_ids: Ids = takes(A_LIST_OF_IDS, default=())
    assessment_date: Day | None = takes(A_DAY)
    error_code: Text | None = takes(A_TEXT)
    run_id: Text | None = takes(A_TEXT)
    decision: Decided | None = takes(f"one of {', '.join(DECISIONS)}")
    reason: Text | None = takes(A_TEXT)
    decisions: Lines | None = takes("the text of a CSV file")
    decisions_from: Text | None = takes(A_TEXT)
    export_to: Text | None = takes(A_TEXT)
    dry_run: Flag = takes(A_FLAG, default=False)

    @classmethod
    def of(cls, operator: Any) -> Self:
        """Read an operator's attributes.

        :raises ConfigurationError: as for any operator, and for parameters that exclude each other.
        """
        parameters = super().of(operator)
        for name, others in _EXCLUDED.items():
            both = [one for one in others if getattr(parameters, name) and getattr(parameters, one)]
            if both:
                raise ConfigurationError(
                    f"The task {operator.task_id} cannot run: {name} does not go together with"
                    f" {' and '.join(both)}."
                )
        return parameters

    @property
    def has_file(self) -> bool:
        """Return True if the decisions are in a file."""
        return bool(self.decisions or self.decisions_from)


class ReconcileParameters(_Parameters):
    """Parameters of a task that looks for links; see `KomboReconcileOperator`."""

    result_ids: Ids = takes(A_LIST_OF_IDS, default=())
    integration_ids: Ids = takes(A_LIST_OF_IDS, default=())
    assessment_date: Day | None = takes(A_DAY)
    look_again: Flag = takes(A_FLAG, default=False)
    dry_run: Flag = takes(A_FLAG, default=False)
