"""Parameters and pages of the reads that Kombo answers from synced data."""

import re
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams

from tools.kombo_standin.wire import named_fields

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?)?Z?")
_CURSOR = re.compile(r"cursor-([0-9]+)")


def _moment(text: str) -> str:
    if not _MOMENT.fullmatch(text):
        raise ValueError
    return text


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc)


def _after(cursor: str) -> int:
    if not (found := _CURSOR.fullmatch(cursor)):
        raise ValueError
    return int(found[1])


Flag = Literal["true", "false"]
Id = Annotated[str, Field(min_length=1)]
Ids = Annotated[list[Id], BeforeValidator(lambda text: text.split(","))]
Moment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_in_utc)]


class Query(BaseModel):
    """Parameters of all these reads; the stand-in refuses all parameters without an effect.

    :param page_size: The number of results on a page.
    :param cursor: The last position of the page before.
    :param include_deleted: Whether the results have what the ATS has no more.
    :param ignore_unsupported_filters: Nothing, because all filters are supported.
    :param ids: Kombo's ids of the results.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    page_size: Annotated[int, Field(ge=1, le=250)] = 100
    cursor: Annotated[int, BeforeValidator(_after)] = -1
    include_deleted: Flag = "false"
    ignore_unsupported_filters: Flag = "false"
    ids: Ids | None = None


class RecordsQuery(Query):
    """Parameters of applications and candidates: without ids, the stand-in would know of none."""

    ids: Ids


class NotesQuery(Query):
    """Parameters of notes.

    :param candidate_ids: The candidates.
    :param application_ids: The applications.
    :param updated_after: The time of the earliest change.
    """

    candidate_ids: Ids | None = None
    application_ids: Ids | None = None
    updated_after: Moment | None = None


AnyQuery = TypeVar("AnyQuery", bound=Query)


def parse_query(schema: type[AnyQuery], params: QueryParams) -> AnyQuery:
    """Read a query string.

    :raises ValueError: if a parameter is unknown, repeated or invalid.
    """
    values = dict(params)
    if len(values) != len(params.multi_items()):
        raise ValueError("A parameter is repeated: lists are separated by commas.")
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise ValueError(named_fields(error)) from None


def page(results: Iterable[tuple[int, dict[str, Any]]], query: Query) -> dict[str, Any]:
    """Return one page of results with their positions, and the cursor of the next page."""
    left = [(position, one) for position, one in results if position > query.cursor]
    shown = left[: query.page_size]
    following = f"cursor-{shown[-1][0]}" if len(left) > len(shown) else None
    return {"next": following, "results": [one for _, one in shown]}
