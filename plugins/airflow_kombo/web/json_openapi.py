"""OpenAPI document of the addresses for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from airflow_kombo.web.json_problem import Problem

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

_VERSION: Final = "1.0.0"
"""Version of the answers. A member that goes or changes its meaning makes a new first number."""
_DESCRIPTION: Final = (
    "The data of the page for programs, read-only. Each request needs a token of an Airflow user"
    " with the permission to see plugins. Times are in UTC. Each member is always present."
)
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status.value: {"model": Problem, "description": description}
    for status, description in {
        HTTPStatus.BAD_REQUEST: "The position `after` or `before` is not valid.",
        HTTPStatus.UNAUTHORIZED: "There is no valid token.",
        HTTPStatus.FORBIDDEN: "The user may not see plugins.",
        HTTPStatus.NOT_FOUND: "There is no such row or run, or no run has delivered yet.",
        HTTPStatus.UNPROCESSABLE_ENTITY: "A parameter is not valid, not known or missing.",
        HTTPStatus.SERVICE_UNAVAILABLE: "The warehouse did not answer, or is not set up.",
    }.items()
}
"""Errors of each address."""
_SECURITY: Final[Mapping[str, Any]] = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of Airflow's API."}
}


def openapi_document(
    routes: Sequence[BaseRoute], title: str, root_path: str = ""
) -> dict[str, Any]:
    """Build the document.

    :param title: The title of the page.
    :param root_path: The path of the page at its server, with the prefix of a proxy.
    """
    document: dict[str, Any] = get_openapi(
        title=title,
        version=_VERSION,
        description=_DESCRIPTION,
        routes=routes,
        servers=[{"url": root_path}] if root_path else None,
    )
    document["components"]["securitySchemes"] = dict(_SECURITY)
    document["security"] = [{name: []} for name in _SECURITY]
    return document
