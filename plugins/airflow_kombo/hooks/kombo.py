"""Kombo's API behind an Airflow `http` connection: one call, its outcome, and nothing guessed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow.providers.http.hooks.http import HttpAsyncHook, SessionConfig
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_kombo.airflow_compat import has_config
from airflow_kombo.exceptions import (
    ConfigurationError,
    KomboError,
    NoConnectionError,
)
from airflow_kombo.kombo_api.api_check import check_api
from airflow_kombo.kombo_api.client import TIMEOUT_SECONDS, Access, KomboClient, open_client

INTEGRATION_KEY: Final = "integration_id"
"""The connection extra that names the integration of rows without one."""


class KomboHook(HttpAsyncHook):
    """Kombo's API.

    The connection is of the type `http`: its host is the API's base with its scheme
    (`https://api.kombo.dev/v1`), its password the API key. Of its extras, `integration_id` names
    the integration of rows without one; `timeout` (seconds), `proxies`, `verify`, `cert` and
    `trust_env` mean what they mean to the HTTP provider; all others travel as headers.

    :param kombo_conn_id: The connection.
    """

    conn_name_attr = "kombo_conn_id"
    default_conn_name = "kombo_default"
    hook_name = "Kombo"

    def __init__(self, kombo_conn_id: str = default_conn_name) -> None:
        super().__init__(method="POST", http_conn_id=kombo_conn_id)
        self.default_integration: str | None = None
        """What the connection names for rows without an integration; known after `config`."""

    async def config(self) -> SessionConfig:
        """Resolve the connection, once.

        :raises ConfigurationError: if there is none, or it lacks what the API needs.
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
        """Open one session for many calls."""
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
        """Ask Kombo whether it knows the key, as Airflow's *Test* does."""

        async def check() -> None:
            async with self.client() as client:
                await check_api(client, tries=1)

        try:
            asyncio.run(check())
        except KomboError as error:
            return False, str(error)
        return True, "Kombo knows the key."


def _proxy(base_url: str, extra: Mapping[str, Any]) -> str | None:
    """Give the proxy from the connection, else from the environment as requests reads it.

    aiohttp's own `trust_env` would also read ~/.netrc, in a thread of its own for every call.
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
