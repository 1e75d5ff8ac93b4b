"""Application of the stand-in: Kombo's endpoints and the control endpoints."""

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from tools.kombo_standin.actions import OrderResults, ResultLinks
from tools.kombo_standin.api import Api, log_url
from tools.kombo_standin.control import Control
from tools.kombo_standin.kept_links import ApplicationAttachments, CandidateAttachments, Notes
from tools.kombo_standin.outcomes import LANDING_PATH, KomboError
from tools.kombo_standin.passthrough import Passthrough
from tools.kombo_standin.records import Applications, Candidates
from tools.kombo_standin.state import State


def create_app(state: State) -> FastAPI:
    """Build the application for a state."""
    api = Api(state)
    actions = [
        Route(action.path, action, methods=[action.method])
        for action in (ResultLinks(state), OrderResults(state))
    ]
    reads = [
        Route(read.path, read, methods=[read.method])
        for read in (
            Applications(state),
            Candidates(state),
            Notes(state),
            ApplicationAttachments(state),
            CandidateAttachments(state),
            Passthrough(state),
        )
    ]
    app = FastAPI(routes=[*actions, *reads], openapi_url=None)
    app.add_api_route("/v1/check-api-key", api.check_api_key, methods=["GET"])
    app.add_api_route("/v1/integrations/{_:path}", api.integration, methods=["GET"])
    app.add_api_route(LANDING_PATH, api.landing, methods=["GET"])
    app.include_router(Control(state).router())
    app.exception_handler(HTTPException)(_answer_like_kombo)
    return app


async def _answer_like_kombo(request: Request, error: HTTPException) -> Response:
    """Respond to an unknown path or method in Kombo's error format, without a code."""
    return KomboError(status=error.status_code, message=error.detail).app({}, log_url(request))
