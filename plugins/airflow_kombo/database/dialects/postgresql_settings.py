"""Settings of a transaction on PostgreSQL: durability, waits and plans."""

from __future__ import annotations

from typing import Final

_LOCK_TIMEOUT: Final = "5s"
"""Wait of a transaction that writes for a lock of somebody else's."""
_BRIEF_LOCK_TIMEOUT: Final = "250ms"
"""Wait of a transaction that is tried again without the rows which others hold."""
_LOCK_TIMEOUT_OF_READING: Final = "60s"
"""Wait of a query: its table may be being loaded at that moment."""
_IDLE_TIMEOUT: Final = "60s"
"""Time after which the server ends a transaction whose worker has stopped, or is cut off."""

_IDLE_TIMEOUT_OF_READING: Final = "600s"
"""The same for a query whose rows a `transform` takes its time over. It holds no row."""


def _settings(lock_timeout: str, *switched_off: str, idle: str = _IDLE_TIMEOUT) -> str:
    """Build the statement for the beginning of a transaction.

    Its settings end with the transaction: a pooler (PgBouncer) gives the session to others then.
    What the user, the role or the database sets is kept, unless it would lose a claim in a crash.

    :param lock_timeout: SQL for the longest wait for a lock.
    :param switched_off: Settings of the planner to switch off.
    :param idle: The longest time without a statement.
    """
    durable = "current_setting('synchronous_commit')"
    settings = {
        "synchronous_commit": f"CASE {durable} WHEN 'remote_apply' THEN {durable} ELSE 'on' END",
        "lock_timeout": lock_timeout,
        "idle_in_transaction_session_timeout": _unless_set(
            "idle_in_transaction_session_timeout", idle
        ),
        **dict.fromkeys(switched_off, "'off'"),
    }
    calls = (f"set_config('{name}', {value}, true)" for name, value in settings.items())
    return f"SELECT concat({', '.join(calls)})"  # one column: each costs the driver 10 µs


def _unless_set(name: str, value: str) -> str:
    """Build SQL for a setting's own value, or for ours if there is none."""
    current = f"current_setting('{name}')"
    return f"CASE {current} WHEN '0' THEN '{value}' ELSE {current} END"


def _at_most(name: str, value: str) -> str:
    """Build SQL for a setting's own value or ours, the shorter one."""
    current = f"current_setting('{name}')"
    is_longer = f"{current} = '0' OR CAST({current} AS interval) > '{value}'"
    return f"CASE WHEN {is_longer} THEN '{value}' ELSE {current} END"


_OF_A_WRITER: Final = _unless_set("lock_timeout", _LOCK_TIMEOUT)
_OF_A_READER: Final = _unless_set("lock_timeout", _LOCK_TIMEOUT_OF_READING)
_NO_SCANS: Final = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")

WRITING: Final = _settings(_OF_A_WRITER)
"""For a transaction that writes."""
READING: Final = _settings(_OF_A_READER, idle=_IDLE_TIMEOUT_OF_READING)
"""For a transaction that reads."""
READING_BY_KEY: Final = _settings(_OF_A_READER, *_NO_SCANS)
"""For a transaction that reads rows by key; see `BY_KEY`."""
BRIEFLY: Final = _settings(_at_most("lock_timeout", _BRIEF_LOCK_TIMEOUT), *_NO_SCANS)
"""For a transaction that finds rows by key, and waits for a lock for a short time only."""
BY_KEY: Final = _settings(_OF_A_WRITER, *_NO_SCANS)
"""For a transaction that finds rows by key, always by an index.

Of a table that grows from nothing in one night PostgreSQL has no statistics. It would read all of
the table for a few dozen rows: 8 ms a batch at 20,000 rows, and twice that at 40,000.
"""
