"""Reduction of requests and responses to the part for the history."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.response import KomboResponse, clean

KEPT_HEADERS: Final = (
    "Date",
    "Content-Type",
    "Retry-After",
    "Concurrency-Limit",
    "Concurrency-Remaining",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "X-Request-Id",
    "X-Correlation-Id",
    "traceparent",
    "CF-Ray",
    "X-Amzn-RequestId",
    "X-Amzn-Trace-Id",
    "Server",
    "Via",
)
"""Headers of a response for the history: type, time, limits, and whatever finds it in a log.

`Location` and `Set-Cookie` are left out on purpose: both may hold a secret or a person's address.
"""
_MASK: Final = "***"
_LONGEST_HEADER: Final = 200
_SHORTEST_VALUE: Final = 3
"""Characters. Masking shorter values would also mask parts of ordinary words."""


class Redactor:
    """Reduction of requests and responses, as the deployment wants them.

    :param masked: Members of the request whose values are not stored.
    :param store: False if nothing of a request is stored, and no body of a response.
    :param keep_responses: False if nothing of a response is stored.
    """

    def __init__(
        self, masked: Collection[str] = (), *, store: bool = True, keep_responses: bool = True
    ) -> None:
        self._masked = frozenset(masked)
        self._store = store
        self._keep_responses = keep_responses

    def request(self, body: bytes) -> str | None:
        """Return a request's body as the history keeps it, or None."""
        if not self._store:
            return None
        if not self._masked:
            return body.decode()
        request = json.loads(body)
        request.update(dict.fromkeys(request.keys() & self._masked, _MASK))
        return json.dumps(request, ensure_ascii=False)

    def response(self, response: KomboResponse | None, request: RowRequest) -> str | None:
        """Return a response as the history keeps it: a JSON text with status, headers and body.

        :returns: None without a response, and for a plain success, whose status is all there is.
        """
        if response is None or response.is_plain_success or not self._keep_responses:
            return None
        headers = {name: response.headers.get(name) for name in KEPT_HEADERS}
        kept = {
            "status": response.http_status,
            "headers": {
                name: clean(value, _LONGEST_HEADER) for name, value in headers.items() if value
            },
            **self._body(response, request),
        }
        return json.dumps(kept, ensure_ascii=False)

    def _body(self, response: KomboResponse, request: RowRequest) -> dict[str, Any]:
        """Return the members of a stored response about the body."""
        body = response.kept_body
        if not body.text:
            return {}
        if not self._store:
            return {"body_left_out": "store_request is false"}
        if not self._masked:
            return {"body": body.text, "is_cut": body.is_cut}
        try:
            masked = _without(json.loads(body.text), self._masked, self._values(request))
            text = json.dumps(masked, ensure_ascii=False)
        except (ValueError, RecursionError):  # no JSON, cut, or nested without an end
            return {"body_left_out": "only a whole JSON body can be masked"}
        return {"body": clean(text, len(text)), "is_cut": False}

    def _values(self, request: RowRequest) -> re.Pattern[str] | None:
        """Return a pattern for the values of the masked members of a request."""
        content = json.loads(request.body)
        values = {
            value
            for name in content.keys() & self._masked
            for value in _texts(content[name])
            if len(value) >= _SHORTEST_VALUE
        }
        if not values:
            return None
        longest_first = sorted(values, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)


def _without(content: Any, masked: Collection[str], values: re.Pattern[str] | None) -> Any:
    """Return JSON without masked members at any depth, and without masked values in any text."""
    if isinstance(content, dict):
        return {
            _without(name, masked, values): _MASK
            if name in masked
            else _without(value, masked, values)
            for name, value in content.items()
        }
    if isinstance(content, list):
        return [_without(value, masked, values) for value in content]
    if isinstance(content, str):
        return values.sub(_MASK, content) if values else content
    is_masked = values and content is not None and values.fullmatch(str(content))
    return _MASK if is_masked else content


def _texts(content: Any) -> Iterator[str]:
    """Yield the values of JSON as texts."""
    if isinstance(content, dict):
        for value in content.values():
            yield from _texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from _texts(value)
    elif content is not None and not isinstance(content, bool):
        yield str(content)
