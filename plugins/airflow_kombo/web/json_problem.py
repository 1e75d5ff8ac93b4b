"""Error of a JSON view, in one shape for all errors."""

from __future__ import annotations

import sys

from pydantic import BaseModel, ConfigDict, Field

if sys.version_info >= (3, 11):
    from enum import StrEnum
else:
    from backports.strenum import StrEnum


class ProblemCode(StrEnum):
    """Kind of an error. A program decides by this word, not by a sentence."""

    UNAUTHORIZED = "unauthorized"
    """The request has no valid token."""
    FORBIDDEN = "forbidden"
    """The user lacks Airflow's permission to see plugins."""
    NOT_FOUND = "not_found"
    """There is no such row, run or address."""
    NO_TABLES = "no_tables"
    """The tables do not exist yet: no run has delivered."""
    METHOD_NOT_ALLOWED = "method_not_allowed"
    INVALID_PARAMETERS = "invalid_parameters"
    """A parameter is not valid, not known or missing."""
    INVALID_POSITION = "invalid_position"
    """The position of a page is not one that an answer had."""
    UNAVAILABLE = "unavailable"
    """The warehouse did not answer in time. The request can be tried again."""
    NOT_SET_UP = "not_set_up"
    """The API server has no connection to the warehouse."""
    OTHER = "other"


class BadParameter(BaseModel):
    """Parameter to correct."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="The name of the parameter in the address.")
    problem: str = Field(description="The problem, for a person.")


class Problem(BaseModel):
    """Error of a request."""

    model_config = ConfigDict(frozen=True)

    status: int = Field(description="The HTTP status of the response.")
    code: ProblemCode = Field(description="The kind of the error, for a program.")
    title: str = Field(description="The error in a few words, for a person.")
    detail: str = Field(description="The error and the next step, for a person.")
    parameters: list[BadParameter] = Field(
        description="The parameters to correct; empty unless `code` is `invalid_parameters`."
    )
