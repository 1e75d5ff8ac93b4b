"""Settings of a session and of a transaction on MySQL and MariaDB: isolation and waits."""

from __future__ import annotations

from typing import Final

_LOCK_SECONDS: Final = 5
"""Wait of a transaction that writes for a lock of somebody else's."""
_BRIEF_LOCK_SECONDS: Final = 1
"""Wait of a transaction that is tried again without the rows which others hold.

MySQL knows whole seconds only. With no wait at all, a heartbeat would look like a held row.
"""
_LOCK_SECONDS_OF_READING: Final = 60
"""Wait of a query: its table may be being loaded at that moment."""
_IDLE_SECONDS: Final = 60
"""Time after which the server ends the session of a worker that has stopped, or is cut off.

Its transaction ends with it. A session that waits in the pool ends too, and is replaced.
"""

ON_CONNECT: Final = (
    # A claim reads a row, decides, and writes under the condition that the row is unchanged. For
    # that it has to see what was committed a moment ago. REPEATABLE READ, the default, shows an
    # older state, and locks the gaps between rows, where other runs insert theirs.
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    # Without it a text that is too long would be cut, and two ids could become one.
    "SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',STRICT_ALL_TABLES')",
)
"""For each session."""


def _settings(lock_seconds: int) -> str:
    """Build the statement for the beginning of a transaction.

    A server with shorter waits keeps them.

    :param lock_seconds: The longest wait for the lock of a row, or of a table.
    """
    settings = {
        "innodb_lock_wait_timeout": lock_seconds,
        "lock_wait_timeout": lock_seconds,  # for a table; the default is a day, or a year
        "wait_timeout": _IDLE_SECONDS,
    }
    each = (f"{name} = LEAST(@@GLOBAL.{name}, {value})" for name, value in settings.items())
    return f"SET SESSION {', '.join(each)}"


WRITING: Final = _settings(_LOCK_SECONDS)
"""For a transaction that writes."""
READING: Final = _settings(_LOCK_SECONDS_OF_READING)
"""For a transaction that reads."""
BRIEFLY: Final = _settings(_BRIEF_LOCK_SECONDS)
"""For a transaction that finds rows by key, and waits for a lock for a short time only."""
