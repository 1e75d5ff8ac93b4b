"""Marker `quick`: derived from the source of a test and of its helpers."""

from pathlib import Path

import pytest
from support.quick import slow_names

TESTS = Path(__file__).resolve().parents[1]
SOURCE = """
from subprocess import run

from aiohttp import web
from support.cluster import pg_ctl
from support.harness import row


def started():
    return run(["true"])


def fixture():
    return started()


def test_process(fixture): ...


def test_cluster():
    pg_ctl()


def test_server():
    web.Application()


def test_row():
    row("r1")
"""


def test_a_test_is_slow_if_a_helper_starts_a_process(tmp_path):
    """Fixtures and helpers count, also those of other modules, and other names do not."""
    (tmp_path / "test_it.py").write_text(SOURCE)
    slow = slow_names(tmp_path / "test_it.py")
    assert {"test_process", "test_cluster", "test_server"} <= slow
    assert not {"test_row", "row"} & slow


def test_servers_of_all_tests_are_slow():
    """The fixtures with servers are slow; the warehouse is slow on PostgreSQL only."""
    slow = slow_names(TESTS / "conftest.py")
    assert {"postgres", "_standin", "standin"} <= slow
    assert not {"warehouse", "tables", "source_table"} & slow


@pytest.mark.parametrize("warehouse", ["sqlite", "postgresql"], indirect=True)
def test_a_warehouse_on_postgresql_is_slow(request, warehouse):
    """The parameter of the warehouse decides."""
    is_quick = request.node.get_closest_marker("quick") is not None
    assert is_quick == (warehouse.dialect.name == "sqlite")
