"""Run simulated nights: `python -m tools.nights --nights 10000 --seed 1`.

It exits with 1 if a row was lost, posted twice, or has a status that is not so.
"""

from __future__ import annotations

import argparse
import sys
from itertools import count

from tools.nights.runner import look_for, replay, run


def main() -> int:
    """Run the nights of the command line, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.nights", description=__doc__)
    parser.add_argument("--nights", type=int, help="nights to run (without it: until stopped)")
    parser.add_argument("--seed", type=int, default=1, help="number of the first night")
    parser.add_argument("--seconds", type=float, help="seconds after which no night is begun")
    parser.add_argument("--replay", action="store_true", help="show the history of one night")
    parser.add_argument("--mutant", help="plant this mistake, and look for a night that shows it")
    options = parser.parse_args()
    if options.mutant:
        return look_for(options.mutant)
    if options.replay:
        return replay(options.seed)
    seeds = (
        count(options.seed)
        if options.nights is None
        else range(options.seed, options.seed + options.nights)
    )
    return run(seeds, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
