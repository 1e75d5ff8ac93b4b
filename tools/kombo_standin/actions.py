"""Writing endpoints: two for result links, and one for an order's result."""

import re
from typing import ClassVar, Literal
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send
from typing_extensions import override  # in typing from Python 3.12 on

from tools.kombo_standin.api import authentication_error, input_invalid, log_url
from tools.kombo_standin.connection import Connection
from tools.kombo_standin.outcomes import KomboError, Outcome
from tools.kombo_standin.state import Received, State
from tools.kombo_standin.wire import Link, OrderResult, TargetType, parse_body, parse_order_result

_TARGET_TYPES: dict[str, TargetType] = {"candidates": "candidate", "applications": "application"}


class _Action:
    """One write, as an ASGI application.

    This is no FastAPI endpoint, because a slot must stay taken until the response is sent: a
    hanging request is in flight.

    :param state: The state of the stand-in.
    """

    path: ClassVar[str]
    method: ClassVar[Literal["POST", "PUT"]] = "POST"
    raw_path: ClassVar[re.Pattern[str]]

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return  # the client has ended in the middle of the request
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
        self._state.counts["received"] += 1

    def _refusal(self, request: Request, integration_id: str) -> KomboError | None:
        """Return the error of a request that Kombo refuses before reading the body."""
        unknown = authentication_error(request, self._state.key)
        if unknown:
            return unknown
        if not integration_id:
            return input_invalid("The header X-Integration-Id is missing.")
        return self._state.gate.refusal(integration_id)

    async def _act(self, raw_path: bytes, integration_id: str, body: bytes) -> Outcome:
        """Write, or follow a rule; take as long as an ATS would."""
        # The undecoded path: an escaped slash is part of the id.
        place = self.raw_path.fullmatch(raw_path.decode("ascii"))
        if not place:
            return KomboError(status=404, message="There is no such endpoint.")
        try:
            made = self._read(integration_id, place, body)
        except ValueError as error:
            return input_invalid(str(error))
        rule = self._state.rules.fire(made)
        if rule.creates:  # before the wait: a client may stop waiting
            self._state.create(made)
        await self._state.pause(self._state.latency.draw(integration_id) + rule.delay)
        return rule.outcome

    def _read(self, integration_id: str, place: re.Match[str], body: bytes) -> Link | OrderResult:
        """Read the link or the order's result from the request."""
        raise NotImplementedError

    async def _end(
        self, outcome: Outcome, integration_id: str, request: Request, send: Send
    ) -> None:
        """Count the outcome, then end the request: a client with a response finds it counted."""
        self._state.answers[outcome.name] += 1
        app = outcome.app(self._state.gate.headers(integration_id), log_url(request))
        await app(request.scope, request.receive, send)


class ResultLinks(_Action):
    """Endpoint ``POST /v1/ats/{candidates,applications}/{id}/result-links``."""

    path = "/v1/ats/{collection}/{target_id:path}/result-links"
    raw_path = re.compile(r"/v1/ats/(candidates|applications)/([^/]+)/result-links")

    @override
    def _read(self, integration_id: str, place: re.Match[str], body: bytes) -> Link:
        parsed = parse_body(body)
        target_type, target_id = _TARGET_TYPES[place[1]], unquote(place[2])
        return Link(integration_id, target_type, target_id, parsed["label"], parsed["url"])


class OrderResults(_Action):
    """Endpoint ``PUT /v1/assessment/orders/{id}/result``."""

    path = "/v1/assessment/orders/{order_id:path}/result"
    method = "PUT"
    raw_path = re.compile(r"/v1/assessment/orders/([^/]+)/result")

    @override
    def _read(self, integration_id: str, place: re.Match[str], body: bytes) -> OrderResult:
        parsed = parse_order_result(body)
        target_id, url = unquote(place[1]), parsed["result_url"]
        return OrderResult(
            integration_id, "order", target_id, url, parsed["status"], parsed.get("score")
        )
