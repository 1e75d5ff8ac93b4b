"""Keep of a request what the deployment wants the history to keep."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection


def redactor(masked: Collection[str] = (), *, store: bool = True) -> Callable[[bytes], str | None]:
    """Give the function that says what the history keeps of a request.

    :param masked: Members of the request whose value it does not keep.
    :param store: Whether it keeps anything at all.
    """

    def keep(body: bytes) -> str | None:
        if not store:
            return None
        if not masked:
            return body.decode()
        request = json.loads(body)
        request.update(dict.fromkeys(request.keys() & set(masked), "***"))
        return json.dumps(request, ensure_ascii=False)

    return keep
