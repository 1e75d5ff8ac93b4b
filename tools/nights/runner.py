"""Run nights in several processes, and look for nights with planted mistakes."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, suppress
from functools import cache
from itertools import chain, islice
from multiprocessing import get_context
from time import monotonic
from typing import TYPE_CHECKING, Final

from tools.nights.mutants import MUTANTS
from tools.nights.planting import plant

if TYPE_CHECKING:
    from tools.nights.stage import Stage

_AT_ONCE: Final = 25
"""Nights that a process gets at once."""
_PROGRESS_SECONDS: Final = 10.0
_SHOWN: Final = 3
"""Failing nights whose history is shown."""
MUTANT_SEEDS: Final = 200

_open = ExitStack()


def run(seeds: Iterable[int], seconds: float | None) -> int:
    """Run nights in as many processes as there are processors, until Ctrl-C at most.

    :param seconds: Seconds after which no night is begun; None for no limit.
    """
    began = shown = monotonic()
    nights, found, failing = 0, Counter[str](), list[int]()
    with suppress(KeyboardInterrupt):
        for seed, kinds in _checked(seeds, began + seconds if seconds else None):
            nights += 1
            found.update(kinds)
            if kinds:
                failing.append(seed)
                _say(f"Night {seed} failed: make night SEED={seed} shows it")
            if monotonic() - shown > _PROGRESS_SECONDS:
                shown = monotonic()
                _say(f"{nights} nights in {shown - began:.0f} s, {len(failing)} failed")
    for seed in sorted(failing)[:_SHOWN]:
        replay(seed)
    _say(f"In {monotonic() - began:.0f} s")
    if failing:
        _say(f"Failing nights: {', '.join(map(str, sorted(failing)))}")
    _say(f"{nights} nights, {found['lost']} lost, {found['twice']} twice, {found['lie']} lies")
    return 1 if failing else 0


def _checked(seeds: Iterable[int], until: float | None) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each night with the kinds of findings."""
    left = iter(seeds)
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_begin) as pool:
        running: set[Future[list[tuple[int, list[str]]]]] = set()
        while True:
            while len(running) < 2 * (os.cpu_count() or 1) and (
                until is None or monotonic() < until
            ):
                if not (some := list(islice(left, _AT_ONCE))):
                    break
                running.add(pool.submit(_check_all, some))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from chain.from_iterable(one.result() for one in done)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _begin() -> None:
    """Build the stage of a process, which leaves Ctrl-C to the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _stage()


@cache
def _stage() -> Stage:
    """Return the stage of this process."""
    from tools.nights.stage import stage  # noqa: PLC0415 - a mistake may have to be planted first

    return _open.enter_context(stage())


def _check_all(seeds: list[int]) -> list[tuple[int, list[str]]]:
    from tools.nights.check_night import check_night  # noqa: PLC0415 - as above
    from tools.nights.plans import plan_of  # noqa: PLC0415 - as above

    checked = [(one, check_night(plan_of(one), _stage()).findings) for one in seeds]
    gc.collect()  # what a night leaves is a ring of tasks and threads
    return [(seed, [one.kind for one in findings]) for seed, findings in checked]


def replay(seed: int) -> int:
    """Show the shortest history of a night, and return 0."""
    from tools.nights.check_night import history  # noqa: PLC0415 - as above
    from tools.nights.stage import stage  # noqa: PLC0415 - as above

    with stage() as one:
        for line in history(seed, one):
            _say(line)
    return 0


def look_for(name: str) -> int:
    """Return 0 if a night shows a planted mistake."""
    mutant = next(one for one in MUTANTS if one.name == name)
    plant(mutant)
    with _open:
        for seed in chain([mutant.seed] if mutant.seed else [], range(1, MUTANT_SEEDS + 1)):
            if kinds := _check_all([seed])[0][1]:
                _say(f"{name}: {', '.join(sorted(set(kinds)))} in night {seed}")
                return 0
    _say(f"{name}: no night of {MUTANT_SEEDS} shows it")
    return 1
