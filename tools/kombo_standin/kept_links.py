"""Endpoints with the links that an ATS keeps: synced notes, and attachments."""

import re
import time
from typing import Any, NamedTuple
from urllib.parse import unquote

from starlette.requests import Request
from typing_extensions import override  # in typing from Python 3.12 on

from tools.kombo_standin.ats import address, iso, text
from tools.kombo_standin.ledger import Record
from tools.kombo_standin.pages import NotesQuery, page, parse_query
from tools.kombo_standin.reads import Read
from tools.kombo_standin.scenario import Flavour

_AUTHOR_ID = "StandinAuthor12345678901"  # 24 characters, as Kombo's ids have
_AUTHOR = {
    "id": _AUTHOR_ID,
    "remote_id": "remote-author",
    "first_name": "Kombo",
    "last_name": None,
    "email": None,
}


class _Synced(NamedTuple):
    """Note as Kombo has read the note, with the time of the last change in Kombo."""

    record: Record
    changed_at: float
    is_gone: bool

    @property
    def note_id(self) -> str:
        """Return Kombo's id of the note."""
        return f"StandinNote{self.record.number:013}"

    def is_wanted(self, query: NotesQuery) -> bool:
        """Return whether the note is among the results, apart from its owner."""
        earliest = query.updated_after.timestamp() if query.updated_after else 0
        return (
            self.changed_at >= earliest
            and (not self.is_gone or query.include_deleted == "true")
            and (query.ids is None or self.note_id in query.ids)
        )


class Notes(Read):
    """Endpoint ``GET /v1/ats/notes``: the notes that a sync has found, oldest first."""

    path = "/v1/ats/notes"
    raw_path = re.compile(path)

    @override
    async def _find(
        self, request: Request, integration_id: str, place: re.Match[str], body: bytes
    ) -> dict[str, Any]:
        query = parse_query(NotesQuery, request.query_params)
        writes = self._state.ats.writes(
            "notes", integration_id, query.candidate_ids, query.application_ids
        )
        now = time.time()
        synced = (one for record in writes if (one := self._synced(record, now)))
        notes = ((one.record.number, self._note(one)) for one in synced if one.is_wanted(query))
        return {"data": page(notes, query)}

    def _synced(self, record: Record, now: float) -> _Synced | None:
        """Return a note as Kombo has read the note; None: no sync has found the note."""
        ats = self._state.ats
        every = ats.flavours.of(record.link.integration_id).sync_seconds
        found_at = ats.syncs.first_since(record.appears_at, every)
        if found_at > now or found_at >= record.deleted_at:
            return None
        gone_at = ats.syncs.first_since(record.deleted_at, every)
        is_gone = gone_at <= now
        return _Synced(record, gone_at if is_gone else found_at, is_gone)

    def _note(self, synced: _Synced) -> dict[str, Any]:
        """Build a note with all members of Kombo's schema."""
        ats, record, link = self._state.ats, synced.record, synced.record.link
        candidate_id, application_id = ats.owner(link)
        return {
            "id": synced.note_id,
            "remote_id": f"remote-note-{record.number}",
            "candidate_id": candidate_id,
            "application_id": application_id,
            "author_id": _AUTHOR_ID,
            "author": _AUTHOR,
            "title": link.label,
            "content_html": text(ats.flavours.of(link.integration_id), link),
            "is_private": False,
            "remote_created_at": iso(record.created_at),
            "remote_updated_at": iso(record.created_at),
            "changed_at": iso(synced.changed_at),
            "remote_deleted_at": iso(record.deleted_at) if synced.is_gone else None,
        }


class ApplicationAttachments(Read):
    """Endpoint ``GET /v1/ats/applications/{id}/attachments``, live from the ATS.

    If the ATS files links under candidates, the results are all of the candidate's attachments.
    """

    path = "/v1/ats/applications/{application_id:path}/attachments"
    raw_path = re.compile(r"/v1/ats/applications/([^/]+)/attachments")

    @override
    async def _find(
        self, request: Request, integration_id: str, place: re.Match[str], body: bytes
    ) -> dict[str, Any]:
        await self._ask_ats(integration_id)
        ats, application_id = self._state.ats, unquote(place[1])
        flavour, candidate_id = ats.flavours.of(integration_id), ats.candidate_of(application_id)
        only = application_id if flavour.filed_under == "application" else None
        found = ats.shown("documents", integration_id, candidate_id, only)
        return {"data": {"results": [_attachment(one, flavour) for one in found]}, "warnings": []}


class CandidateAttachments(Read):
    """Endpoint ``GET /v1/ats/candidates/{id}/attachments``, live, with all applications' ones."""

    path = "/v1/ats/candidates/{candidate_id:path}/attachments"
    raw_path = re.compile(r"/v1/ats/candidates/([^/]+)/attachments")

    @override
    async def _find(
        self, request: Request, integration_id: str, place: re.Match[str], body: bytes
    ) -> dict[str, Any]:
        await self._ask_ats(integration_id)
        ats = self._state.ats
        flavour = ats.flavours.of(integration_id)
        results = []
        for one in ats.shown("documents", integration_id, unquote(place[1]), None):
            candidate_id, application_id = ats.owner(one.link)
            owners = {"candidate_id": candidate_id, "application_id": application_id}
            results.append({**_attachment(one, flavour), **owners})
        return {"data": {"results": results}, "warnings": []}


def _attachment(record: Record, flavour: Flavour) -> dict[str, Any]:
    """Build an attachment with the members that Kombo's two schemas share."""
    return {
        "type": "OTHER",
        "id": f"StandinFile{record.number:013}",
        "remote_id": f"remote-file-{record.number}",
        "data_url": address(flavour, record.link),
        "file_name": record.link.label,
        "content_type": "text/html",
        "remote_created_at": iso(record.created_at),
        "remote_updated_at": None,
    }
