"""Permission for the page: Airflow's permission to see plugins."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import HTTPException, status

log = logging.getLogger(__name__)


def permission() -> Callable[..., Any]:
    """Return the dependency of every route: a login, and Airflow's permission to see plugins.

    Where Airflow's permissions cannot be imported, every request is denied.
    """
    try:
        from airflow_kombo.airflow_compat import plugins_permission  # noqa: PLC0415

        return plugins_permission()
    except ImportError:
        log.exception("The page is closed: this Airflow has no permission check that it knows")
        return _denied


def _denied() -> None:
    raise HTTPException(
        status.HTTP_403_FORBIDDEN, "The page cannot check permissions in this version of Airflow."
    )
