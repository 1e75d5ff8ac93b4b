"""What a person types into Airflow's trigger form to act on a row.

Airflow 3.3's form takes nothing from an address: it can be filled in from an earlier run only. So
the page shows what to paste, and opens the dag.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from airflow_kombo.statuses import SENT_AGAIN, Status

DELIVER: Final = "kombo_result_links"
DECIDE: Final = "kombo_resolve_unknown"


@dataclass(frozen=True)
class Form:
    """A dag, and what to fill in.

    :param warning: What can go wrong, if something can.
    """

    title: str
    dag_id: str
    conf: str
    explanation: str
    warning: str | None = None


def forms(row: Any, dag_id: str | None) -> list[Form]:
    """Give what can be done about a row.

    :param dag_id: The dag that sent it last, if any did.
    """
    status, which = Status(row.status), {"result_ids": [row.result_id]}
    which["integration_ids"] = [row.integration_id]
    found = []
    if status is Status.UNKNOWN:
        found.append(
            Form(
                "Decide",
                DECIDE,
                _json(which),
                "Look the call up in Kombo's logs, then say whether the link was created.",
            )
        )
    if status not in {Status.SUCCESS, Status.SENDING}:
        conf: dict[str, Any] = dict(which)
        if row.assessment_date:
            conf["assessment_date"] = row.assessment_date.isoformat()
        if status not in SENT_AGAIN:
            conf["redeliver"] = [status.value]
        found.append(
            Form(
                "Send again",
                dag_id or DELIVER,
                _json(conf),
                "The next nightly run sends it by itself."
                if status in SENT_AGAIN
                else "Correct the row or the mapping first, or what was refused is refused again.",
                "The link may exist already: sending it again can make a second one."
                if status is Status.UNKNOWN
                else None,
            )
        )
    return found


def _json(conf: dict[str, Any]) -> str:
    return json.dumps(conf, indent=2, ensure_ascii=False)
