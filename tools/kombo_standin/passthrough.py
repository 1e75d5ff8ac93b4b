"""Endpoint ``POST /v1/passthrough/{tool}/{api}``: the ATS's own API, which has one read."""

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from pydantic import BaseModel, PositiveInt, ValidationError
from starlette.requests import Request
from typing_extensions import override  # in typing from Python 3.12 on

from tools.kombo_standin.ats import candidate_from, iso, text
from tools.kombo_standin.ledger import Record
from tools.kombo_standin.reads import Read
from tools.kombo_standin.scenario import Flavour
from tools.kombo_standin.wire import PassthroughBody, parse_passthrough

_FEED = re.compile(r"/candidates/([^/]+)/activity_feed")
_NOT_FOUND: tuple[int, dict[str, Any]] = (404, {"message": "Resource not found"})
_NOT_ALLOWED: tuple[int, dict[str, Any]] = (405, {"message": "Method not allowed"})


class _Page(BaseModel):
    """Parameters of the ATS's own API; the ATS ignores unknown ones."""

    page: PositiveInt = 1
    per_page: PositiveInt | None = None


class Passthrough(Read):
    """Endpoint ``POST /v1/passthrough/{tool}/{api}``; the ATS's own errors are in ``data``."""

    path = "/v1/passthrough/{tool}/{api}"
    method = "POST"
    raw_path = re.compile(r"/v1/passthrough/([^/]+)/([^/]+)")

    @override
    async def _find(
        self, request: Request, integration_id: str, place: re.Match[str], body: bytes
    ) -> dict[str, Any]:
        asked = parse_passthrough(body)
        tool = integration_id.partition(":")[0]
        if unquote(place[1]) != tool:
            raise ValueError("tool: the integration has another one")
        await self._ask_ats(integration_id)
        url = urlsplit(asked["path"])
        params = {**dict(parse_qsl(url.query)), **asked.get("params", {})}
        status, data = self._answer(integration_id, asked, url.path, params)
        query = f"?{urlencode(params)}" if params else ""
        answer = {
            "url": f"https://{tool}.example.com/api{url.path}{query}",
            "status": status,
            "headers": {"content-type": "application/json"},
            "data": data,
        }
        return {"data": answer, "warnings": []}

    def _answer(
        self, integration_id: str, asked: PassthroughBody, path: str, params: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        """Return status and body of the ATS's own response."""
        place = _FEED.fullmatch(path)
        candidate_id = candidate_from(unquote(place[1])) if place else None
        if candidate_id is None:
            return _NOT_FOUND
        if asked["method"] != "GET":
            return _NOT_ALLOWED
        try:
            page = _Page.model_validate(params)
        except ValidationError:
            return 422, {"message": "Invalid page"}
        ats = self._state.ats
        links = ats.shown("activities", integration_id, candidate_id, None)
        return 200, _feed(links[::-1], page, ats.flavours.of(integration_id))


def _feed(links: list[Record], page: _Page, flavour: Flavour) -> dict[str, Any]:
    """Build one page of a candidate's activities, newest first."""
    size = min(page.per_page or flavour.per_page, flavour.per_page)
    end = page.page * size
    activities = [
        {
            "id": record.number,
            "created_at": iso(record.created_at),
            "subject": record.link.label,
            "body": text(flavour, record.link),
            "user": None,
        }
        for record in links[end - size : end]
    ]
    following = page.page + 1 if len(links) > end else None
    return {"notes": [], "emails": [], "activities": activities, "next": following}
