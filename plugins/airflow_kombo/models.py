"""The request, strict about what we send, and the answer, lenient about what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from ipaddress import IPv6Address
from typing import Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from airflow_kombo.errors import ConfigurationError, TargetType, Verdict, verdict_of

_USUAL_URL: Final = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.-]*(?:[/?#][!-~]*)?")
"""Usable at first sight: to take it apart would be a fifth of the time that mapping takes."""
_NOT_IN_A_URL: Final = re.compile(r"[\s\x00-\x1f\x7f]")
_LONGEST_MESSAGE: Final = 2_000
"""Characters of an error message or warning that are kept."""
_LONGEST_TARGET_TYPE: Final = 16
"""Characters: the tables' column has no more."""


class LinkKey(NamedTuple):
    """One delivery: a result on a candidate or an application of one integration.

    The target's type belongs to it: a candidate and an application may have the same id.
    """

    integration_id: str
    target_type: str
    target_id: str
    result_id: str

    @property
    def columns(self) -> dict[str, str]:
        """The key as the tables' columns name it."""
        return self._asdict()


class Request(BaseModel):
    """The body of one of Kombo's writes: a subclass names its members and their types.

    A mapping gives each member a text, and its type reads it: `float` reads `95`, `Json` an object.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def body(self) -> bytes:
        """Give the bytes that are sent: JSON without what has no value."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


@dataclass(frozen=True)
class Write:
    """One of Kombo's writes: its endpoint, its request, and what each of its rows is known by.

    :param name: What one is called, such as `result_link`: its tables are named after it.
    :param path: The endpoint below the API's base, with `{target_id}` for the record's id, and with
        `{target_type}` where records of more than one type are written to.
    :param request: What is sent.
    :param targets: The types of these records (16 characters at most), each with the column that
        holds its id. Of several, the first whose id is there is written to.
    :param method: The endpoint's HTTP method.
    :param once: The member of the request that one record may have only once: a second row with the
        same one is `invalid`, `duplicate_of`. By default any number of rows may say the same.
    :raises ConfigurationError: if these do not make an endpoint.
    """

    name: str
    path: str
    request: type[Request]
    targets: Mapping[str, str]
    method: Literal["POST", "PUT"] = "POST"
    once: str | None = None

    def __post_init__(self) -> None:
        """See that it can be used, before a row is read."""
        known = self.request.model_fields
        if "{target_id}" not in self.path or not self.path.startswith("/"):
            wrong = "its path must begin with / and have {target_id} where the record's id goes"
        elif not self.targets or any(len(target) > _LONGEST_TARGET_TYPE for target in self.targets):
            wrong = f"it needs targets, with names of at most {_LONGEST_TARGET_TYPE} characters"
        elif self.once is not None and self.once not in known:
            wrong = f"once names '{self.once}'; its request has {', '.join(known)}"
        else:
            return
        raise ConfigurationError(f"The write {self.name} cannot be used: {wrong}.")

    @property
    def status_table(self) -> str:
        """The status table's name, unless another is given."""
        return f"kombo_{self.name}s"

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that every source of rows must have: a delivery's key, not its content."""
        return ("result_id", "integration_id", *self.targets.values())

    def path_of(self, key: LinkKey) -> str:
        """Give the path of a row's endpoint, with the id escaped."""
        target_id = quote(key.target_id, safe="")
        return self.path.format(target_type=key.target_type, target_id=target_id)


def _http_url(url: str) -> str:
    if _USUAL_URL.fullmatch(url):
        return url
    try:
        parts = urlsplit(url)
        if "[" in parts.netloc:
            IPv6Address(parts.hostname or "")
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an IPv6 address without its bracket, a port that is no number
        usable = False
    if not usable or _NOT_IN_A_URL.search(url):
        raise ValueError("must be a whole http:// or https:// address without blanks")
    return url


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


HttpUrl = Annotated[str, AfterValidator(_http_url)]
"""An http(s) address, sent exactly as it is (pydantic's own type would rewrite it)."""

Text = Annotated[str, AfterValidator(_not_blank)]


class _Sent(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _RemoteFields(_Sent):
    """Fields of one ATS. The set grows, so an unknown member passes through untouched.

    What is not set is not sent: the defaults are only there to give members a value in Python.
    """

    model_config = ConfigDict(extra="allow")


class Attribute(_Sent):
    """A line that the ATS shows beside the link."""

    key: Text
    value: str


class Details(_Sent):
    """Attributes, for an ATS that can show them."""

    custom_field_name_prefix: str
    attributes: list[Attribute]


class IcimsFields(_RemoteFields):
    """What iCIMS takes."""

    assessment_package_id: str = ""


class OracleFields(_RemoteFields):
    """What Oracle Recruiting takes."""

    override_document_category: Literal[
        "IRC_CANDIDATE_RESUME", "IRC_CANDIDATE_COVERLETTER", "MISC", "IRC_INTERNAL"
    ] = "MISC"
    multi_post_to_all_current_applications: bool = False


class GreenhousePostHeaders(_RemoteFields):
    """Headers that Kombo passes on to Greenhouse."""

    on_behalf_of: str | None = Field(default=None, alias="On-Behalf-Of")


class GreenhouseFields(_RemoteFields):
    """What Greenhouse takes."""

    post_headers: GreenhousePostHeaders = Field(default_factory=GreenhousePostHeaders)


class WorkableFields(_RemoteFields):
    """What Workable takes."""

    on_behalf_of_user_remote_id: str = ""


class Talent360Fields(_RemoteFields):
    """What Talent360 takes."""

    user_id: str


class RemoteFields(_RemoteFields):
    """Fields that Kombo passes through to one ATS."""

    icims: IcimsFields = Field(default_factory=IcimsFields)
    oracle: OracleFields = Field(default_factory=OracleFields)
    greenhouse: GreenhouseFields = Field(default_factory=GreenhouseFields)
    workable: WorkableFields = Field(default_factory=WorkableFields)
    talent360: Talent360Fields = Field(
        default_factory=lambda: Talent360Fields.model_construct(user_id="")
    )


class ResultLink(Request, strict=True):
    """The body of both result-link endpoints."""

    label: Text
    url: HttpUrl
    details: Details | None = None
    remote_fields: RemoteFields | None = None

    def body(self) -> bytes:
        """Give the bytes that are sent: JSON without a null for what is not set."""
        empty = {name for name in ("details", "remote_fields") if getattr(self, name) is None}
        return self.model_dump_json(by_alias=True, exclude_unset=True, exclude=empty).encode()


RESULT_LINKS: Final = Write(
    name="result_link",
    path="/ats/{target_type}s/{target_id}/result-links",
    request=ResultLink,
    targets={
        TargetType.APPLICATION.value: "application_id",  # the one that Kombo recommends
        TargetType.CANDIDATE.value: "candidate_id",
    },
    once="url",
)
"""What this project is for."""


@dataclass(frozen=True)
class Delivery:
    """A row that became a request: what to send, and to whom."""

    key: LinkKey
    assessment_date: Any
    url: str | None
    """What its target may have only once; None where there is no such thing."""
    body: bytes
    write: Write = RESULT_LINKS

    @property
    def path(self) -> str:
        """The endpoint's path below the API's base."""
        return self.write.path_of(self.key)

    @cached_property
    def request_hash(self) -> str:
        """What changes when the row or the mapping changes what is sent."""
        return sha256(self.body).hexdigest()

    @cached_property
    def url_hash(self) -> str | None:
        """What two rows share that would put the same link on one target."""
        return None if self.url is None else sha256(self.url.encode()).hexdigest()


def clean(text: str, longest: int = _LONGEST_MESSAGE) -> str:
    """Make foreign text fit for a database's text: no NUL, no half surrogate, not endless."""
    return text[:longest].replace("\x00", "").encode("utf-8", "replace").decode()


def _text_or_none(value: object) -> str | None:
    return clean(value) if isinstance(value, str) else None


def _list_or_empty(value: object) -> object:
    return value if isinstance(value, list) else []


def _dict_or_empty(value: object) -> object:
    return value if isinstance(value, dict) else {}


def _message_of(warning: object) -> object:
    return warning.get("message") if isinstance(warning, dict) else warning


_Lenient = Annotated[str | None, BeforeValidator(_text_or_none)]


class _Error(BaseModel):
    code: _Lenient = None
    title: _Lenient = None
    message: _Lenient = None
    log_url: _Lenient = None


class _Body(BaseModel):
    status: Literal["success", "error"]
    error: Annotated[_Error, BeforeValidator(_dict_or_empty)] = Field(default_factory=_Error)
    warnings: Annotated[
        list[Annotated[_Lenient, BeforeValidator(_message_of)]], BeforeValidator(_list_or_empty)
    ] = Field(default_factory=list)


_LIMIT_HEADERS: Final = ("Concurrency-Limit", "ratelimit-limit")
"""Headers that are on each of Kombo's answers to an action, and on nobody else's."""
_LOST_ON_THE_WAY: Final = re.compile(rb"reset|terminat|disconnect|prematurely", re.IGNORECASE)
"""What a proxy's page says of a request that it had passed on, such as Envoy's."""


@dataclass(frozen=True)
class Answer:
    """What came back for one call, whoever answered: Kombo, a load balancer or a proxy.

    :param from_kombo: Whether Kombo answered: by its body or, where a 2xx has lost its body, by its
        headers.
    :param succeeded: Whether Kombo says that the link was written.
    :param may_have_arrived: Whether somebody else says that it lost a request which it had passed
        on.
    """

    http_status: int
    headers: Mapping[str, str]
    from_kombo: bool = False
    succeeded: bool = False
    may_have_arrived: bool = False
    error_code: str | None = None
    error_title: str | None = None
    error_message: str | None = None
    log_url: str | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, http_status: int, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """Read an answer; a body that is not Kombo's leaves only the status to go by.

        :param body: The body, or None if it did not arrive whole.
        """
        try:
            # The standard library's parser: pydantic's refuses half a surrogate, which would cost
            # us the error code of an answer whose message quotes a broken emoji.
            parsed = _Body.model_validate(json.loads((body or b"").decode("utf-8", "replace")))
        except (ValueError, RecursionError):  # ValueError: no JSON, or (pydantic's) not Kombo's
            return cls._without_word(http_status, headers, body)
        succeeded = parsed.status == "success"
        error = _Error() if succeeded else parsed.error
        return cls(
            http_status,
            headers,
            from_kombo=True,
            succeeded=succeeded,
            error_code=error.code or None,
            error_title=error.title,
            error_message=error.message,
            log_url=error.log_url,
            warnings=tuple(text for text in parsed.warnings if text),
        )

    @classmethod
    def _without_word(
        cls, http_status: int, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Read an answer without a body of Kombo's; its headers vouch for a 2xx that lost it."""
        if 200 <= http_status < 300 and not body and any(map(headers.get, _LIMIT_HEADERS)):  # noqa: PLR2004 - the 2xx class
            return cls(http_status, headers, from_kombo=True, succeeded=True)
        return cls(
            http_status,
            headers,
            may_have_arrived=bool(_LOST_ON_THE_WAY.search(body or b"")),
            error_message=_foreign(http_status, headers, body),
        )

    @cached_property
    def verdict(self) -> Verdict:
        """What this answer proves about the link."""
        return verdict_of(self)


def _foreign(http_status: int, headers: Mapping[str, str], body: bytes | None) -> str:
    if 300 <= http_status < 400:  # noqa: PLR2004 - redirects
        return f"HTTP {http_status}: a redirect, which is never followed"
    kind = clean(headers.get("Content-Type", ""), 60) or "no content type"
    if http_status < 300 and not body:  # noqa: PLR2004 - a 2xx
        return f"HTTP {http_status} with no body, and no header of Kombo's"
    return f"HTTP {http_status} with a body that is not Kombo's ({kind})"
