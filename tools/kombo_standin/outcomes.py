"""Outcomes of a request: Kombo's documented responses, and failures of real networks.

Each outcome is a pydantic model, selected by ``kind``, and becomes an ASGI application.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override  # in typing from Python 3.12 on

from tools.kombo_standin.connection import close, hang, reset
from tools.kombo_standin.wire import JSON, error_body, success_body

LANDING_PATH = "/redirected"

Status = Annotated[int, Field(ge=200, le=599)]


class Outcome(BaseModel):
    """Base of all outcomes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str

    @property
    def name(self) -> str:
        """Return the name for the statistics: HTTP status and code, if there are any."""
        return self.kind

    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Build the ASGI application that ends a request this way.

        :param headers: Kombo's limit headers, for responses of Kombo.
        :param log_url: The address of the call's log in Kombo.
        """
        raise NotImplementedError


class Success(Outcome):
    """Success: the link is written, perhaps with Kombo's warnings."""

    kind: Literal["success"] = "success"
    warnings: list[str] = []

    @property
    @override
    def name(self) -> str:
        """Return 200."""
        return "200"

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Build a response with status 200 and the warnings."""
        return Response(success_body(self.warnings), 200, headers, JSON)


class KomboError(Outcome):
    """Error in Kombo's format; the caller chooses a status and a code that fit.

    :param status: The HTTP status.
    :param code: Kombo's error code, or None: some of Kombo's errors have no code. Any text is
        allowed, because unknown codes must be tested, too.
    :param title: The fixed label of the error.
    :param message: The description of the error.
    :param headers: More headers, such as Retry-After; they replace limit headers of the same name.
    """

    kind: Literal["answer"] = "answer"
    status: Status
    code: str | None = None
    title: str | None = None
    message: str = "The stand-in had an order to fail."
    headers: dict[str, str] = {}

    @property
    @override
    def name(self) -> str:
        """Return status and code, for example ``422 REMOTE.INPUT_INVALID``."""
        return f"{self.status} {self.code}" if self.code else str(self.status)

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> Response:
        """Build the error's response."""
        body = error_body(self.code, self.title, self.message, log_url)
        return Response(body, self.status, {**headers, **self.headers}, JSON)


class Raw(Outcome):
    """Any bytes: a load balancer's HTML, an empty 200, malformed JSON.

    The response has no limit headers except those in ``headers``, because a load balancer's
    response does not come from Kombo.
    """

    kind: Literal["raw"] = "raw"
    status: Status
    content_type: str = "text/html"
    body: str = ""
    headers: dict[str, str] = {}

    @property
    @override
    def name(self) -> str:
        """Return the HTTP status."""
        return str(self.status)

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Build a response with the bytes."""
        return Response(self.body, self.status, self.headers, self.content_type)


class Redirect(Outcome):
    """Redirect (302) to a page of this server with an apparent success, as a trap for clients."""

    kind: Literal["redirect"] = "redirect"

    @property
    @override
    def name(self) -> str:
        """Return 302."""
        return "302"

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Build a response with the page's address."""
        return Response(status_code=302, headers={"location": LANDING_PATH})


class Silence(Outcome):
    """No response: the connection is reset (RST) or closed (FIN), or the request hangs.

    A hanging request holds one of the integration's slots until the client or the server ends.
    """

    kind: Literal["reset", "close", "hang"]

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Build the end of the connection."""
        return {"reset": reset, "close": close, "hang": hang}[self.kind]


class Truncate(Outcome):
    """Headers of a success and half of the body, then the connection closes."""

    kind: Literal["truncate"] = "truncate"

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Build an incomplete response with status 200."""
        whole = Response(success_body([]), 200, headers, JSON)

        async def half(scope: Scope, receive: Receive, send: Send) -> None:
            body = bytes(whole.body)
            start = {"type": "http.response.start", "status": 200, "headers": whole.raw_headers}
            await send(start)
            part = {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}
            await send(part)
            await close(scope, receive, send)

        return half


AnyOutcome = Annotated[
    Success | KomboError | Raw | Redirect | Silence | Truncate,
    Field(discriminator="kind"),
]
