"""What travels over the wire: the body Kombo accepts and the JSON Kombo answers.

Source: Kombo's published OpenAPI document, the two ``POST .../result-links`` and their
``ErrorResponseATS``; https://docs.kombo.dev.
"""

import json
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict  # pydantic needs this one before Python 3.12

TargetType = Literal["candidate", "application"]

JSON = "application/json"


class Link(NamedTuple):
    """One result link: on whose record it is made, and what it shows."""

    integration_id: str
    target_type: TargetType
    target_id: str
    label: str
    url: str


# RFC 3986 in short: a scheme, its legal characters and escapes only, at most one fragment. A URL
# parser would not do: it mends spaces and umlauts in silence where a schema's `uri` refuses them.
_CHARACTER = r"(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
Uri = Annotated[
    str,
    StringConstraints(pattern=rf"^[A-Za-z][A-Za-z0-9+.-]*:{_CHARACTER}+(?:#{_CHARACTER}*)?$"),
]


class Attribute(TypedDict):
    """One line of the details; a number as value is an error, Kombo wants text."""

    key: str
    value: str


class Details(TypedDict):
    """What a result shows besides its link; both members are required."""

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
    """Fields for single ATSs: the known ones are checked, an unknown one may come along."""

    icims: NotRequired[Icims]
    oracle: NotRequired[Oracle]
    talent360: NotRequired[Talent360]
    greenhouse: NotRequired[Greenhouse]
    workable: NotRequired[Workable]


class ResultLinkBody(TypedDict):
    """The body of both endpoints. Optional members may be left out, but not be null."""

    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]  # how pydantic asks for it

    label: str
    url: Uri
    details: NotRequired[Details]
    remote_fields: NotRequired[RemoteFields]


_BODY = TypeAdapter(ResultLinkBody)


def parse_body(body: bytes) -> ResultLinkBody:
    """Read a request's body as strictly as the published schema demands.

    Raises:
        ValueError: The body does not fit; the message names the fields but repeats no content,
            because what a body holds is personal data.

    """
    try:
        return _BODY.validate_json(body, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        fields = (f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['type']}" for e in found)
        raise ValueError("; ".join(fields)) from None


def success_body(warnings: list[str]) -> bytes:
    """Build Kombo's answer to a link that was made."""
    texts = [{"message": warning} for warning in warnings]
    return json.dumps({"status": "success", "data": {}, "warnings": texts}).encode()


def error_body(code: str | None, title: str | None, message: str, log_url: str) -> bytes:
    """Build Kombo's error; ``code`` and ``title`` may be null, and both must be present."""
    error: dict[str, Any] = {"code": code, "title": title, "message": message, "log_url": log_url}
    return json.dumps({"status": "error", "error": error}).encode()
