"""Reading endpoints of Kombo: what all of them share."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override  # in typing from Python 3.12 on

from tools.kombo_standin.api import authentication_error, input_invalid, log_url
from tools.kombo_standin.outcomes import KomboError, Outcome, Raw
from tools.kombo_standin.state import State

_FAILURES: tuple[Outcome, ...] = (
    KomboError(status=500, message="Something went wrong."),
    Raw(status=503, content_type="text/plain", body="no healthy upstream"),
    KomboError(status=429, code="PLATFORM.RATE_LIMIT_EXCEEDED", message="Too many requests."),
)
_FORBIDDEN = KomboError(
    status=403,
    code="INTEGRATION.PERMISSION_MISSING",
    title="A permission is missing.",
    message="The integration may not read this. Grant the permission in the scope config.",
)


class Found(Outcome):
    """Success of a read, with the whole body."""

    kind: Literal["found"] = "found"
    body: dict[str, Any]

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Build a response with status 200."""
        return JSONResponse(self.body, 200, headers)


class Read:
    """One read, as an ASGI application; a read takes no action's slot.

    :param state: The state of the stand-in.
    """

    path: ClassVar[str]
    method: ClassVar[Literal["GET", "POST"]] = "GET"
    raw_path: ClassVar[re.Pattern[str]]
    needs_permission: ClassVar[bool] = True

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return  # the client has ended in the middle of the request
        self._state.counts["reads"] += 1
        integration_id = request.headers.get("x-integration-id", "")
        refusal = self._refusal(request, integration_id)
        outcome = refusal or await self._outcome(request, integration_id, body)
        app = outcome.app(self._state.gate.rate_headers(integration_id), log_url(request))
        await app(request.scope, request.receive, send)

    def _refusal(self, request: Request, integration_id: str) -> Outcome | None:
        """Return the error of a request before the stand-in reads path and parameters."""
        unknown = authentication_error(request, self._state.key)
        if unknown:
            return unknown
        if not integration_id:
            return input_invalid("The header X-Integration-Id is missing.")
        limited = self._state.gate.rate_refusal(integration_id)
        if limited:
            return limited
        ats = self._state.ats
        share = ats.flavours.of(integration_id).failing_reads
        return ats.dice.choice(_FAILURES) if share and ats.dice.random() < share else None

    async def _outcome(self, request: Request, integration_id: str, body: bytes) -> Outcome:
        # The undecoded path: an escaped slash is part of the id.
        place = self.raw_path.fullmatch(request.scope["raw_path"].decode("ascii"))
        if not place:
            return KomboError(status=404, message="There is no such endpoint.")
        if self.needs_permission and not self._state.ats.flavours.of(integration_id).may_read:
            return _FORBIDDEN
        try:
            found = await self._find(request, integration_id, place, body)
        except ValueError as error:
            return input_invalid(str(error))
        return Found(body={"status": "success", **found})

    async def _find(
        self, request: Request, integration_id: str, place: re.Match[str], body: bytes
    ) -> dict[str, Any]:
        """Return the members of a success besides its status.

        :raises ValueError: if the request does not fit the schema.
        """
        raise NotImplementedError

    async def _ask_ats(self, integration_id: str) -> None:
        """Take as long as a call of the ATS."""
        await self._state.pause(self._state.latency.draw(integration_id))
