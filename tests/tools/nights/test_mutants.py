"""Planted mistakes, each shown by a simulated night."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.nights.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[3]


def test_there_are_enough_mistakes():
    """At least sixteen mistakes are planted, each with a night's number."""
    assert len(MUTANTS) >= 16
    assert all(mutant.seed for mutant in MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_night_shows_the_mistake(mutant):
    """One of two hundred nights shows the broken promise."""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "plugins")))
    found = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", "tools.nights", "--mutant", mutant.name],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert found.returncode == 0, found.stdout + found.stderr
