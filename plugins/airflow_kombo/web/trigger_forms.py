"""Configuration for Airflow's trigger form, to act on a row.

The trigger form of Airflow 3.3 takes no value from an address: only an earlier run can fill it in.
So the page shows the configuration to paste, and links to the dag.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_kombo.ledger.decision_file import DecidedLine, lines_of_decisions
from airflow_kombo.statuses import (
    AWAITING_DECISION,
    MEANINGS,
    SENT_AGAIN,
    UNDELIVERED,
    Link,
    NextRun,
    Status,
)
from airflow_kombo.web.shown_write import ShownWrite


@dataclass(frozen=True)
class Form:
    """Dag and configuration for one action.

    :param dag_id: The dag; None if the page cannot know it.
    :param dag_hint: The description of the dag, for a person who has to find it.
    :param conf: The configuration, as JSON.
    :param warning: A risk of this action, if there is one.
    """

    title: str
    dag_id: str | None
    dag_hint: str
    conf: str
    explanation: str
    warning: str | None = None


def forms(row: Any, write: ShownWrite, dag_id: str | None) -> list[Form]:
    """Return the forms for all possible actions on a row.

    :param row: The row of the status table.
    :param write: The write whose tables are shown.
    :param dag_id: The dag whose run wrote the row last, if a run is known.
    """
    status = Status(row.status)
    selected = {"result_ids": [row.result_id], "integration_ids": [row.integration_id]}
    found = []
    if status in AWAITING_DECISION:
        found.append(_decide(write, selected))
    if status in UNDELIVERED:
        conf: dict[str, Any] = dict(selected)
        if row.assessment_date:
            conf["assessment_date"] = row.assessment_date.isoformat()
        found.append(_send_again(status, write, dag_id or write.delivery_dag_id, conf))
    return found


def form_of_decisions(write: ShownWrite, lines: Sequence[DecidedLine]) -> Form:
    """Return the form that hands decisions of a file to the deciding dag.

    The configuration has no other columns of the file than those that the dag needs.
    """
    return Form(
        title="Decide by the file",
        dag_id=write.decision_dag_id,
        dag_hint=_decision_dag_hint(write),
        conf=_json({"decisions": lines_of_decisions(lines)}),
        explanation="The dag checks the file again, and decides with your name.",
    )


def _decide(write: ShownWrite, selected: dict[str, Any]) -> Form:
    return Form(
        title="Decide",
        dag_id=write.decision_dag_id,
        dag_hint=_decision_dag_hint(write),
        conf=_json(selected),
        explanation="Look the call up in Kombo's logs. Then choose in the form whether the"
        f" {write.created_object} was created.",
    )


def _decision_dag_hint(write: ShownWrite) -> str:
    return f'the dag whose KomboResolveUnknownOperator has the status_table "{write.status_table}"'


def _send_again(
    status: Status, write: ShownWrite, dag_id: str | None, conf: dict[str, Any]
) -> Form:
    meaning, is_automatic = MEANINGS[status], status in SENT_AGAIN
    explanations = {
        NextRun.SENDS_IT: "Do this to send the row sooner than it is tried next.",
        NextRun.SENDS_WHEN_CHANGED: "Correct the row or the mapping first. Without a correction"
        " the row fails again.",
        NextRun.LEAVES_IT: f"Do this only if the {write.created_object} was not created.",
    }
    return Form(
        title="Send again",
        dag_id=dag_id,
        dag_hint=f"the dag that delivers to {write.status_table}",
        conf=_json(conf if is_automatic else conf | {"redeliver": [status.value]}),
        explanation=explanations[meaning.next_run],
        warning=f"The {write.created_object} may exist already: sending the row again can create"
        " a second one."
        if meaning.link is Link.MAY_EXIST
        else None,
    )


def _json(conf: dict[str, Any]) -> str:
    return json.dumps(conf, indent=2, ensure_ascii=False)
