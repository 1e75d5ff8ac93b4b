"""MySQL and MariaDB."""

from __future__ import annotations

from typing import Final

from airflow_kombo.database.dialects.base import DEADLOCK, LOCK_NOT_AVAILABLE, Dialect

_STATES: Final = {1205: LOCK_NOT_AVAILABLE, 1213: DEADLOCK}
"""SQL's states for MySQL's numbers of errors."""


class MySQL(Dialect):
    """MySQL and MariaDB: their drivers number errors instead of naming a state."""

    names = frozenset({"mysql", "mariadb"})
    drivers = frozenset({"pymysql", "MySQLdb", "mysql", "mariadb"})

    def state_of(self, error: BaseException | None) -> str | None:
        """Return SQL's state for the error's number, else the state of the driver."""
        number = next(iter(getattr(error, "args", ())), None)
        state = _STATES.get(number) if isinstance(number, int) else None
        return state or super().state_of(error)
