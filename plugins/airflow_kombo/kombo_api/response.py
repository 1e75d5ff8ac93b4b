"""Responses to a call, read leniently, from Kombo or from any other server."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, Field

from airflow_kombo.kombo_api.verdicts import Verdict, verdict_of

_LONGEST_MESSAGE: Final = 2_000
"""Characters at most that are kept of an error message or a warning."""
_LONGEST_BODY_BYTES: Final = 8 * 1024
"""Bytes at most that are kept of a body."""


def clean(text: str, longest: int = _LONGEST_MESSAGE) -> str:
    """Return foreign text as a database can store it.

    NUL characters are removed, half surrogates are replaced, and long text is cut.

    :param longest: Characters at most.
    """
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


_NO_ERROR: Final = _Error()


class _Body(BaseModel):
    status: Literal["success", "error"]
    error: Annotated[_Error, BeforeValidator(_dict_or_empty)] = Field(default_factory=_Error)
    warnings: Annotated[
        list[Annotated[_Lenient, BeforeValidator(_message_of)]], BeforeValidator(_list_or_empty)
    ] = Field(default_factory=list)


def _is_plain_success(content: object) -> bool:
    """Return True for a success without warnings: the model would read the same from it."""
    return (
        isinstance(content, dict)
        and content.get("status") == "success"
        and not content.get("warnings")
    )


_LIMIT_HEADERS: Final = ("Concurrency-Limit", "ratelimit-limit")
"""Headers of each of Kombo's responses to an action, and of no other server's."""
_LOST_ON_THE_WAY: Final = re.compile(rb"reset|terminat|disconnect|prematurely", re.IGNORECASE)
"""Words of a proxy's page, such as Envoy's, about a request that it passed on and then lost."""


class KeptBody(NamedTuple):
    """Beginning of a body, as a database can store it.

    :param is_cut: True if the body was longer.
    """

    text: str
    is_cut: bool


@dataclass(frozen=True)
class KomboResponse:
    """Response to one call, from Kombo, a load balancer or a proxy.

    :param from_kombo: Whether Kombo answered. Its body proves that or, where a 2xx has lost its
        body, its headers.
    :param succeeded: Whether Kombo confirms that the row was written.
    :param may_have_arrived: Whether another server reports that it lost a request which it had
        passed on.
    :param beginning: The first bytes of the body. They are personal data, and in no `repr`.
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
    beginning: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, http_status: int, headers: Mapping[str, str], body: bytes | None) -> KomboResponse:
        """Read a response; of another server's response only the status counts.

        :param body: The body, or None if it did not arrive whole.
        """
        try:
            # The standard library's parser: pydantic's refuses half a surrogate, and a response
            # whose message quotes a broken emoji would lose its error code.
            content = json.loads((body or b"").decode("utf-8", "replace"))
            if _is_plain_success(content):  # of a thousand responses almost all
                return cls(
                    http_status,
                    headers,
                    from_kombo=True,
                    succeeded=True,
                    beginning=_beginning(body),
                )
            return cls._by_model(http_status, headers, body, content)
        except (ValueError, RecursionError):  # ValueError: no JSON, or (pydantic's) not Kombo's
            return cls._without_body(http_status, headers, body)

    @classmethod
    def _by_model(
        cls, http_status: int, headers: Mapping[str, str], body: bytes | None, content: object
    ) -> KomboResponse:
        """Read a response with a body of JSON.

        :raises ValueError: if the body is not Kombo's.
        """
        parsed = _Body.model_validate(content)
        succeeded = parsed.status == "success"
        error = _NO_ERROR if succeeded else parsed.error
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
            beginning=_beginning(body),
        )

    @classmethod
    def _without_body(
        cls, http_status: int, headers: Mapping[str, str], body: bytes | None
    ) -> KomboResponse:
        """Read a response without a body of Kombo's; headers may prove a 2xx."""
        if 200 <= http_status < 300 and not body and any(map(headers.get, _LIMIT_HEADERS)):  # noqa: PLR2004 - the 2xx class
            return cls(http_status, headers, from_kombo=True, succeeded=True)
        return cls(
            http_status,
            headers,
            may_have_arrived=bool(_LOST_ON_THE_WAY.search(body or b"")),
            error_message=_description(http_status, headers, body),
            beginning=_beginning(body),
        )

    @cached_property
    def verdict(self) -> Verdict:
        """Return the verdict on this response."""
        return verdict_of(self)

    @property
    def is_plain_success(self) -> bool:
        """Return True if the write is confirmed, and there is nothing else to know."""
        return self.verdict is Verdict.CREATED and not self.warnings

    @property
    def kept_body(self) -> KeptBody:
        """Return the body up to 8 KB, cut between two characters."""
        is_cut = len(self.beginning) > _LONGEST_BODY_BYTES
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(self.beginning[:_LONGEST_BODY_BYTES], final=not is_cut)
        return KeptBody(clean(text, len(text)), is_cut)


def _beginning(body: bytes | None) -> bytes:
    """Return as many bytes of a body as are kept, and one more if the body is longer."""
    return (body or b"")[: _LONGEST_BODY_BYTES + 1]


def _description(http_status: int, headers: Mapping[str, str], body: bytes | None) -> str:
    """Return an error message for another server's response."""
    if 300 <= http_status < 400:  # noqa: PLR2004 - redirects
        return f"HTTP {http_status}: a redirect, which is never followed"
    kind = clean(headers.get("Content-Type", ""), 60) or "no content type"
    if http_status < 300 and not body:  # noqa: PLR2004 - a 2xx
        return f"HTTP {http_status} with no body, and no header of Kombo's"
    return f"HTTP {http_status} with a body that is not Kombo's ({kind})"
