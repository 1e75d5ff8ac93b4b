"""Hook for Kombo's API behind an Airflow connection of the type `kombo` or `http`."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow.providers.http.hooks.http import HttpAsyncHook

from airflow_kombo.airflow_compat import (
    AirflowNotFoundException,
    keep_config,
    kept_config,
    older_http_config,
)
from airflow_kombo.exceptions import (
    ConfigurationError,
    KomboError,
    NoConnectionError,
)
from airflow_kombo.hooks.connection_form import (
    CONN_TYPE,
    DEFAULT_REGION,
    EXTRAS,
    FIELDS,
    HIDDEN,
    LABELS,
    PLACEHOLDERS,
    REGIONS,
)
from airflow_kombo.kombo_api.api_check import check_api
from airflow_kombo.kombo_api.client import TIMEOUT_SECONDS, Access, KomboClient, open_client

if TYPE_CHECKING:
    from airflow.providers.http.hooks.http import SessionConfig
    from airflow.sdk import Connection

log = logging.getLogger(__name__)

INTEGRATION_KEY: Final = "integration_id"
"""Extra of the connection: the integration of rows without one."""


class KomboHook(HttpAsyncHook):
    """Hook for Kombo's API: `client()` opens the session for all calls.

    The connection's password is the API key. Its extra `integration_id` is the integration of rows
    without one. The extras `timeout` (seconds), `proxies`, `verify`, `cert` and `trust_env` mean
    the same as for the HTTP provider.

    A connection of the type `kombo`, which the wheel registers, has the extra `region` (`eu`, `us`
    or `ca`); a host takes its place. No extra is sent as a header. A connection of the type `http`
    has the API's base with its scheme (`https://api.kombo.dev/v1`) as its host. All its other
    extras are sent as headers.

    :param kombo_conn_id: The id of the connection.
    """

    conn_name_attr = "kombo_conn_id"
    default_conn_name = "kombo_default"
    conn_type = CONN_TYPE
    hook_name = "Kombo"

    def __init__(self, kombo_conn_id: str = default_conn_name) -> None:
        super().__init__(method="POST", http_conn_id=kombo_conn_id)
        self.default_integration: str | None = None
        """The connection's integration for rows without one; it is known after `config`."""

    async def config(self) -> SessionConfig:
        """Read the connection, once.

        :raises NoConnectionError: if there is no such connection.
        :raises ConfigurationError: if it has no host with a scheme, or no password.
        """
        if kept_config(self) is None:
            try:
                connection = await self.aget_connection(self.http_conn_id)
            except AirflowNotFoundException:
                raise NoConnectionError(self.http_conn_id) from None
            is_kombo = connection.conn_type == CONN_TYPE
            address = _address_of(connection, self.http_conn_id)
            if not connection.password:
                raise ConfigurationError(
                    f"The connection {self.http_conn_id} needs the API key as its password."
                )
            older = older_http_config(connection)
            config = older or await super().config()
            headers = dict(config.headers or {})
            self.default_integration = headers.pop(INTEGRATION_KEY, None) or None
            if is_kombo:
                config.base_url = address
                _warn_of_extras(headers, self.http_conn_id)
                headers = {}
            headers["Authorization"] = f"Bearer {connection.password}"
            config.headers, config.auth = headers, None
            keep_config(self, config)
        kept: SessionConfig = kept_config(self)
        return kept

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's fields, for Airflow 3.1; later ones read the provider's description."""
        from wtforms import IntegerField, StringField  # noqa: PLC0415 - the UI of Airflow 3.1 has it

        return {
            name: (IntegerField if "integer" in field["schema"]["type"] else StringField)(
                field["label"], description=field["description"]
            )
            for name, field in FIELDS.items()
        }

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's labels and hidden fields, for Airflow 3.1."""
        return {
            "hidden_fields": list(HIDDEN),
            "relabeling": LABELS,
            "placeholders": PLACEHOLDERS,
        }

    @asynccontextmanager
    async def client(self) -> AsyncIterator[KomboClient]:
        """Open one session for many calls, and close the session with the block.

        This is the only way to Kombo: the delivery, the check of the API key and a task of a
        user's own all send through it.

        :raises ConfigurationError: if the connection cannot be used.
        """
        config = await self.config()
        extra = config.extra_options or {}
        base_url = config.base_url.rstrip("/")
        access = Access(
            base_url,
            config.headers or {},
            proxy=_proxy(base_url, extra),
            tls=_tls(extra),
            timeout=_timeout(extra.get("timeout"), self.http_conn_id),
        )
        async with open_client(access) as client:
            yield client

    def test_connection(self) -> tuple[bool, str]:
        """Check the API key at Kombo, for the button *Test* of Airflow's connections."""

        async def check() -> None:
            async with self.client() as client:
                await check_api(client, tries=1)

        try:
            asyncio.run(check())
        except KomboError as error:
            return False, str(error)
        return True, "Kombo knows the key."


def _address_of(connection: Connection, conn_id: str) -> str:
    """Return the API's address of a connection of the type `kombo`, after a check of any type.

    :raises ConfigurationError: if the connection names no address and no region of Kombo's.
    """
    host = connection.host or ""
    is_kombo = connection.conn_type == CONN_TYPE
    if "://" in host or (not is_kombo and connection.schema):
        return host
    if host or not is_kombo:
        raise ConfigurationError(
            f"The connection {conn_id} needs a host with its scheme, such as"
            " https://api.kombo.dev/v1."
        )
    region = str(connection.extra_dejson.get("region") or DEFAULT_REGION).strip().lower()
    if region not in REGIONS:
        raise ConfigurationError(
            f"The region of the connection {conn_id} has to be one of {', '.join(REGIONS)}."
        )
    return REGIONS[region]


def _timeout(extra: object, conn_id: str) -> float:
    """Return the seconds that a call may take; an empty extra is as a missing one.

    :raises ConfigurationError: if the extra is no number of seconds. aiohttp takes 0 for no limit.
    """
    if extra is None or extra == "":
        return TIMEOUT_SECONDS
    try:
        seconds = float(str(extra))
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < inf:
        raise ConfigurationError(
            f"The timeout of the connection {conn_id} is {extra!r}: it has to be a number of"
            f" seconds above 0, or empty for {TIMEOUT_SECONDS:.0f}."
        )
    return seconds


def _warn_of_extras(extras: Mapping[str, Any], conn_id: str) -> None:
    """Log the names of extras without a meaning, which no request carries."""
    if unknown := sorted(set(extras) - EXTRAS):
        log.warning(
            "The connection %s has extras without a meaning, which are not sent: %s",
            conn_id,
            ", ".join(unknown),
        )


def _proxy(base_url: str, extra: Mapping[str, Any]) -> str | None:
    """Return the proxy of the connection, else of the environment as requests reads it.

    aiohttp's own `trust_env` would also read ~/.netrc, in a new thread for every call.
    """
    parts = urlsplit(base_url)
    proxies = extra.get("proxy")
    if proxies is None:
        bypassed = not extra.get("trust_env", True) or proxy_bypass(parts.hostname or "")
        proxies = {} if bypassed else getproxies()
    return proxies if isinstance(proxies, str) else proxies.get(parts.scheme)


def _tls(extra: Mapping[str, Any]) -> ssl.SSLContext | bool:
    verify, certificate = extra.get("verify_ssl", True), extra.get("cert")
    if verify is True and not certificate:
        return True
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        chain = [certificate] if isinstance(certificate, str) else list(certificate)
        context.load_cert_chain(*chain)
    return context
