"""Kombo's writes: the endpoint, the request and the targets of each of them."""

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
"""Addresses that need no parsing: parsing would be a fifth of the time of a mapping."""
_NOT_IN_A_URL: Final = re.compile(r"[\s\x00-\x1f\x7f]")
_LONGEST_TARGET_TYPE: Final = 16
"""Characters at most of a target's type: the size of the tables' column."""


class Request(BaseModel):
    """Body of one of Kombo's writes; a subclass declares the members and their types.

    A mapping renders a text for each member, and the member's type parses the text: `float` parses
    `95`, `Json` an object.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def body(self) -> bytes:
        """Return the body as JSON, without the members that have no value."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


@dataclass(frozen=True)
class Write:
    """One of Kombo's writes: endpoint, request and targets.

    :param name: The write's name in the singular, such as `result_link`. Its tables are named after
        it.
    :param path: The endpoint below the API's base, with `{target_id}` for the target's id, and with
        `{target_type}` where there are targets of more than one type.
    :param request: The type of the body.
    :param targets: The types of the records that are written to (16 characters at most), each with
        the column of its id. The first type whose id is not empty is taken.
    :param method: The endpoint's HTTP method.
    :param once: The member of the request that a target may have only once. A second row with the
        same value is `invalid` with the code `duplicate_of`. Without it values may repeat.
    :raises ConfigurationError: if these do not make an endpoint.
    """

    name: str
    path: str
    request: type[Request]
    targets: Mapping[str, str]
    method: Literal["POST", "PUT"] = "POST"
    once: str | None = None

    def __post_init__(self) -> None:
        """Check the endpoint and the targets, before a row is read."""
        known = self.request.model_fields
        if "{target_id}" not in self.path or not self.path.startswith("/"):
            wrong = "its path must begin with / and contain {target_id}"
        elif not self.targets or any(len(target) > _LONGEST_TARGET_TYPE for target in self.targets):
            wrong = f"it needs targets, with names of at most {_LONGEST_TARGET_TYPE} characters"
        elif self.once is not None and self.once not in known:
            wrong = f"once names '{self.once}'; its request has {', '.join(known)}"
        else:
            return
        raise ConfigurationError(f"The write {self.name} cannot be used: {wrong}.")

    @property
    def status_table(self) -> str:
        """Return the default name of the status table."""
        return f"kombo_{self.name}s"

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Return the columns of a row's key: every source of rows must have them."""
        return ("result_id", "integration_id", *self.targets.values())

    def path_of(self, key: LinkKey) -> str:
        """Return the path of a row's endpoint, with the id escaped."""
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
"""An http(s) address, sent unchanged (pydantic's own type would rewrite it)."""

Text = Annotated[str, AfterValidator(_not_blank)]
