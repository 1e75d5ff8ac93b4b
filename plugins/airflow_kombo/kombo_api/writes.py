"""The request, strict about what we send, and the answer, lenient about what comes back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import ConfigurationError

_USUAL_URL: Final = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.-]*(?:[/?#][!-~]*)?")
"""Usable at first sight: to take it apart would be a fifth of the time that mapping takes."""
_NOT_IN_A_URL: Final = re.compile(r"[\s\x00-\x1f\x7f]")
_LONGEST_TARGET_TYPE: Final = 16
"""Characters: the tables' column has no more."""


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
