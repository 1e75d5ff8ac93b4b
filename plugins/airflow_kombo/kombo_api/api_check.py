"""Ask who is there, once, before the first row is sent."""

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
"""Questions at most when the cause may pass by itself; then Airflow tries the task again."""
PATIENCE_SECONDS: Final = 900.0
"""Seconds in which limits may be met before the run gives up."""
_FIRST_PAUSE_SECONDS: Final = 1.0
_MAY_PASS: Final = frozenset({408, 499})
"""A middlebox gave up; so may any 5xx."""


class Client(Protocol):
    """A client, as far as the check needs it."""

    @property
    def host(self) -> str:
        """Return the API's host."""

    async def check_api_key(self) -> KomboResponse | TransportError:
        """Ask Kombo whether it knows the key."""


async def check_api(client: Client, *, tries: int = TRIES) -> None:
    """Return when Kombo itself says that it knows the key.

    A limit is waited for, and a cause that may pass is tried again.

    :param tries: How often Kombo is asked at most, without those answers that were limits.
    :raises ConfigurationError: if somebody else answers, or the key, the address, a certificate or
        a proxy is wrong.
    :raises UnreachableError: if nobody answers, or there is an error that may pass by itself.
    """
    waited, failed = 0.0, 0
    while True:
        outcome = await client.check_api_key()
        if isinstance(outcome, KomboResponse) and outcome.verdict is Verdict.CREATED:
            return
        error = _error_of(client.host, outcome)
        if isinstance(outcome, KomboResponse) and outcome.verdict is Verdict.WAIT:
            pause = pause_of(outcome)
            waited += pause
        else:
            failed += 1
            pause = _FIRST_PAUSE_SECONDS * 2 ** (failed - 1)
        if isinstance(error, ConfigurationError) or failed >= tries or waited > PATIENCE_SECONDS:
            raise error
        log.warning("%s Asking again in %.0f s", error, pause)
        await asyncio.sleep(pause)


def _error_of(host: str, outcome: KomboResponse | TransportError) -> KomboError:
    if isinstance(outcome, TransportError):
        if isinstance(outcome, NotSentError) and outcome.lasting:
            return ConfigurationError(
                f"{host} cannot be asked: {outcome}. Check the connection's host, certificates and"
                " proxy."
            )
        return UnreachableError(f"{host} cannot be reached: {outcome}.")
    if outcome.http_status // 100 == 5 or outcome.http_status in _MAY_PASS:  # noqa: PLR2004 - 5xx
        return UnreachableError(f"{host} does not work now: {_what(outcome)}.")
    if outcome.verdict is Verdict.WAIT:
        return UnreachableError(f"{host} has no room now: {_what(outcome)}.")
    if outcome.from_kombo and (outcome.error_code or _is_about_the_key(outcome)):
        return ConfigurationError(
            f"Kombo at {host} refuses this key or this address: {_what(outcome)}."
        )
    return ConfigurationError(
        f"{host} does not answer as Kombo does: {_what(outcome)}. Check the connection's host,"
        " which is the API's base such as https://api.kombo.dev/v1, and what is on the way to it,"
        " such as a proxy or a network's login page."
    )


def _is_about_the_key(outcome: KomboResponse) -> bool:
    return outcome.http_status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def _what(outcome: KomboResponse) -> str:
    return outcome.error_code or (
        f"HTTP {outcome.http_status}" if outcome.from_kombo else str(outcome.error_message)
    )
