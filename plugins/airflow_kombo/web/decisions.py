"""Check of a filled-in file: what the deciding dag would do with each line.

The page reads the file and the tables, and changes nothing: a person hands the decisions to the
deciding dag. So a request that another site made a browser send has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile

from airflow_kombo.ledger.decision_check import check_lines, parts_of
from airflow_kombo.ledger.decision_file import DecidedLine, read_decisions, text_of
from airflow_kombo.statuses import DECIDED, Decision
from airflow_kombo.web.database import Warehouse

if TYPE_CHECKING:
    from starlette.types import Receive

MOST_BYTES: Final = 2 * 2**20
"""Size of a form with its file at most."""


@dataclass(frozen=True)
class DecisionForm:
    """Fields of a form with a file of decisions.

    :param content: The uploaded file; empty if there is none.
    :param text: The pasted text of a file, used if no file is uploaded.
    :param reason: The reason for lines without one.
    """

    content: bytes = b""
    text: str = ""
    reason: str = ""


@dataclass(frozen=True)
class CheckedFile:
    """Outcome of a check.

    :param lines: The lines whose rows can be decided now.
    :param left: The lines whose rows are left, by reason.
    :param undecided: The number of lines without a decision.
    """

    lines: Sequence[DecidedLine]
    left: Mapping[str, Sequence[DecidedLine]]
    undecided: int

    @property
    def counts(self) -> dict[str, int]:
        """Rows to decide by decision; those about a link also if there are none."""
        decisions = [line.decision for line in self.lines]
        counts = {one: decisions.count(one) for one in Decision}
        return {one.value: rows for one, rows in counts.items() if rows or one in DECIDED}


async def decision_form(request: Request) -> DecisionForm:
    """Read the form, and no more of a request than a form may have.

    :raises HTTPException: for a request that is too large, or no form.
    """
    limited = Request(request.scope, _limited(request.receive))
    async with limited.form(max_files=1, max_fields=4, max_part_size=MOST_BYTES) as form:
        file = form.get("file")
        content = await file.read() if isinstance(file, UploadFile) else b""
        return DecisionForm(content, _text(form.get("text")), _text(form.get("reason")).strip())


def check_file(form: DecisionForm, warehouse: Warehouse) -> CheckedFile:
    """Check the lines of a file against the tables, each batch in one transaction.

    :raises DecisionFileError: if the file has a mistake, with the message of the dag.
    :raises LedgerError: if the warehouse cannot be read.
    """
    text = text_of(form.content) if form.content else form.text
    file = read_decisions(text, form.reason)
    left: dict[str, list[DecidedLine]] = {}
    for part in parts_of(file.decided):
        with warehouse.reading() as connection:
            for one in check_lines(connection, warehouse.tables, part):
                left.setdefault(one.why, []).append(one.line)
    numbers = {line.line for lines in left.values() for line in lines}
    lines = [line for line in file.decided if line.line not in numbers]
    return CheckedFile(lines, left, file.undecided)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _limited(receive: Receive) -> Receive:
    """Return a function that receives a body as `receive` does, up to the size of a form."""
    size = 0

    async def receive_limited() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MOST_BYTES:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The file has more than {MOST_BYTES // 2**20} MiB. Divide the file, or hand it"
                " to the deciding dag with decisions_from.",
            )
        return message

    return receive_limited
