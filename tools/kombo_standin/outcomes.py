"""How a request can end: the answers Kombo documents, and all that goes wrong in real networks.

Every outcome is a pydantic model, told apart by ``kind``, and becomes an ASGI application.
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
    """What all outcomes have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str

    @property
    def name(self) -> str:
        """The name under which the statistics count it: the HTTP status and code, if it has any."""
        return self.kind

    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Build the ASGI application that lets a request end this way.

        Args:
            headers: Kombo's limit headers, for those answers that come from Kombo.
            log_url: Where Kombo would show the log of this call.

        """
        raise NotImplementedError


class Success(Outcome):
    """The link was made; Kombo may have warnings about it."""

    kind: Literal["success"] = "success"
    warnings: list[str] = []

    @property
    @override
    def name(self) -> str:
        """Always 200."""
        return "200"

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Answer 200 with the warnings."""
        return Response(success_body(self.warnings), 200, headers, JSON)


class KomboError(Outcome):
    """An error in Kombo's own format; a status and code that go together are the caller's care.

    Args:
        status: The HTTP status.
        code: Kombo's error code, or None: Kombo leaves some errors without one. Any text is
            taken, because codes that nobody knows yet are a case worth testing.
        title: Static label of the error.
        message: What happened, in prose.
        headers: More headers, such as Retry-After; they replace limit headers spelled the same.

    """

    kind: Literal["answer"] = "answer"
    status: Status
    code: str | None = None
    title: str | None = None
    message: str = "The stand-in was told to fail."
    headers: dict[str, str] = {}

    @property
    @override
    def name(self) -> str:
        """For example ``422 REMOTE.INPUT_INVALID``."""
        return f"{self.status} {self.code}" if self.code else str(self.status)

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> Response:
        """Answer with the error."""
        body = error_body(self.code, self.title, self.message, log_url)
        return Response(body, self.status, {**headers, **self.headers}, JSON)


class Raw(Outcome):
    """Any bytes: a load balancer's HTML, an empty 200, malformed JSON.

    It carries no limit headers but its own ``headers``: what a load balancer sends never saw
    Kombo's limits.
    """

    kind: Literal["raw"] = "raw"
    status: Status
    content_type: str = "text/html"
    body: str = ""
    headers: dict[str, str] = {}

    @property
    @override
    def name(self) -> str:
        """The HTTP status."""
        return str(self.status)

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Answer with the bytes."""
        return Response(self.body, self.status, self.headers, self.content_type)


class Redirect(Outcome):
    """A 302 to a page of this server that looks like success: a client that follows is fooled."""

    kind: Literal["redirect"] = "redirect"

    @property
    @override
    def name(self) -> str:
        """Always 302."""
        return "302"

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Answer with the page's address."""
        return Response(status_code=302, headers={"location": LANDING_PATH})


class Silence(Outcome):
    """No answer: the connection is reset (RST) or closed (FIN), or the request hangs.

    A hanging request fills one of its integration's slots until the client gives up or the server
    stops.
    """

    kind: Literal["reset", "close", "hang"]

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Give the connection its end."""
        return {"reset": reset, "close": close, "hang": hang}[self.kind]


class Truncate(Outcome):
    """The headers of a success and half of its body; then the connection closes."""

    kind: Literal["truncate"] = "truncate"

    @override
    def app(self, headers: Mapping[str, str], log_url: str) -> ASGIApp:
        """Answer 200, but not to the end."""
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
