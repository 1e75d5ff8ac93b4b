"""Reading endpoints of Kombo, for connection tests."""

import secrets
from typing import Any
from urllib.parse import unquote

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from tools.kombo_standin.outcomes import KomboError
from tools.kombo_standin.state import State

_ENVIRONMENT_ID = "StandinEnvironment123456"  # 24 characters, as Kombo's ids have
_ACTIONS = ("ats_add_result_link_to_application", "ats_add_result_link_to_candidate")
_SUPPORTED = {
    "is_available": True,
    "coverage_status": "SUPPORTED",
    "scope_config_setting": "ENABLED",
    "opted_out_by_customer": False,
    "fields": [],
}


def log_url(request: Request) -> str:
    """Return an invented address of a call's log."""
    return f"http://{request.headers.get('host')}/logs/{secrets.token_hex(12)}"


def authentication_error(request: Request, key: str) -> KomboError | None:
    """Return the error of a request without the accepted key, else None."""
    if request.headers.get("authorization") == f"Bearer {key}":
        return None
    title = "The API key is invalid."
    message = "Send a valid API key as bearer token."
    code = "PLATFORM.AUTHENTICATION_INVALID"
    return KomboError(status=401, code=code, title=title, message=message)


def input_invalid(message: str) -> KomboError:
    """Return Kombo's error of a request that does not fit the schema."""
    title = "The input is invalid."
    return KomboError(status=400, code="PLATFORM.INPUT_INVALID", title=title, message=message)


class Api:
    """Reading endpoints.

    :param state: The state of the stand-in.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    async def check_api_key(self, request: Request) -> Response:
        """Return the environment of the key."""
        data = {"environment_id": _ENVIRONMENT_ID, "customer_id": _ENVIRONMENT_ID}
        return self._answer(request, data)

    async def integration(self, request: Request) -> Response:
        """Return an integration; every id belongs to an active one."""
        raw_id: bytes = request.scope["raw_path"].removeprefix(b"/v1/integrations/")
        return self._answer(request, _integration(unquote(raw_id.decode("ascii"))))

    async def landing(self) -> Response:
        """Count a followed redirect, and respond with an apparent success."""
        self._state.counts["redirects_followed"] += 1
        return JSONResponse({"status": "success", "data": {}, "warnings": []})

    def _answer(self, request: Request, data: dict[str, Any]) -> Response:
        error = authentication_error(request, self._state.key)
        if error:
            return error.app({}, log_url(request))
        return JSONResponse({"status": "success", "data": data})


def _integration(integration_id: str) -> dict[str, Any]:
    """Build an integration with all members of Kombo's schema."""
    tool_id = integration_id.partition(":")[0]
    icons = f"https://example.com/{tool_id}"
    return {
        "id": integration_id,
        "tool": {
            "id": tool_id,
            "label": tool_id.title(),
            "internal_label": None,
            "logo_url": f"{icons}/logo.svg",
            "icon_url": f"{icons}/icon.svg",
        },
        "category": "ATS",
        "status": "ACTIVE",
        "setup_status": "COMPLETED",
        "end_user": {
            "organization_name": f"{tool_id.title()} customer",
            "creator_email": None,
            "origin_id": None,
        },
        "scope_config": {"id": "StandinScopeConfig123456", "name": None},
        "data_expired_at": None,
        "created_at": "2024-01-01T00:00:00.000Z",
        "beta": False,
        "read_models": [],
        "write_actions": [{"id": action, "label": action, **_SUPPORTED} for action in _ACTIONS],
    }
