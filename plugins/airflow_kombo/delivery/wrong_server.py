"""Notice that somebody else answers in Kombo's stead, over all integrations of a run."""

from __future__ import annotations

from typing import Final

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import is_from_wrong_server

MOST: Final = 3
"""Answers in a row that are not Kombo's before nothing more is sent."""


class WrongServerDetector:
    """Counts answers that are not Kombo's, with none of Kombo's between them.

    :param host: Where the requests go, to name it.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._in_a_row = 0

    def observe(self, answer: KomboResponse) -> ConfigurationError | None:
        """Count an answer, and return what the run has to end with, if it has to.

        Answers that say nothing, such as a load balancer's 502, neither count nor interrupt.
        """
        if answer.from_kombo:
            self._in_a_row = 0
        elif is_from_wrong_server(answer):
            self._in_a_row += 1
        if self._in_a_row < MOST:
            return None
        return ConfigurationError(
            f"{MOST} answers in a row were not Kombo's, the last one from {self._host}:"
            f" {answer.error_message}. Check the connection's host, and what is on the way to it."
        )
