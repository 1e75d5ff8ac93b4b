"""Early end of sending: the state of one integration and the reason."""

from __future__ import annotations

import logging
from dataclasses import replace

from airflow_kombo.delivery.stop_signal import StopSignal
from airflow_kombo.delivery.wrong_server import WrongServerDetector
from airflow_kombo.exceptions import ConfigurationError, LedgerError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import Verdict
from airflow_kombo.ledger.outcomes import RowOutcome
from airflow_kombo.observability.masking import masked
from airflow_kombo.observability.metrics import BLOCKED, GIVEN_UP, SenderMetrics
from airflow_kombo.statuses import ErrorCode, Status

log = logging.getLogger(__name__)


class SendingEnd:
    """Early end of sending of one integration's rows, with the reason.

    It ends for the integration alone, or with the run: the run's stop signal counts as well.
    """

    def __init__(
        self,
        integration_id: str,
        stop: StopSignal,
        wrong_server: WrongServerDetector,
        metrics: SenderMetrics,
    ) -> None:
        self.integration_id = integration_id
        self.bug: BaseException | None = None
        """Error of this program that has ended the sending."""
        self._stop = stop
        self._wrong_server = wrong_server
        self._metrics = metrics
        self._blocked: RowOutcome | None = None
        self._failing: str | None = None

    @property
    def has_come(self) -> bool:
        """Return True if nothing more may be sent."""
        return bool(self._stop.error or self._blocked or self._failing or self.bug)

    @property
    def can_record_rest(self) -> bool:
        """Return True if ledger and time allow the recording of unsent rows."""
        stop = self._stop
        return not (isinstance(stop.error, LedgerError) or stop.hurried.is_set() or self.bug)

    def by_error(self, error: BaseException) -> None:
        """End the run for an error of the ledger, and the integration for any other error."""
        if isinstance(error, LedgerError):
            self._stop.set(error)
        else:
            self.bug = self.bug or error

    def by_failures(self, last: RowOutcome) -> None:
        """End the integration after too many failures.

        :param last: Outcome of the last call.
        """
        if not self._failing:
            log.warning("Integration %s is given up for this run", self.integration_id)
            self._metrics.ended_by = GIVEN_UP
            self._failing = last.error_code or f"HTTP {last.http_status}"

    def by_response(
        self, request: RowRequest, response: KomboResponse, outcome: RowOutcome
    ) -> None:
        """End the integration or the run if no other row could succeed."""
        verdict = response.verdict
        if verdict is Verdict.BLOCKED and not self._blocked:
            log.warning("Integration %s is blocked: %s", self.integration_id, response.error_code)
            # Kombo's sentence is for all rows, but nothing of the one row that was sent is.
            message = outcome.error_message and masked(outcome.error_message, request)
            self._blocked = replace(
                outcome, error_message=message, log_url=None, http_status=None, warnings=()
            )
            self._metrics.ended_by = BLOCKED
        elif verdict is Verdict.STOP:
            cause = response.error_code or f"HTTP {response.http_status}"
            self._stop.set(ConfigurationError(f"Kombo refuses this key or this address: {cause}."))
        if wrong := self._wrong_server.observe(response):
            self._stop.set(wrong)

    @property
    def reason(self) -> RowOutcome:
        """Return the outcome of the integration's unsent rows."""
        if self._blocked:
            return self._blocked
        if self._failing:
            message = f"Not sent, its integration kept failing, at last with {self._failing}"
            return RowOutcome(
                Status.RETRYABLE, ErrorCode.INTEGRATION_FAILING.value, error_message=message
            )
        cause = self._stop.error or "an error in this program"
        message = f"Not sent, the run ended before it: {cause}"
        return RowOutcome(Status.RETRYABLE, ErrorCode.RUN_STOPPED.value, error_message=message)
