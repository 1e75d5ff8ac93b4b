"""The table of error codes, Kombo's and ours: meaning, turn and next step.

Page, log and `docs/errors.md` take their sentences from this table. The sentences hold for each
kind of write, so none of them speaks of a link.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

if sys.version_info >= (3, 11):
    from enum import StrEnum
else:
    from backports.strenum import StrEnum

from airflow_kombo.kombo_api.verdicts import CONCURRENCY_LIMIT, STATUS_OF, VERDICTS
from airflow_kombo.statuses import ErrorCode, Status


class Turn(StrEnum):
    """The party with the next step."""

    CUSTOMER = "the customer"
    """The customer, whose ATS the integration connects."""
    US = "us"
    """The team with this Airflow, the rows and the account at Kombo."""
    KOMBO = "Kombo"
    NOBODY = "nobody"
    """The cause may pass by itself, and a run goes on by itself."""


class Explanation(NamedTuple):
    """Explanation of an outcome.

    :param turn: The party with the next step.
    :param meaning: The meaning of the outcome, in sentences.
    :param to_do: The next step, in sentences.
    """

    turn: Turn
    meaning: str
    to_do: str


DECIDE: Final = (
    "Find the call in Kombo's logs before they are deleted, and decide about the row. The dag"
    " kombo_reconcile may find proof first."
)
"""The next step for a row in doubt."""

KOMBOS: Final[Mapping[str, Explanation]] = MappingProxyType(
    {
        "PLATFORM.RATE_LIMIT_EXCEEDED": Explanation(
            Turn.NOBODY,
            "Kombo got too many requests in a short time. Nothing was written.",
            "Nothing. If it lasts for days, ask Kombo for a higher limit.",
        ),
        CONCURRENCY_LIMIT: Explanation(
            Turn.NOBODY,
            "Too many calls of the integration were in flight at once. Nothing was written.",
            "Nothing. If it lasts for days, find what else uses the integration.",
        ),
        "REMOTE.RATE_LIMIT_EXCEEDED": Explanation(
            Turn.NOBODY,
            "The ATS got too many requests in a short time. Nothing was written.",
            "Nothing. If it lasts for days, lower max_in_flight for the tool.",
        ),
        "REMOTE.SERVICE_UNAVAILABLE": Explanation(
            Turn.NOBODY,
            "The ATS is not available now. Nothing was written.",
            "Nothing. If it lasts for days, ask the customer about their ATS.",
        ),
        "PLATFORM.INPUT_INVALID": Explanation(
            Turn.US,
            "Kombo refused the request: a value or an id is not valid. Nothing was written.",
            "Correct the row or the mapping. Kombo's message names the reason.",
        ),
        "REMOTE.INPUT_INVALID": Explanation(
            Turn.US,
            "The ATS refused the values of the request. Nothing was written.",
            "Correct the row or the mapping. Kombo's message has the reason of the ATS.",
        ),
        "ATS.JOB_CLOSED": Explanation(
            Turn.CUSTOMER,
            "The job is closed in the ATS. Nothing was written.",
            "If the result is still needed, ask the customer to open the job again. Then send the"
            " row again with redeliver.",
        ),
        "ATS.APPLICATION_ALREADY_EXISTS": Explanation(
            Turn.US,
            "The candidate already has an application for the job, and the ATS takes no second"
            " one. Nothing was written.",
            "Give the row the existing application as its target.",
        ),
        "PLATFORM.INTEGRATION_NOT_FOUND": Explanation(
            Turn.US,
            "Kombo has no integration with this id for this API key. Nothing was written.",
            "Correct the integration id of the rows. If the id is right, check that the API key is"
            " of the integration's region and environment.",
        ),
        "INTEGRATION.PERMISSION_MISSING": Explanation(
            Turn.CUSTOMER,
            "The integration lacks a permission in the ATS. Nothing was written.",
            "Ask the customer to grant the permission that Kombo's message names.",
        ),
        "INTEGRATION.AUTHENTICATION_INVALID": Explanation(
            Turn.CUSTOMER,
            "The ATS no longer accepts the integration's credentials. Nothing was written.",
            "Send the customer a reconnection link from Kombo's dashboard.",
        ),
        "INTEGRATION.QA_FAILED": Explanation(
            Turn.KOMBO,
            "Kombo's quality checks of the integration's setup found a problem. Nothing was"
            " written.",
            "Wait for Kombo, who looks into it. If it lasts for days, ask Kombo's support.",
        ),
        "INTEGRATION.SETUP_SYNC_PENDING": Explanation(
            Turn.NOBODY,
            "The first sync of the new integration is still running. Nothing was written.",
            "Nothing: the sync can take hours. If it lasts for days, ask Kombo's support.",
        ),
        "INTEGRATION.SETUP_INCOMPLETE": Explanation(
            Turn.CUSTOMER,
            "The setup of the integration is not finished. Nothing was written.",
            "Ask the customer to finish the connection. Kombo's dashboard shows the missing step.",
        ),
        "INTEGRATION.INACTIVE": Explanation(
            Turn.US,
            "The integration is switched off in Kombo. Nothing was written.",
            "Switch it on in Kombo's dashboard, or stop giving rows for it.",
        ),
        "INTEGRATION.MODEL_NOT_AVAILABLE": Explanation(
            Turn.KOMBO,
            "Kombo does not support this kind of data for the ATS. Nothing was written.",
            "Ask Kombo to add it, or stop giving rows for the integration.",
        ),
        "INTEGRATION.MODEL_DISABLED": Explanation(
            Turn.US,
            "This kind of data is switched off in the integration's scope config. Nothing was"
            " written.",
            "Switch it on in the scope config in Kombo's dashboard.",
        ),
        "INTEGRATION.ACTION_NOT_AVAILABLE": Explanation(
            Turn.KOMBO,
            "Kombo does not support this action for the ATS. Nothing was written.",
            "Ask Kombo to add it, or stop giving rows for the integration. More tools take a"
            " result link on an application than on a candidate.",
        ),
        "INTEGRATION.ACTION_DISABLED": Explanation(
            Turn.US,
            "This action is switched off in the integration's scope config. Nothing was written.",
            "Switch it on in the scope config in Kombo's dashboard.",
        ),
        "PLATFORM.AUTHENTICATION_INVALID": Explanation(
            Turn.US,
            "Kombo refuses the API key. The run stopped, and nothing was written.",
            "Correct the password of the connection to Kombo, and its host: a key is of one region"
            " and one environment.",
        ),
        "PLATFORM.IP_NOT_WHITELISTED": Explanation(
            Turn.US,
            "Kombo accepts no request from the worker's IP address. The run stopped, and nothing"
            " was written.",
            "Add the address to the allowed ones in Kombo's dashboard.",
        ),
        "PLATFORM.TASK_TIMED_OUT": Explanation(
            Turn.US,
            "The ATS did not answer Kombo in time. It may have written the row.",
            DECIDE,
        ),
        "PLATFORM.UNKNOWN_ERROR": Explanation(
            Turn.US,
            "Kombo failed while it worked on the request. The row may have been written.",
            DECIDE,
        ),
        "REMOTE.UNKNOWN_HTTP_ERROR": Explanation(
            Turn.US,
            "The ATS answered with an error that Kombo does not know. The row may have been"
            " written.",
            DECIDE,
        ),
    }
)
"""Kombo's codes, each with its explanation."""

OURS: Final[Mapping[ErrorCode, tuple[Status, Explanation]]] = MappingProxyType(
    {
        ErrorCode.MISSING_FIELD: (
            Status.INVALID,
            Explanation(
                Turn.US,
                "A column is empty, and the request needs its value. Nothing was sent.",
                "Fill the column, or change the mapping. The message names the field.",
            ),
        ),
        ErrorCode.INVALID_FIELD: (
            Status.INVALID,
            Explanation(
                Turn.US,
                "A value cannot be sent. Nothing was sent.",
                "Correct the value, or change the mapping. The message names the field.",
            ),
        ),
        ErrorCode.DUPLICATE_RESULT_ID: (
            Status.INVALID,
            Explanation(
                Turn.US,
                "Another row has the same result id and another target. Nothing was sent.",
                "Give each result an id of its own, or remove the row with the wrong target.",
            ),
        ),
        ErrorCode.DUPLICATE_OF: (
            Status.INVALID,
            Explanation(
                Turn.US,
                "Another result puts the same address on the same target. Nothing was sent.",
                "If these are two results, give each an address of its own. Else nothing.",
            ),
        ),
        ErrorCode.NOT_SENT: (
            Status.RETRYABLE,
            Explanation(
                Turn.NOBODY,
                "Kombo could not be reached, and no server can have read the request.",
                "Nothing. If it lasts, check the host of the connection, the proxy and the"
                " certificates.",
            ),
        ),
        ErrorCode.ANSWER_LOST: (
            Status.UNKNOWN,
            Explanation(
                Turn.US,
                "The request left, or may have left, and no response arrived. The row may have"
                " been written.",
                DECIDE,
            ),
        ),
        ErrorCode.INTEGRATION_FAILING: (
            Status.RETRYABLE,
            Explanation(
                Turn.NOBODY,
                "The integration kept failing, so the run gave it up before this row. Nothing was"
                " sent.",
                "Nothing. If it lasts for days, look at the integration's rows that were sent:"
                " their error is the cause.",
            ),
        ),
        ErrorCode.RUN_STOPPED: (
            Status.RETRYABLE,
            Explanation(
                Turn.NOBODY,
                "The run ended before this row. Nothing was sent.",
                "Nothing, unless the message names a cause that only a person can remove.",
            ),
        ),
        ErrorCode.RUN_DIED: (
            Status.UNKNOWN,
            Explanation(
                Turn.US,
                "The run died while the request was in flight, or may have been. The row may have"
                " been written.",
                DECIDE,
            ),
        ),
        ErrorCode.DECIDED_NOT_CREATED: (
            Status.RETRYABLE,
            Explanation(Turn.NOBODY, "A person decided that nothing was written.", "Nothing."),
        ),
        ErrorCode.PROVED_NOT_CREATED: (
            Status.RETRYABLE,
            Explanation(
                Turn.NOBODY,
                "A look into the applicant tracking system proved that nothing was written.",
                "Nothing.",
            ),
        ),
    }
)
"""Our own codes, each with the status of its rows and its explanation."""

STATUS_OF_CODE: Final[Mapping[str, Status]] = MappingProxyType(
    {code: STATUS_OF[VERDICTS[code]] for code in KOMBOS}
    | {code.value: status for code, (status, _) in OURS.items()}
)
"""The status that each code comes with."""
