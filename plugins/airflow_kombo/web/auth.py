"""Who may see the page: whom Airflow lets see plugins. Where that can't be asked, nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import HTTPException, status

log = logging.getLogger(__name__)


def permission() -> Callable[..., Any]:
    """Give the dependency of every route: a login, and Airflow's permission to see plugins."""
    try:
        from airflow_kombo.airflow_compat import plugins_permission  # noqa: PLC0415

        return plugins_permission()
    except ImportError:
        log.exception("Airflow's permissions cannot be asked for: nobody may see the page")
        return _denied


def _denied() -> None:
    raise HTTPException(
        status.HTTP_403_FORBIDDEN, "Airflow's permissions cannot be asked for in this version."
    )
