"""Parts of the app that its addresses need."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from airflow_kombo.web.database import Warehouse
from airflow_kombo.web.explained_rows import RowExplainer
from airflow_kombo.web.rendering import Pages
from airflow_kombo.web.run_starts import Starters


def pages_of(request: Request) -> Pages:
    """Return the templates of the app."""
    pages: Pages = request.app.state.pages
    return pages


def warehouse_of(request: Request) -> Warehouse:
    """Return the tables of the app."""
    warehouse: Warehouse = request.app.state.warehouse
    return warehouse


def explainer_of(request: Request) -> RowExplainer:
    """Return an explainer of rows for one request."""
    return RowExplainer(request.app.state.schedules, pages_of(request).write.delivery_dag_id)


def starters_of(request: Request) -> Starters:
    """Return the function that finds the starters of dag runs."""
    starters: Starters = request.app.state.starters
    return starters


PagesOfApp = Annotated[Pages, Depends(pages_of)]
WarehouseOfApp = Annotated[Warehouse, Depends(warehouse_of)]
ExplainerOfRequest = Annotated[RowExplainer, Depends(explainer_of)]
StartersOfApp = Annotated[Starters, Depends(starters_of)]
"""Parameters of an address that FastAPI fills in."""
