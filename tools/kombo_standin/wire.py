"""Wire format: the bodies of Kombo's requests and responses.

Source: Kombo's published OpenAPI document, the two ``POST .../result-links``, the
``PUT /assessment/orders/{assessment_order_id}/result`` and their ``ErrorResponseATS``;
https://docs.kombo.dev.
"""

import json
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict  # pydantic needs this one before Python 3.12

TargetType = Literal["candidate", "application", "order"]

JSON = "application/json"


class Link(NamedTuple):
    """One result link: the target and the shown values."""

    integration_id: str
    target_type: TargetType
    target_id: str
    label: str
    url: str


class OrderResult(NamedTuple):
    """One order's result: the order and the most important values."""

    integration_id: str
    target_type: TargetType
    target_id: str
    url: str
    status: str
    score: float | None


# RFC 3986 in short: a scheme, legal characters and escapes, at most one fragment. A URL parser
# would accept spaces and umlauts, which a schema's `uri` refuses.
_CHARACTER = r"(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
Uri = Annotated[
    str,
    StringConstraints(pattern=rf"^[A-Za-z][A-Za-z0-9+.-]*:{_CHARACTER}+(?:#{_CHARACTER}*)?$"),
]


Number = Annotated[float, Field(allow_inf_nan=False)]
Moment = Annotated[
    str,
    StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?)?Z?$"),
]


class Attribute(TypedDict):
    """One line of the details; Kombo refuses a number as value."""

    key: str
    value: str


class Details(TypedDict):
    """Details of a result besides the link; both members are required."""

    custom_field_name_prefix: str
    attributes: list[Attribute]


class Icims(TypedDict):
    """Fields for iCIMS."""

    assessment_package_id: NotRequired[str]


class Oracle(TypedDict):
    """Fields for Oracle."""

    override_document_category: NotRequired[
        Literal["IRC_CANDIDATE_RESUME", "IRC_CANDIDATE_COVERLETTER", "MISC", "IRC_INTERNAL"]
    ]
    multi_post_to_all_current_applications: NotRequired[bool]


class Talent360(TypedDict):
    """Fields for Talent360."""

    user_id: str


# The functional form, because the header's name is no Python name.
PostHeaders = TypedDict("PostHeaders", {"On-Behalf-Of": NotRequired[str | None]})


class Greenhouse(TypedDict):
    """Fields for Greenhouse."""

    post_headers: NotRequired[PostHeaders]


class Workable(TypedDict):
    """Fields for Workable."""

    on_behalf_of_user_remote_id: NotRequired[str]


class RemoteFields(TypedDict):
    """Fields for single ATSs: known ones are checked, unknown ones are accepted."""

    icims: NotRequired[Icims]
    oracle: NotRequired[Oracle]
    talent360: NotRequired[Talent360]
    greenhouse: NotRequired[Greenhouse]
    workable: NotRequired[Workable]


class ResultLinkBody(TypedDict):
    """Body of both endpoints; optional members may be missing, but not null."""

    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]  # how pydantic asks for it

    label: str
    url: Uri
    details: NotRequired[Details]
    remote_fields: NotRequired[RemoteFields]


class TextAttribute(TypedDict):
    """A line of text in an order's result."""

    type: Literal["TEXT"]
    label: str
    value: str


class SubScore(TypedDict):
    """A part's score."""

    value: Number
    max: Annotated[Number, Field(ge=1)]


class SubResult(TypedDict):
    """A part of an order's result."""

    type: Literal["SUB_RESULT"]
    id: str
    label: str
    score: SubScore
    status: Literal["COMPLETED", "CANCELLED"]


class Attachment(TypedDict):
    """A file with an order's result."""

    name: str
    content_type: NotRequired[Annotated[str, StringConstraints(pattern=r"^[\w.-]+\/[\w.-]+$")]]
    data_url: NotRequired[Uri]
    data: NotRequired[str]


class OrderResultBody(TypedDict):
    """Body of an order's result; fields for single ATSs are not checked."""

    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]  # how pydantic asks for it

    status: Literal["COMPLETED", "CANCELLED", "OPEN"]
    result_url: Uri
    completed_at: NotRequired[Moment]
    score: NotRequired[Number]
    max_score: NotRequired[Number]
    attributes: NotRequired[list[TextAttribute | SubResult]]
    attachments: NotRequired[Annotated[list[Attachment], Field(max_length=5)]]
    remote_fields: NotRequired[dict[str, Any]]


class PassthroughBody(TypedDict):
    """Body of a request to the ATS's own API; headers and data are of no use here."""

    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]  # how pydantic asks for it

    method: Literal["GET", "POST", "DELETE", "PUT", "PATCH"]
    path: str
    headers: NotRequired[dict[str, str]]
    params: NotRequired[dict[str, str]]
    data: NotRequired[Any]


_BODY = TypeAdapter(ResultLinkBody)
_ORDER_RESULT = TypeAdapter(OrderResultBody)
_PASSTHROUGH = TypeAdapter(PassthroughBody)

Body = TypeVar("Body")


def parse_body(body: bytes) -> ResultLinkBody:
    """Read a result link as strictly as the published schema.

    :raises ValueError: if the body does not fit the schema.
    """
    return _parse(_BODY, body)


def parse_order_result(body: bytes) -> OrderResultBody:
    """Read an order's result as strictly as the published schema.

    :raises ValueError: if the body does not fit the schema.
    """
    return _parse(_ORDER_RESULT, body)


def parse_passthrough(body: bytes) -> PassthroughBody:
    """Read a request to the ATS's own API as strictly as the published schema.

    :raises ValueError: if the body does not fit the schema.
    """
    return _parse(_PASSTHROUGH, body)


def _parse(schema: TypeAdapter[Body], body: bytes) -> Body:
    """Read a body by a schema.

    :raises ValueError: if the body does not fit the schema. The message names the fields without
        their content, which is personal data.
    """
    try:
        return schema.validate_json(body, strict=True)
    except ValidationError as error:
        raise ValueError(named_fields(error)) from None


def named_fields(error: ValidationError) -> str:
    """Return the fields that do not fit a schema, each with a reason and without the content."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['type']}" for e in found)


def success_body(warnings: list[str]) -> bytes:
    """Build Kombo's response to a success."""
    texts = [{"message": warning} for warning in warnings]
    return json.dumps({"status": "success", "data": {}, "warnings": texts}).encode()


def error_body(code: str | None, title: str | None, message: str, log_url: str) -> bytes:
    """Build Kombo's error; ``code`` and ``title`` are required, and may be null."""
    error: dict[str, Any] = {"code": code, "title": title, "message": message, "log_url": log_url}
    return json.dumps({"status": "error", "error": error}).encode()
