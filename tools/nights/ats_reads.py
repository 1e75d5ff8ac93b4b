"""Reads of the simulated Kombo, with every failure: records, links, the passthrough.

The shapes are those of the stand-in (`tools/kombo_standin`), with the members that somebody reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from tools.nights.answers import ANSWERS, CALM, Answer, Proof
from tools.nights.ats import Ats, Entry
from tools.nights.planned_evidence import KeptAs, PlannedAts
from tools.nights.replaced import Request

_REMOTE: Final = "remote-"
_FORBIDDEN: Final = next(one for one in ANSWERS["blocked"] if "PERMISSION" in one.name)
_NO_PLACE: Final = next(one for one in ANSWERS["refused"] if "PLATFORM.INPUT" in one.name)
_UNUSABLE: Final = (
    Answer("a success without a body", Proof.NONE, 200),
    Answer("a success whose body is lost", Proof.NONE, 200, None),
    Answer("a success without data", Proof.NONE, 200, b'{"status": "success"}'),
    Answer("a success with other data", Proof.NONE, 200, b'{"status": "success", "data": []}'),
    Answer("half a body", Proof.NONE, 200, b'{"status": "success", "data": {"results"'),
)
_UNUSABLE_SHARE: Final = 0.04


class AtsReads:
    """Reads of all integrations.

    :param ats: The ATSs.
    :param seed: The number of the night.
    """

    def __init__(self, ats: Ats, seed: int) -> None:
        self._ats = ats
        self._seed = seed
        self._count = 0

    def answer(self, request: Request, mood: Mapping[str, float], now: float) -> Answer:
        """Return the answer to a read."""
        self._count += 1
        chance = Random(f"{self._seed}/read/{self._count}")
        (kind,) = chance.choices(list(mood), list(mood.values()))
        if kind != "made":
            return chance.choice(ANSWERS[kind])
        if mood is not CALM and chance.random() < _UNUSABLE_SHARE:
            return chance.choice(_UNUSABLE)
        plan = self._ats.plans[request.headers["X-Integration-Id"]]
        return self._whole(plan, request, now)

    def _whole(self, plan: PlannedAts, request: Request, now: float) -> Answer:
        """Return the answer of a working Kombo."""
        _, *parts = request.path.removeprefix("/v1").split("/")
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        if parts in (["ats", "applications"], ["ats", "candidates"]):
            return _success(self._records(plan, parts[1].removesuffix("s"), query))
        if not plan.may_read:
            return _FORBIDDEN
        if parts == ["ats", "notes"]:
            return _success(self._notes(plan, query, now))
        if parts[-1] == "attachments":
            return _success(self._documents(plan, parts[1][:-1], unquote(parts[2]), now))
        if parts[0] == "passthrough":
            return _success(self._passthrough(plan, json.loads(request.body), now))
        return _NO_PLACE

    def _records(self, plan: PlannedAts, target_type: str, query: Mapping[str, str]) -> Any:
        tracked = [one for one in query["ids"].split(",") if plan.is_tracked(target_type, one)]
        return {"next": None, "results": [_record(plan, target_type, one) for one in tracked]}

    def _notes(self, plan: PlannedAts, query: Mapping[str, str], now: float) -> Any:
        record_id = query["candidate_ids"]
        if plan.is_broken(record_id):
            return {"next": None, "results": None}
        found = self._of(plan, KeptAs.NOTES, "candidate", record_id, now)
        size = min(int(query.get("page_size", "100")), plan.page_size)
        shown, following = _page(found, int(query.get("cursor", "0")), size)
        notes = [
            {"id": f"n{one.number}", "title": "Coding", "content_html": one.text} for one in shown
        ]
        return {"next": following, "results": notes}

    def _documents(self, plan: PlannedAts, target_type: str, record_id: str, now: float) -> Any:
        if plan.is_broken(record_id):
            return {"results": {}}
        found = self._of(plan, KeptAs.DOCUMENTS, target_type, record_id, now)
        return {"results": [{"data_url": one.text, "file_name": "Coding"} for one in found]}

    def _passthrough(self, plan: PlannedAts, asked: Mapping[str, Any], now: float) -> Any:
        """Return the answer of an ATS's own API, with the status and the data."""
        params = {**asked.get("params", {}), **asked.get("data", {})}
        record_id = params.get("candidate") or unquote(asked["path"].split("/")[2])
        if plan.is_broken(record_id):
            return {"status": 500, "headers": {}, "data": {"activities": [], "next": None}}
        if not record_id.startswith(_REMOTE):
            return {"status": 404, "headers": {}, "data": {"message": "Not found"}}
        record_id = record_id.removeprefix(_REMOTE)
        found = self._of(plan, KeptAs.ACTIVITIES, "candidate", record_id, now)[::-1]
        shown, following = _page(found, int(params.get("offset", "0")), plan.page_size)
        own = [{"id": one.number, "body": {"text": one.text}} for one in shown]
        data = {"activities": own, "paging": {"next": following}}
        return {"status": 200, "headers": {}, "data": data}

    def _of(
        self, plan: PlannedAts, kept_as: KeptAs, target_type: str, record_id: str, now: float
    ) -> Sequence[Entry]:
        """Return the entries of a record, in the order of their creation."""
        if plan.kept_as is not kept_as:
            return []
        found = self._ats.entries(plan.integration_id, target_type, record_id, now)
        return sorted(found, key=lambda one: one.number)


def _record(plan: PlannedAts, target_type: str, record_id: str) -> dict[str, Any]:
    candidate_id = plan.candidate_of(target_type, record_id)
    remote_id = f"{_REMOTE}{record_id}"
    if target_type == "candidate":
        return {"id": record_id, "remote_id": remote_id}
    candidate = {"id": candidate_id, "remote_id": f"{_REMOTE}{candidate_id}"}
    own = {"id": record_id, "remote_id": f"{_REMOTE}application-{record_id}"}
    return {**own, "candidate_id": candidate_id, "candidate": candidate}


def _page(found: Sequence[Entry], begin: int, size: int) -> tuple[Sequence[Entry], str | None]:
    """Return a page of entries, and the cursor of the next one."""
    end = begin + size
    return found[begin:end], str(end) if end < len(found) else None


def _success(data: Any) -> Answer:
    body = {"status": "success", "data": data, "warnings": []}
    return Answer("success", Proof.MADE, 200, json.dumps(body).encode())
