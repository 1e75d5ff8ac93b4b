"""Endpoints ``GET /v1/ats/applications`` and ``GET /v1/ats/candidates``."""

import re
from typing import Any, ClassVar

from starlette.requests import Request
from typing_extensions import override  # in typing from Python 3.12 on

from tools.kombo_standin.ats import remote_id
from tools.kombo_standin.pages import RecordsQuery, page, parse_query
from tools.kombo_standin.reads import Read
from tools.kombo_standin.wire import TargetType

_CHANGED_AT = "2024-01-01T00:00:00.000Z"


class _Records(Read):
    """Records with the asked ids, in this order; untracked ones are missing."""

    needs_permission = False
    target_type: ClassVar[TargetType]

    @override
    async def _find(
        self, request: Request, integration_id: str, place: re.Match[str], body: bytes
    ) -> dict[str, Any]:
        query = parse_query(RecordsQuery, request.query_params)
        flavours = self._state.ats.flavours
        found = (
            (position, self._record(record_id))
            for position, record_id in enumerate(dict.fromkeys(query.ids))
            if flavours.is_tracked(integration_id, record_id)
        )
        return {"data": page(found, query)}

    def _record(self, record_id: str) -> dict[str, Any]:
        """Build a record with all required members of Kombo's schema."""
        return {
            "id": record_id,
            "remote_id": remote_id(self.target_type, record_id),
            "custom_fields": {},
            "integration_fields": [],
            "remote_url": None,
            "changed_at": _CHANGED_AT,
            "remote_created_at": None,
            "remote_updated_at": None,
            "remote_deleted_at": None,
            "remote_data": None,
        }


class Applications(_Records):
    """Endpoint ``GET /v1/ats/applications``."""

    path = "/v1/ats/applications"
    raw_path = re.compile(path)
    target_type = "application"

    @override
    def _record(self, record_id: str) -> dict[str, Any]:
        candidate_id = self._state.ats.candidate_of(record_id)
        return {
            **super()._record(record_id),
            "outcome": "PENDING",
            "rejection_reason_name": None,
            "rejected_at": None,
            "current_stage_id": None,
            "current_stage": None,
            "job_id": None,
            "job": None,
            "candidate_id": candidate_id,
            "candidate": {**_candidate(candidate_id), "remote_url": None},
            "interviews": [],
            "offers": [],
        }


class Candidates(_Records):
    """Endpoint ``GET /v1/ats/candidates``; their applications are not listed."""

    path = "/v1/ats/candidates"
    raw_path = re.compile(path)
    target_type = "candidate"

    @override
    def _record(self, record_id: str) -> dict[str, Any]:
        return {
            **super()._record(record_id),
            **_candidate(record_id),
            "company": None,
            "title": None,
            "confidential": None,
            "applications": [],
        }


def _candidate(candidate_id: str) -> dict[str, Any]:
    """Build the members that a candidate has everywhere; names would be personal data."""
    return {
        "id": candidate_id,
        "remote_id": remote_id("candidate", candidate_id),
        "first_name": None,
        "last_name": None,
        "source": None,
        "tags": [],
    }
