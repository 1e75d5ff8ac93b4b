"""Verdicts on the results of calls, and the tree of our exceptions."""

import json
import pickle

import pytest

from airflow_kombo import exceptions as errors
from airflow_kombo.exceptions import (
    KomboError,
    NotSentError,
    ResponseLostError,
    RowError,
    TransportError,
)
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import (
    STATUS_OF,
    VERDICTS,
    Verdict,
    is_from_wrong_server,
    verdict_of,
)
from airflow_kombo.statuses import FINAL, SENT_AGAIN, SENT_WHEN_CHANGED, ErrorCode, Status

# Written out from Kombo's published document, not read from the module's own table.
PUBLISHED = {
    "PLATFORM.RATE_LIMIT_EXCEEDED": "wait",
    "PLATFORM.CONCURRENCY_LIMIT_EXCEEDED": "wait",
    "PLATFORM.INTEGRATION_NOT_FOUND": "blocked",
    "PLATFORM.INPUT_INVALID": "refused",
    "PLATFORM.UNKNOWN_ERROR": "unknown",
    "PLATFORM.IP_NOT_WHITELISTED": "stop",
    "PLATFORM.AUTHENTICATION_INVALID": "stop",
    "PLATFORM.TASK_TIMED_OUT": "unknown",
    "INTEGRATION.PERMISSION_MISSING": "blocked",
    "INTEGRATION.AUTHENTICATION_INVALID": "blocked",
    "INTEGRATION.QA_FAILED": "blocked",
    "INTEGRATION.SETUP_SYNC_PENDING": "blocked",
    "INTEGRATION.SETUP_INCOMPLETE": "blocked",
    "INTEGRATION.INACTIVE": "blocked",
    "INTEGRATION.MODEL_NOT_AVAILABLE": "blocked",
    "INTEGRATION.MODEL_DISABLED": "blocked",
    "INTEGRATION.ACTION_NOT_AVAILABLE": "blocked",
    "INTEGRATION.ACTION_DISABLED": "blocked",
    "REMOTE.SERVICE_UNAVAILABLE": "retry",
    "REMOTE.RATE_LIMIT_EXCEEDED": "retry",
    "REMOTE.INPUT_INVALID": "refused",
    "REMOTE.UNKNOWN_HTTP_ERROR": "unknown",
    "ATS.JOB_CLOSED": "refused",
    "ATS.APPLICATION_ALREADY_EXISTS": "refused",
}
UNPUBLISHED = [
    "PLATFORM.NEW",
    "REMOTE.NEW",
    "INTEGRATION.NEW",
    "HRIS.NEW",
    "ATS.NEW",
    "ATS.CANDIDATE_MERGED",
    "ATS.",
    "ATS",
    "ATSX.JOB_CLOSED",
    "ats.job_closed",
    "platform.input_invalid",
    " PLATFORM.INPUT_INVALID",
    "JOB_CLOSED",
    "0",
]
TREE = {
    "KomboError": "Exception",
    "ConfigurationError": "KomboError",
    "MappingError": "ConfigurationError",
    "NoConnectionError": "ConfigurationError",
    "DecisionFileError": "ConfigurationError",
    "TransformError": "KomboError",
    "LedgerError": "KomboError",
    "WarehouseError": "KomboError",
    "DeclaredDeadError": "LedgerError",
    "RowsHeldError": "LedgerError",
    "UnreachableError": "KomboError",
    "RunStoppedError": "KomboError",
    "ShardsFailedError": "KomboError",
    "PolicyError": "KomboError",
    "TooFewDeliveredError": "PolicyError",
    "TooManyRefusedError": "PolicyError",
    "RowError": "KomboError",
    "TransportError": "KomboError",
    "NotSentError": "TransportError",
    "ResponseLostError": "TransportError",
}
ERRORS = {
    name: error
    for name, error in vars(errors).items()
    if isinstance(error, type) and issubclass(error, Exception)
}


def error_of(http_status, code=None):
    error = {"code": code, "title": None, "message": "Text.", "log_url": None}
    return KomboResponse.of(
        http_status, {}, json.dumps({"status": "error", "error": error}).encode()
    )


def foreign(http_status, body=b"<html>Bad gateway</html>"):
    return KomboResponse.of(http_status, {"Content-Type": "text/html"}, body)


def test_every_published_code_is_in_the_table():
    """The table holds exactly the published codes of ATS actions, each with its verdict."""
    assert {code: verdict.value for code, verdict in VERDICTS.items()} == PUBLISHED


@pytest.mark.parametrize("http_status", [302, 400, 401, 418, 429, 500, 503, 504, 599])
@pytest.mark.parametrize(("code", "verdict"), PUBLISHED.items())
def test_a_code_decides_without_regard_to_the_status(code, verdict, http_status):
    """Kombo's code decides; the HTTP status changes nothing."""
    assert error_of(http_status, code).verdict == verdict


@pytest.mark.parametrize("http_status", [400, 401, 429, 500, 503])
@pytest.mark.parametrize("code", UNPUBLISHED)
def test_an_unpublished_code_proves_nothing(code, http_status):
    """Any unpublished code, even one letter off, leaves the row `unknown`."""
    assert error_of(http_status, code).verdict is Verdict.UNKNOWN


LIMITS = {"Concurrency-Limit": "30", "ratelimit-limit": "300"}
SUCCESS = b'{"status":"success","data":{},"warnings":[]}'
REFUSED = b'{"status":"error","error":{"code":"PLATFORM.INPUT_INVALID","message":""}}'
NO_CODE = b'{"status":"error","error":{"message":"Something went wrong."}}'
FOREIGN = [
    b"<html>Welcome to the hotel</html>",
    b'{"ok": true}',
    b'{"status":"ok"}',
    b'{"status":"succ',
]


@pytest.mark.parametrize("http_status", [200, 201, 202, 204, 299])
@pytest.mark.parametrize(
    ("headers", "body", "verdict"),
    [
        ({}, SUCCESS, "created"),
        ({}, b'{"status":"success","data":{}}', "created"),
        (LIMITS, b"", "created"),
        (LIMITS, None, "created"),
        ({"ratelimit-limit": "300"}, b"", "created"),
        ({"Concurrency-Limit": "30"}, None, "created"),
        ({}, b"", "unknown"),
        ({}, None, "unknown"),
        *(({}, body, "unknown") for body in FOREIGN),
        *((LIMITS, body, "unknown") for body in FOREIGN),
        (LIMITS, REFUSED, "refused"),
        ({}, REFUSED, "refused"),
        (LIMITS, NO_CODE, "unknown"),
    ],
)
def test_only_kombos_response_makes_a_2xx_created(http_status, headers, body, verdict):
    """A 2xx proves a link by Kombo's body, or by headers where the body was lost or empty."""
    assert KomboResponse.of(http_status, headers, body).verdict == verdict


@pytest.mark.parametrize("http_status", [302, 400, 404, 500, 503])
def test_a_success_with_another_status_contradicts_itself(http_status):
    """A success in the body under an error's status proves nothing."""
    assert KomboResponse.of(http_status, {}, SUCCESS).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("http_status", "from_kombo", "from_others"),
    [
        (301, "retry", "retry"),
        (302, "retry", "retry"),
        (307, "retry", "retry"),
        (308, "retry", "retry"),
        (400, "refused", "retry"),
        (401, "stop", "retry"),
        (403, "refused", "retry"),
        (404, "refused", "retry"),
        (407, "stop", "retry"),
        (408, "unknown", "unknown"),
        (413, "refused", "retry"),
        (422, "refused", "retry"),
        (425, "refused", "retry"),
        (429, "wait", "wait"),
        (499, "unknown", "unknown"),
        (500, "unknown", "unknown"),
        (502, "unknown", "unknown"),
        (503, "unknown", "retry"),  # Kombo documents its load balancer's 503 as safe to retry
        (504, "unknown", "unknown"),
        (520, "unknown", "unknown"),
        (600, "unknown", "unknown"),
        (101, "unknown", "unknown"),
    ],
)
@pytest.mark.parametrize("code", [None, ""])
def test_without_a_code_the_status_decides(http_status, from_kombo, from_others, code):
    """Without a code the status decides; another server's response proves nothing."""
    assert error_of(http_status, code).verdict == from_kombo
    assert foreign(http_status).verdict == from_others
    assert foreign(http_status, b"").verdict == from_others


def test_a_503_that_is_cut_off_is_a_load_balancers():
    """Only a whole body of Kombo's makes a 503 `unknown`; half a body counts as none."""
    assert foreign(503, b'{"status":"error","error":{"code":').verdict is Verdict.RETRY


@pytest.mark.parametrize(
    "body",
    [
        b"upstream connect error or disconnect/reset before headers. reset reason: connection end",
        b"upstream connect error or disconnect/reset before headers. reset reason: overflow",
        b"<html>The upstream closed the connection prematurely</html>",
        b"Connection RESET by peer",
    ],
)
def test_a_503_that_lost_a_request_proves_nothing(body):
    """A proxy's page about a reset or a termination proves nothing about the request."""
    assert foreign(503, body).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("http_status", "misdirected"),
    [
        *((status, True) for status in (200, 204, 301, 302, 401, 403, 404, 407, 413, 425)),
        *((status, False) for status in (408, 429, 499, 500, 502, 503, 504)),
    ],
)
def test_which_responses_suggest_a_wrong_address(http_status, misdirected):
    """A response suggests a wrong address if no load balancer of Kombo's sends such a one."""
    assert is_from_wrong_server(foreign(http_status)) is misdirected
    assert not is_from_wrong_server(error_of(http_status, "PLATFORM.INPUT_INVALID"))
    assert not is_from_wrong_server(KomboResponse.of(200, LIMITS, None))


@pytest.mark.parametrize(
    ("error", "verdict"),
    [(NotSentError, "retry"), (ResponseLostError, "unknown"), (TransportError, "unknown")],
)
def test_only_what_never_left_is_safe_to_send_again(error, verdict):
    """Without a connection nothing was written; a lost response proves nothing."""
    assert verdict_of(error("cause")) == verdict


def test_every_verdict_has_a_status():
    """Each verdict becomes one status; none of them leaves a row `sending` or `invalid`."""
    assert {verdict.value: status.value for verdict, status in STATUS_OF.items()} == {
        "created": "success",
        "wait": "retryable",
        "retry": "retryable",
        "refused": "failed",
        "blocked": "blocked",
        "stop": "retryable",
        "unknown": "unknown",
    }
    assert set(STATUS_OF) == set(Verdict)


def test_every_status_has_one_future():
    """A status is final, sent again, or sent when changed: exactly one, but for `sending`."""
    futures = [*FINAL, *SENT_AGAIN, *SENT_WHEN_CHANGED]
    assert sorted(futures) == sorted(set(Status) - {Status.SENDING})
    assert frozenset({"success", "unknown"}) == FINAL


def test_the_error_tree():
    """Every error of ours is a KomboError with a documented parent."""
    assert {name: error.__base__.__name__ for name, error in ERRORS.items()} == TREE


@pytest.mark.parametrize("name", sorted(set(TREE) - {"RowError"}))
def test_errors_survive_pickling(name):
    """An error is the same after a way through another process."""
    error = ERRORS[name]("What is wrong, and where.")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(copy), str(copy), copy.args) == (type(error), str(error), error.args)


def test_a_row_error_survives_pickling_with_its_attributes():
    """A row's error keeps code, field and reason, and shows the field and the reason."""
    error = RowError(ErrorCode.INVALID_FIELD, "url", "must not be blank")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert isinstance(copy, KomboError)
    assert (copy.code, copy.field, copy.reason) == ("invalid_field", "url", "must not be blank")
    assert str(copy) == str(error) == "url: must not be blank"
