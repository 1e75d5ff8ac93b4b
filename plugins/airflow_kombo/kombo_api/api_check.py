"""Check of Kombo's address and the API key, before the first row is sent."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Final, Protocol

from airflow_kombo.exceptions import (
    ConfigurationError,
    KomboError,
    NotSentError,
    TransportError,
    UnreachableError,
)
from airflow_kombo.kombo_api.limits import pause_of
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import Verdict

log = logging.getLogger(__name__)

TRIES: Final = 3
"""Calls at most when the cause may pass by itself; then Airflow tries the task again."""
PATIENCE_SECONDS: Final = 900.0
"""Seconds at most that the check waits for limits."""
_FIRST_PAUSE_SECONDS: Final = 1.0
_MAY_PASS: Final = frozenset({408, 499})
"""HTTP statuses besides 5xx of a cause that may pass: a middlebox gave up."""


class Client(Protocol):
    """Client as the check uses one."""

    @property
    def host(self) -> str:
        """Return the API's host."""

    async def check_api_key(self) -> KomboResponse | TransportError:
        """Ask Kombo for a check of the API key."""


async def check_api(client: Client, *, tries: int = TRIES) -> None:
    """Check for a response of Kombo's own, and for a valid API key.

    The check waits as long as a limit asks, and calls again after a cause that may pass.

    :param tries: Calls at most, without those that met a limit.
    :raises ConfigurationError: if another server answers, or the key, the address, a certificate
        or a proxy is wrong.
    :raises UnreachableError: if no response comes, or an error that may pass by itself.
    """
    waited, failed = 0.0, 0
    while True:
        result = await client.check_api_key()
        if isinstance(result, KomboResponse) and result.verdict is Verdict.CREATED:
            return
        error = _error_of(client.host, result)
        if isinstance(result, KomboResponse) and result.verdict is Verdict.WAIT:
            pause = pause_of(result)
            waited += pause
        else:
            failed += 1
            pause = _FIRST_PAUSE_SECONDS * 2 ** (failed - 1)
        if isinstance(error, ConfigurationError) or failed >= tries or waited > PATIENCE_SECONDS:
            raise error
        log.warning("%s Trying again in %.0f s", error, pause)
        await asyncio.sleep(pause)


def _error_of(host: str, result: KomboResponse | TransportError) -> KomboError:
    """Return the error of a check that failed, with the host, the cause and the fix."""
    if isinstance(result, TransportError):
        if isinstance(result, NotSentError) and result.lasting:
            return ConfigurationError(
                f"{host} cannot be asked: {result}. Check the connection's host, certificates and"
                " proxy."
            )
        return UnreachableError(f"{host} cannot be reached: {result}.")
    return _error_of_response(host, result)


def _error_of_response(host: str, response: KomboResponse) -> KomboError:
    if response.http_status // 100 == 5 or response.http_status in _MAY_PASS:  # noqa: PLR2004 - 5xx
        return UnreachableError(f"{host} does not work now: {_cause_of(response)}.")
    if response.verdict is Verdict.WAIT:
        return UnreachableError(f"{host} limits requests now: {_cause_of(response)}.")
    if response.from_kombo and (response.error_code or _is_about_the_key(response)):
        return ConfigurationError(
            f"Kombo at {host} refuses this key or this address: {_cause_of(response)}. Check the"
            " connection's password and host: a key works in the region of its account only."
        )
    return ConfigurationError(
        f"{host} does not answer as Kombo does: {_cause_of(response)}. Check the connection's host,"
        " which is the API's base such as https://api.kombo.dev/v1, and what is on the way to it,"
        " such as a proxy or a network's login page."
    )


def _is_about_the_key(response: KomboResponse) -> bool:
    return response.http_status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def _cause_of(response: KomboResponse) -> str:
    return response.error_code or (
        f"HTTP {response.http_status}" if response.from_kombo else str(response.error_message)
    )
