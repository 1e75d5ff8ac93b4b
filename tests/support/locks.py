"""Locks as uv writes them: pinned requirements with the hashes of their files."""

from __future__ import annotations

import re

from packaging.requirements import Requirement


def pinned(path):
    """Return pairs of a requirement and the hashes, in the order of the lock."""
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    lines = [line.strip() for line in text.splitlines()]
    words = [line.split("--hash=") for line in lines if line and not line.startswith("#")]
    return [(Requirement(first.strip()), [one.strip() for one in rest]) for first, *rest in words]


def versions(path, python):
    """Map each package of a lock, for a version of Python, to the pinned version.

    :param python: Two numbers, such as `3.11`.
    """
    target = {"python_version": python, "python_full_version": f"{python}.99"}
    found = [one for one, _ in pinned(path)]
    fitting = [one for one in found if one.marker is None or one.marker.evaluate(target)]
    return {one.name: str(one.specifier) for one in fitting}
