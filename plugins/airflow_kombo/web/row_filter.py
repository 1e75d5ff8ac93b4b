"""Conditions and keys of rows, as parameters of an address."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.statuses import Status
from airflow_kombo.web.pagination import Id, Sort


def none_if_empty(value: object) -> object:
    """Return None for an empty field of a form."""
    return value.strip() or None if isinstance(value, str) else value


OptionalText = Annotated[Id | None, BeforeValidator(none_if_empty)]
"""Text of a field that may be empty."""
OptionalDay = Annotated[date | None, BeforeValidator(none_if_empty)]
"""Day of a field that may be empty."""
_MapIndex = Annotated[int, Field(ge=-1, lt=2**31)]
"""Number in the range of the column `map_index`."""


class RowFilter(BaseModel):
    """Conditions for the rows to show; a row has to meet all of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    q: OptionalText = Field(
        None, description="The whole id of a result, of a target or of an integration."
    )
    status: Annotated[Status | None, BeforeValidator(none_if_empty)] = Field(
        None, description="The status of the rows."
    )
    day: OptionalDay = Field(None, description="The rows' `assessment_date`.")
    since: OptionalDay = Field(None, description="The first `assessment_date` of the rows.")
    until: OptionalDay = Field(None, description="The last `assessment_date` of the rows.")
    error_code: OptionalText = Field(None, description="The error code of the rows.")
    integration: OptionalText = Field(None, description="The id of the rows' integration.")
    left_out: Annotated[Literal["yes", "no"] | None, BeforeValidator(none_if_empty)] = Field(
        None, description="Only rows that a person has left out (`yes`), or only the others."
    )
    dag_id: OptionalText = Field(
        None, description="With `dag_run_id`: only rows that this dag wrote last."
    )
    dag_run_id: OptionalText = Field(None, description="Only rows that this dag run wrote last.")
    task_id: OptionalText = Field(
        None, description="With `dag_run_id`: only rows that this task wrote last."
    )
    map_index: Annotated[_MapIndex | None, BeforeValidator(none_if_empty)] = Field(
        None, description="With `dag_run_id`: only rows that this mapped task wrote last."
    )
    sort: Sort = Field(
        "newest", description="The order, by day or by integration. Rows without a day come last."
    )
    after: OptionalText = Field(
        None, description="The position of the last row of the page before."
    )
    before: OptionalText = Field(
        None, description="The position of the first row of the page after."
    )

    @property
    def conditions(self) -> dict[str, str]:
        """All conditions as parameters of an address, without the position in the list."""
        given = self.model_dump(mode="json", exclude={"after", "before"}, exclude_defaults=True)
        return {name: str(value) for name, value in given.items()}


class UnknownFilter(BaseModel):
    """Conditions for unknown rows, named as in the list of rows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    day: OptionalDay = None
    since: OptionalDay = None
    until: OptionalDay = None
    error_code: OptionalText = None
    integration: OptionalText = None


class RowKey(BaseModel):
    """Key of one row."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    integration_id: Id = Field(description="The id of the row's integration.")
    target_type: Id = Field(description="The type of the target: `application` or `candidate`.")
    target_id: Id = Field(description="The id of the target.")
    result_id: Id = Field(description="The id of the result.")

    @property
    def link_key(self) -> LinkKey:
        """The key as the tables have it."""
        return LinkKey(self.integration_id, self.target_type, self.target_id, self.result_id)
