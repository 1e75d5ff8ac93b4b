"""Ends of a request to Kombo, each with the proof in it.

The table is written from Kombo's documentation once more. It is not imported from the package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple


class Proof(Enum):
    """The proof in a response about the link."""

    MADE = auto()
    NOT_MADE = auto()
    NONE = auto()
    """Nobody can know whether the link was made."""


class Answer(NamedTuple):
    """End of a request.

    :param status: The HTTP status; 0 for no response at all.
    :param body: The body; None if it is lost on the way.
    :param is_kombos: Whether Kombo responds, with its headers, and not a server on the way.
    """

    name: str
    proof: Proof
    status: int
    body: bytes | None = b""
    is_kombos: bool = True


def _error(code: str | None, message: str = "No.") -> bytes:
    error = {"code": code, "title": None, "message": message, "log_url": None}
    return json.dumps({"status": "error", "error": error}).encode()


def success(*warnings: str) -> bytes:
    """Return the body of Kombo's success."""
    said = [{"message": text} for text in warnings]
    return json.dumps({"status": "success", "data": {}, "warnings": said}).encode()


def _coded(status: int, proof: Proof, *codes: str | None) -> list[Answer]:
    return [Answer(f"{status} {code}", proof, status, _error(code)) for code in codes]


def _foreign(proof: Proof, body: bytes, *statuses: int) -> list[Answer]:
    return [
        Answer(f"another server's {status}", proof, status, body, is_kombos=False)
        for status in statuses
    ]


_PAGE: Final = b"<html><body>Welcome to this network</body></html>"
_RESET: Final = b"upstream connect error or disconnect/reset before headers"

LIMITED: Final = Answer(
    "429 for too many at once",
    Proof.NOT_MADE,
    429,
    _error("PLATFORM.CONCURRENCY_LIMIT_EXCEEDED"),
)

ANSWERS: Final[Mapping[str, list[Answer]]] = {
    "made": [
        Answer("success", Proof.MADE, 200, success()),
        Answer("success with a warning", Proof.MADE, 200, success("The note is long.")),
        Answer("success without a body", Proof.MADE, 200),
        Answer("success whose body is lost", Proof.MADE, 201, None),
    ],
    "limited": [
        LIMITED,
        *_coded(429, Proof.NOT_MADE, "PLATFORM.RATE_LIMIT_EXCEEDED", None),
        *_foreign(Proof.NOT_MADE, b"slow down", 429),
    ],
    "tried again": [
        *_coded(503, Proof.NOT_MADE, "REMOTE.RATE_LIMIT_EXCEEDED", "REMOTE.SERVICE_UNAVAILABLE"),
        *_coded(200, Proof.NOT_MADE, "REMOTE.SERVICE_UNAVAILABLE"),
        *_foreign(Proof.NOT_MADE, b"no healthy host", 503),
    ],
    "another server": [
        *_foreign(Proof.NOT_MADE, _PAGE, 301, 302, 307, 401, 403, 404, 407, 413, 425),
        *_foreign(Proof.NONE, _PAGE, 200, 202),
        *_foreign(Proof.NONE, b'{"ok": true}', 200),
        *_foreign(Proof.NONE, b"", 200, 204),
    ],
    "refused": _coded(
        400,
        Proof.NOT_MADE,
        "PLATFORM.INPUT_INVALID",
        "REMOTE.INPUT_INVALID",
        "ATS.JOB_CLOSED",
        "ATS.APPLICATION_ALREADY_EXISTS",
    ),
    "blocked": _coded(
        403,
        Proof.NOT_MADE,
        "PLATFORM.INTEGRATION_NOT_FOUND",
        "INTEGRATION.PERMISSION_MISSING",
        "INTEGRATION.AUTHENTICATION_INVALID",
        "INTEGRATION.QA_FAILED",
        "INTEGRATION.SETUP_SYNC_PENDING",
        "INTEGRATION.SETUP_INCOMPLETE",
        "INTEGRATION.INACTIVE",
        "INTEGRATION.MODEL_NOT_AVAILABLE",
        "INTEGRATION.MODEL_DISABLED",
        "INTEGRATION.ACTION_NOT_AVAILABLE",
        "INTEGRATION.ACTION_DISABLED",
    ),
    "stopped": _coded(
        401,
        Proof.NOT_MADE,
        "PLATFORM.AUTHENTICATION_INVALID",
        "PLATFORM.IP_NOT_WHITELISTED",
    ),
    "doubtful": [
        *_coded(
            500,
            Proof.NONE,
            "PLATFORM.TASK_TIMED_OUT",
            "PLATFORM.UNKNOWN_ERROR",
            "REMOTE.UNKNOWN_HTTP_ERROR",
            "ATS.SOMETHING_NEW",
            None,
        ),
        *_coded(409, Proof.NONE, "PLATFORM.SOMETHING_NEW"),
        Answer("success with the status 500", Proof.NONE, 500, success()),
        *_foreign(Proof.NONE, b"gateway error", 500, 502, 504, 408, 499),
        *_foreign(Proof.NONE, _RESET, 503),
    ],
    "lost": [
        Answer("the connection breaks", Proof.NONE, 0),
        Answer("an error whose body is lost", Proof.NONE, 500, None, is_kombos=False),
    ],
    "silence": [Answer("no response", Proof.NONE, -1)],
}

CALM: Final[Mapping[str, float]] = {"made": 100}
USUAL: Final[Mapping[str, float]] = {
    "made": 60,
    "limited": 6,
    "tried again": 5,
    "another server": 1,
    "refused": 4,
    "blocked": 1,
    "stopped": 0.3,
    "doubtful": 4,
    "lost": 2,
    "silence": 1,
}
BAD: Final[Mapping[str, float]] = {
    "made": 10,
    "limited": 10,
    "tried again": 40,
    "another server": 4,
    "refused": 4,
    "blocked": 2,
    "stopped": 0.5,
    "doubtful": 15,
    "lost": 8,
    "silence": 3,
}
DOUBT: Final[Mapping[str, float]] = {
    "made": 50,
    "limited": 4,
    "doubtful": 30,
    "lost": 12,
    "silence": 4,
}
"""Weights of the kinds of answers: usual ones, in bad times, and where much is left in doubt."""
