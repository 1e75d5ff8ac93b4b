"""Errors of the page: a page for a person, and JSON at the addresses for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_kombo.exceptions import ConfigurationError, KomboError
from airflow_kombo.web.app_state import pages_of
from airflow_kombo.web.database import SECTION, NoTablesError
from airflow_kombo.web.json_problem import BadParameter, Problem, ProblemCode
from airflow_kombo.web.pagination import InvalidPositionError

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

_TITLES: Final = {
    HTTPStatus.UNAUTHORIZED: "You are not logged in",
    HTTPStatus.FORBIDDEN: "You may not see this page",
    HTTPStatus.NOT_FOUND: "It is not here",
}
_MESSAGES: Final = {
    HTTPStatus.UNAUTHORIZED: "Log in to Airflow, then open this page again.",
    HTTPStatus.FORBIDDEN: "Your Airflow user may not see plugins. Ask your Airflow administrator.",
}
_LOGIN: Final = "Send a token of Airflow in the header Authorization: Bearer."
_CODES: Final[Mapping[HTTPStatus, ProblemCode]] = {
    HTTPStatus.UNAUTHORIZED: ProblemCode.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: ProblemCode.FORBIDDEN,
    HTTPStatus.NOT_FOUND: ProblemCode.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: ProblemCode.METHOD_NOT_ALLOWED,
}


@dataclass(frozen=True)
class _Failure:
    """Error of a request, for a person and for a program.

    :param advice: The next step, beside the message.
    :param headers: Headers for a program, such as `Allow`.
    """

    status: HTTPStatus
    code: ProblemCode
    title: str
    message: str
    advice: str = ""
    parameters: Sequence[BadParameter] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def add_handlers(app: FastAPI) -> None:
    """Add the handlers of all errors that a request can cause."""
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)
    app.add_exception_handler(InvalidPositionError, _invalid_position)
    app.add_exception_handler(NoTablesError, _no_tables)
    app.add_exception_handler(KomboError, _unavailable)


def is_for_programs(request: Request) -> bool:
    """Return True for the address of a JSON view."""
    return request.url.path.endswith(".json")


def _http_error(request: Request, error: Any) -> Response:
    status = HTTPStatus(error.status_code)
    code = _CODES.get(status, ProblemCode.OTHER)
    message = _MESSAGES.get(status, str(error.detail))
    if status == HTTPStatus.UNAUTHORIZED and is_for_programs(request):
        message = _LOGIN
    title = _TITLES.get(status, status.phrase)
    failure = _Failure(status, code, title, message, headers=error.headers or {})
    return _failed(request, failure)


def _invalid_parameters(request: Request, error: Any) -> Response:
    problems = {str(one["loc"][-1]): str(one["msg"]) for one in error.errors()}
    where = "in the address" if is_for_programs(request) else "in the address or in the form"
    failure = _Failure(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        ProblemCode.INVALID_PARAMETERS,
        "The search is not valid",
        f"Correct {', '.join(sorted(problems))} {where}.",
        parameters=[BadParameter(name=name, problem=why) for name, why in problems.items()],
    )
    return _failed(request, failure)


def _invalid_position(request: Request, error: Any) -> Response:
    status, code = HTTPStatus.BAD_REQUEST, ProblemCode.INVALID_POSITION
    return _failed(request, _Failure(status, code, "There is no such page", str(error)))


def _no_tables(request: Request, error: Any) -> Response:
    if is_for_programs(request):
        status, code = HTTPStatus.NOT_FOUND, ProblemCode.NO_TABLES
        return _json(_Failure(status, code, "Nothing was delivered yet", str(error)))
    return pages_of(request).render(
        "empty.html", here="overview", message=str(error), section=SECTION
    )


def _unavailable(request: Request, error: Any) -> Response:
    status, message = HTTPStatus.SERVICE_UNAVAILABLE, str(error)
    if isinstance(error, ConfigurationError):
        failure = _Failure(status, ProblemCode.NOT_SET_UP, "The page is not set up", message)
    else:
        advice = "Narrow the search, or try again in a moment."
        title = "The warehouse did not answer"
        failure = _Failure(status, ProblemCode.UNAVAILABLE, title, message, advice)
    return _failed(request, failure)


def _failed(request: Request, failure: _Failure) -> Response:
    if is_for_programs(request):
        return _json(failure)
    return pages_of(request).render(
        "error.html",
        status=failure.status,
        title=failure.title,
        message=failure.message,
        advice=failure.advice,
        is_closed=failure.status in _MESSAGES,
        may_pass=failure.code is ProblemCode.UNAVAILABLE,
    )


def _json(failure: _Failure) -> Response:
    problem = Problem(
        status=failure.status,
        code=failure.code,
        title=failure.title,
        detail=f"{failure.message} {failure.advice}".strip(),
        parameters=list(failure.parameters),
    )
    return JSONResponse(problem.model_dump(mode="json"), failure.status, dict(failure.headers))
