"""Parts of the app that its addresses need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request  # noqa: TC002 - FastAPI reads the annotation

if TYPE_CHECKING:
    from airflow_kombo.web.database import Warehouse
    from airflow_kombo.web.rendering import Pages


def pages_of(request: Request) -> Pages:
    """Return the templates of the app."""
    pages: Pages = request.app.state.pages
    return pages


def warehouse_of(request: Request) -> Warehouse:
    """Return the tables of the app."""
    warehouse: Warehouse = request.app.state.warehouse
    return warehouse
