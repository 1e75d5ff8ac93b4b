"""Detect another server in Kombo's place, over all integrations of a run."""

from __future__ import annotations

from typing import Final

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import is_from_wrong_server

MOST: Final = 3
"""Responses in a row that are not Kombo's, after which nothing more is sent."""


class WrongServerDetector:
    """Counter of foreign responses in a row.

    :param host: Host of the requests, for the error message.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._in_a_row = 0

    def observe(self, response: KomboResponse) -> ConfigurationError | None:
        """Count a response; return an error if the run has to end.

        A response that proves nothing, such as a load balancer's 502, changes no count.
        """
        if response.from_kombo:
            self._in_a_row = 0
        elif is_from_wrong_server(response):
            self._in_a_row += 1
        if self._in_a_row < MOST:
            return None
        return ConfigurationError(
            f"{MOST} responses in a row were not Kombo's, the last one from {self._host}:"
            f" {response.error_message}. Check the connection's host, and every proxy on the way to"
            " this host."
        )
