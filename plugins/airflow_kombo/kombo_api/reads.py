"""Kombo's reads, as far as a row in doubt needs them: they change nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote, urlencode

from airflow_kombo.exceptions import TransportError
from airflow_kombo.kombo_api.response import KomboResponse

LONGEST_PAGE: Final = 250
"""Most results on a page of Kombo's lists."""


@dataclass(frozen=True)
class Read:
    """A read of one integration.

    :param path: The path below the API's base, escaped.
    :param params: Query parameters.
    :param body: The body of a POST that only reads; None for a GET.
    """

    integration_id: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None

    @property
    def method(self) -> Literal["GET", "POST"]:
        """Return the HTTP method."""
        return "GET" if self.body is None else "POST"

    @property
    def path_and_query(self) -> str:
        """Return the path with the query parameters."""
        query = urlencode(self.params, quote_via=quote)
        return f"{self.path}?{query}" if query else self.path

    @property
    def json(self) -> bytes | None:
        """Return the body as JSON."""
        return None if self.body is None else json.dumps(self.body).encode()


class ReadResult(NamedTuple):
    """Result of a read.

    :param data: The member `data` of a success; None for any other response.
    """

    result: KomboResponse | TransportError
    data: Any = None


def read_result(response: KomboResponse, body: bytes | None) -> ReadResult:
    """Return the result of a read that got a response.

    :param body: The body, or None if it did not arrive whole.
    """
    if not response.succeeded or not body:
        return ReadResult(response)
    return ReadResult(response, json.loads(body.decode("utf-8", "replace")).get("data"))


def records_by_ids(integration_id: str, collection: str, ids: list[str]) -> Read:
    """Build the read of Kombo's records by their ids.

    :param collection: `applications` or `candidates`.
    :param ids: At most `LONGEST_PAGE`.
    """
    params = {"ids": ",".join(ids), "page_size": str(LONGEST_PAGE)}
    return Read(integration_id, f"/ats/{collection}", params)


def passthrough(
    integration_id: str,
    api: str,
    *,
    method: str,
    path: str,
    params: Mapping[str, str],
    data: Mapping[str, Any],
) -> Read:
    """Build a read of an applicant tracking system's own API.

    :param api: Kombo's names of the tool and the API, such as `lever/v1`.
    """
    body: dict[str, Any] = {"method": method, "path": path}
    if params:
        body["params"] = dict(params)
    if data:
        body["data"] = dict(data)
    return Read(integration_id, f"/passthrough/{api}", body=body)
