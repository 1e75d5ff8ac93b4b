"""Hook for Kombo's API behind an Airflow connection of the type `http`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow.providers.http.hooks.http import HttpAsyncHook, SessionConfig

from airflow_kombo.airflow_compat import AirflowNotFoundException, has_config
from airflow_kombo.exceptions import (
    ConfigurationError,
    KomboError,
    NoConnectionError,
)
from airflow_kombo.kombo_api.api_check import check_api
from airflow_kombo.kombo_api.client import TIMEOUT_SECONDS, Access, KomboClient, open_client

INTEGRATION_KEY: Final = "integration_id"
"""Extra of the connection: the integration of rows without one."""


class KomboHook(HttpAsyncHook):
    """Hook for Kombo's API: `client()` opens the session for all calls.

    The connection has the type `http`. Its host is the API's base with its scheme
    (`https://api.kombo.dev/v1`), and its password is the API key. Its extra `integration_id` is
    the integration of rows without one. The extras `timeout` (seconds), `proxies`, `verify`,
    `cert` and `trust_env` mean the same as for the HTTP provider. All other extras are sent as
    headers.

    :param kombo_conn_id: The id of the connection.
    """

    conn_name_attr = "kombo_conn_id"
    default_conn_name = "kombo_default"
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
        if not has_config(self):
            try:
                connection = await self.aget_connection(self.http_conn_id)
            except AirflowNotFoundException:
                raise NoConnectionError(self.http_conn_id) from None
            if "://" not in (connection.host or "") and not connection.schema:
                raise ConfigurationError(
                    f"The connection {self.http_conn_id} needs a host with its scheme, such as"
                    " https://api.kombo.dev/v1."
                )
            config = await super().config()
            headers = dict(config.headers or {})
            self.default_integration = headers.pop(INTEGRATION_KEY, None)
            if not connection.password:
                raise ConfigurationError(
                    f"The connection {self.http_conn_id} needs the API key as its password."
                )
            headers["Authorization"] = f"Bearer {connection.password}"
            config.headers, config.auth = headers, None
        return await super().config()

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
            timeout=float(extra.get("timeout") or TIMEOUT_SECONDS),
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
