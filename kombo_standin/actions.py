"""The two endpoints that make result links."""

import re
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from kombo_standin.api import authentication_error, log_url
from kombo_standin.connection import Connection
from kombo_standin.outcomes import Answer, Outcome
from kombo_standin.state import Received, State
from kombo_standin.wire import Link, TargetType, parse_body

_TARGET_TYPES: dict[str, TargetType] = {"candidates": "candidate", "applications": "application"}
_RAW_PATH = re.compile(r"/v1/ats/(candidates|applications)/([^/]+)/result-links")


class ResultLinks:
    """``POST /v1/ats/{candidates,applications}/{id}/result-links``, as one ASGI application.

    An ASGI application and no FastAPI endpoint, because it holds its slot until the answer is out:
    a request that hangs is in flight.

    Args:
        state: The stand-in's memory.

    """

    path = "/v1/ats/{collection}/{target_id:path}/result-links"

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return  # a client killed in the middle of its request has asked for nothing
        self._note(scope, body)
        integration_id = request.headers.get("x-integration-id", "")
        refusal = self._refusal(request, integration_id)
        if refusal:
            await self._end(refusal, integration_id, request, send)
            return
        with self._state.gate.slot(integration_id):
            outcome = await self._act(scope["raw_path"], integration_id, body)
            await self._end(outcome, integration_id, request, send)

    def _note(self, scope: Scope, body: bytes) -> None:
        headers = Connection.of(scope).headers
        self._state.received.append(Received(scope["raw_path"], headers, body))
        self._state.posts += 1

    def _refusal(self, request: Request, integration_id: str) -> Answer | None:
        """Refuse what Kombo refuses before it looks at the body."""
        unknown = authentication_error(request, self._state.key)
        if unknown:
            return unknown
        if not integration_id:
            return _input_invalid("The header X-Integration-Id is missing.")
        return self._state.gate.refusal(integration_id)

    async def _act(self, raw_path: bytes, integration_id: str, body: bytes) -> Outcome:
        """Make the link, unless a rule knows better; take the time that an ATS takes."""
        target = _target(raw_path)
        if not target:
            return Answer(status=404, message="There is no such endpoint.")
        try:
            parsed = parse_body(body)
        except ValueError as error:
            return _input_invalid(str(error))
        link = Link(integration_id, *target, parsed["label"], parsed["url"])
        rule = self._state.rules.fire(link)
        if rule.creates:  # at once: whoever stops waiting must reckon with a link
            self._state.ledger.create(link)
        await self._state.pause(self._state.latency.draw(integration_id) + rule.delay)
        return rule.outcome

    async def _end(
        self, outcome: Outcome, integration_id: str, request: Request, send: Send
    ) -> None:
        """Count the outcome, then let it happen: who has an answer finds it counted."""
        self._state.answers[outcome.name] += 1
        app = outcome.app(self._state.gate.headers(integration_id), log_url(request))
        await app(request.scope, request.receive, send)


def _target(raw_path: bytes) -> tuple[TargetType, str] | None:
    """Read the target off the path as it was sent: an escaped slash belongs to the id."""
    match = _RAW_PATH.fullmatch(raw_path.decode("ascii"))
    return (_TARGET_TYPES[match[1]], unquote(match[2])) if match else None


def _input_invalid(message: str) -> Answer:
    title = "The input is invalid."
    return Answer(status=400, code="PLATFORM.INPUT_INVALID", title=title, message=message)
