"""Style sheets and scripts of the page, which need no login.

They hold nothing of the warehouse, and the pages for persons without a permission use them.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Final

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, Response

from airflow_kombo.web.status_styles import status_styles

_STATIC: Final = Path(__file__).parent / "static"

router = APIRouter()


@router.get("/static/statuses.css")
def status_style_sheet() -> Response:
    """Send the style sheet of statuses."""
    return Response(status_styles(), media_type="text/css")


@router.get("/static/{name}")
def static(name: str) -> FileResponse:
    """Send a style sheet or a script."""
    file = {path.name: path for path in _STATIC.iterdir()}.get(name)
    if file is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such file.")
    return FileResponse(file)
