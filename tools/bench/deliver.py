"""Deliver days with the code of this checkout, for the bench of another checkout.

`make bench COMPARE=...` starts this module of a commit that may be much older than the bench's
own commit. So the protocol never changes. `python -m tools.bench.deliver` finds Airflow's
connections in the environment, and reads days (`2026-11-03`) from standard input, one a line. Each
day is delivered in a process of its own. The result is one line of JSON on standard output: the
fields of `Took`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from datetime import date

from tools.bench import process


def main() -> None:
    """Deliver each day of standard input."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # an import may print, too
        process.prepare()
        for line in sys.stdin:
            day = date.fromisoformat(line.strip())
            with process.client("ours", day, None, {}) as (_, pipe):
                answers.write(json.dumps(asdict(pipe.recv())) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
