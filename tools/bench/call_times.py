"""Times of claims and responses of a delivery, in files that outlive its process."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from statistics import mean
from time import monotonic
from typing import Any, BinaryIO, Final

from airflow_kombo.delivery.claimer import Claimer
from airflow_kombo.kombo_api.client import KomboClient
from tools.bench.process import FOLDER

_COMMITS: Final = FOLDER / "commits.times"
_RESPONSES: Final = FOLDER / "responses.times"
_LATEST: Final = 200
"""The number of times of which the mean is taken."""


def write_down() -> None:
    """Write down the time of each claim and each call of this process, until it is killed."""
    Claimer.claim = _timed(Claimer.claim, _COMMITS)  # type: ignore[method-assign, assignment]
    KomboClient.send = _timed(KomboClient.send, _RESPONSES)  # type: ignore[method-assign, assignment]


def latest() -> tuple[float, float]:
    """Return the mean of the latest commit times and response times, in seconds."""
    commits, responses = (_read(path)[-_LATEST:] for path in (_COMMITS, _RESPONSES))
    return mean(commits), mean(responses)


def _timed(call: Callable[..., Awaitable[Any]], path: Path) -> Callable[..., Awaitable[Any]]:
    file: BinaryIO = path.open("wb", buffering=0)

    @wraps(call)
    async def timed(*args: Any, **kwargs: Any) -> Any:
        began = monotonic()
        result = await call(*args, **kwargs)
        file.write(struct.pack("d", monotonic() - began))
        return result

    return timed


def _read(path: Path) -> array[float]:
    times = array("d")
    times.frombytes(path.read_bytes())
    return times
