"""Ports for the servers of tests."""

from __future__ import annotations

import socket
from contextlib import suppress
from random import sample


def free_port():
    """Return a free port below those of clients, one of which might else get it at a restart."""
    for port in sample(range(20_000, 32_768), 100):
        with suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port of a hundred is free")
