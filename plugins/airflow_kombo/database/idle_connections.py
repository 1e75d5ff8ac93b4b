"""Test a connection that was idle, before a transaction uses it.

A server, a proxy or a firewall may have ended an idle connection. SQLAlchemy's `pool_pre_ping`
tests every time: that is a third round trip for a claim that makes two. A connection that was in
use a moment ago is not tested here. If it is lost all the same, its transaction fails, as when it
is lost within the transaction.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event, exc

if TYPE_CHECKING:
    from sqlalchemy import Engine

IDLE_SECONDS: Final = 1.0
"""Seconds without use after which a connection is tested. A busy run uses its own more often."""

_LAST_USE: Final = "kombo_last_use"


def replace_lost_connections(engine: Engine) -> None:
    """Replace each connection that was lost while it was idle, before its next use.

    All connections of the engine that are older than a lost one are replaced, too.
    """
    dialect = engine.dialect

    def test(connection: Any, record: Any, _proxy: object) -> None:
        last_use = record.info.get(_LAST_USE)
        if last_use is None or monotonic() - last_use < IDLE_SECONDS:  # None: it is new
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error:
            raise exc.InvalidatePoolError from None

    event.listen(engine, "checkin", _keep_time)
    event.listen(engine, "checkout", test)


def _keep_time(_connection: object, record: Any) -> None:
    record.info[_LAST_USE] = monotonic()
