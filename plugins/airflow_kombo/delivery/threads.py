"""Threads for blocking calls to the databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

Params = ParamSpec("Params")
Result = TypeVar("Result")

_THREADS: Final = 4
"""Threads of a run: more of them would only wait for each other at the database."""


class Threads:
    """Pool of threads of one run; closed at the end of a `with` block."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="ledger")

    def __enter__(self) -> None:
        self._pool.__enter__()

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def run(
        self, function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> asyncio.Future[Result]:
        """Call a function in a thread; return the future of the result."""
        call = partial(function, *args, **kwargs)
        return asyncio.get_running_loop().run_in_executor(self._pool, call)
