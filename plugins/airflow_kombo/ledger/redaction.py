"""Reduction of requests to the part for the history."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection


def redactor(masked: Collection[str] = (), *, store: bool = True) -> Callable[[bytes], str | None]:
    """Return a function to reduce a request's body for the history.

    :param masked: Members of the request whose values are not stored.
    :param store: False if nothing of a request is stored.
    """

    def redact(body: bytes) -> str | None:
        if not store:
            return None
        if not masked:
            return body.decode()
        request = json.loads(body)
        request.update(dict.fromkeys(request.keys() & set(masked), "***"))
        return json.dumps(request, ensure_ascii=False)

    return redact
