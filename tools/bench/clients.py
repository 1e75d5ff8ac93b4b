"""Clients of the bench: our delivery, a bare loop and Kombo's official client.

Each run is a process of its own (see `stage`). A run finds the warehouse and Kombo as a deployment
does: in Airflow's connections, from the environment.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import aiohttp
from airflow.sdk import BaseHook

from airflow_kombo.database.connections import engine_of
from airflow_kombo.delivery.run import DeliveryRun
from airflow_kombo.delivery.run_context import RunParts, Settings
from airflow_kombo.exceptions import RunStoppedError
from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.request import RowRequest as Request
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.rows.mapped_rows import MappedRows
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.source import Selection
from airflow_kombo.statuses import Status
from tools.bench.process import ROOT, Took, measured

if TYPE_CHECKING:
    from sqlalchemy import Engine

IN_FLIGHT: Final = 32
"""Calls in flight of the bare loop and of the official client."""
_LOOKBACK_DAYS: Final = 7
"""The shipped dag's `lookback_days` of scheduled runs."""
_QUERY: Final = (ROOT / "include" / "sql" / "assessment_results.sql").read_text("utf-8")
_MAPPING: Final = ROOT / "include" / "result_link_mapping.yaml"
_DRAIN_SECONDS: Final = 0.5


def ours(day: date, _rows: int | None) -> Took:
    """Deliver the day as the operator does, until SIGTERM."""
    return measured(lambda: _deliver(day))


def _deliver(day: date) -> Mapping[str, int]:
    engine, tables = engine_of("warehouse_default"), Tables.named()
    tables.create(engine)
    mapping, selection, hook = ResultLinkMapping.load(_MAPPING), Selection(), KomboHook()

    async def deliver() -> dict[str, int]:
        await hook.config()
        source = _source(engine, day, hook.default_integration, selection)
        mapping.check(source.columns())
        parts = RunParts(
            Run(str(uuid4()), assessment_date=day),
            mapped=MappedRows(source, mapping, selection, hook.default_integration),
            selection=selection,
            hook=hook,
            ledger=Ledger(engine, tables),
            runs=Runs(engine, tables),
            settings=Settings(drain=_DRAIN_SECONDS),
        )
        delivery = DeliveryRun(parts)
        signal.signal(signal.SIGTERM, lambda *_: delivery.stop("The bench has seen enough."))
        with suppress(RunStoppedError):  # the run with a hanging integration ends this way
            await delivery.deliver()
        return delivery.report.numbers

    return asyncio.run(deliver())


def bare(day: date, rows: int | None) -> Took:
    """Post the same bodies as fast as aiohttp can, without ledger, limits and verdicts."""
    return _posted(day, rows, _post_bare)


def official(day: date, rows: int | None) -> Took:
    """Post the same links through Kombo's official client, with the bare loop's concurrency."""
    return _posted(day, rows, _post_official)


def one_by_one(day: date, rows: int | None) -> Took:
    """Post the same links through Kombo's official client, one after the other."""
    return _posted(day, rows, _post_one_by_one)


CLIENTS: Final[Mapping[str, Callable[[date, int | None], Took]]] = {
    client.__name__: client for client in (ours, bare, official, one_by_one)
}


def _posted(
    day: date,
    rows: int | None,
    post: Callable[[str, str, list[Request]], Coroutine[Any, Any, None]],
) -> Took:
    """Build all requests and post the first one, then measure the posting of the others."""
    requests = list(islice(_requests(day), rows))
    kombo = BaseHook.get_connection("kombo_default")
    url, key = str(kombo.host), str(kombo.password)
    asyncio.run(post(url, key, requests[:1]))  # it imports much at first

    def run() -> Mapping[str, int]:
        asyncio.run(post(url, key, requests[1:]))
        return {"success": len(requests)}

    return measured(run)


async def _post_bare(url: str, key: str, requests: list[Request]) -> None:
    left = iter(requests)

    async def work(http: aiohttp.ClientSession) -> None:
        for request in left:
            async with http.post(
                url + request.path,
                data=request.body,
                headers={"X-Integration-Id": request.key.integration_id},
            ) as response:
                await response.read()

    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as http:
        await asyncio.gather(*(work(http) for _ in range(IN_FLIGHT)))


async def _post_official(url: str, key: str, requests: list[Request]) -> None:
    calls = _official_calls(requests)
    async with _official_clients(url, key, requests) as clients:

        async def work() -> None:
            for name, integration_id, arguments in calls:
                await getattr(clients[integration_id].ats, name)(**arguments)

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def _post_one_by_one(url: str, key: str, requests: list[Request]) -> None:
    async with _official_clients(url, key, requests) as clients:
        for name, integration_id, arguments in _official_calls(requests):
            await getattr(clients[integration_id].ats, name)(**arguments)


class _official_clients(AsyncExitStack):  # noqa: N801 - used as a function
    """Official clients, one for each integration, as Kombo's documentation has them."""

    def __init__(self, url: str, key: str, requests: list[Request]) -> None:
        super().__init__()
        self._of = (url, key, sorted({request.key.integration_id for request in requests}))

    async def __aenter__(self) -> dict[str, Any]:  # type: ignore[override]
        from kombo import Kombo  # noqa: PLC0415 - memory that only this client's process needs

        url, key, names = self._of
        clients = [Kombo(api_key=key, integration_id=name, server_url=url) for name in names]
        return {
            name: await self.enter_async_context(client)
            for name, client in zip(names, clients, strict=True)
        }


def _official_calls(requests: list[Request]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the method, the integration and the arguments of each request."""
    for request in requests:
        key = request.key
        target = {f"{key.target_type}_id": key.target_id}
        arguments = {**json.loads(request.body), **target}
        yield f"add_{key.target_type}_result_link_async", key.integration_id, arguments


def _requests(day: date) -> Iterator[Request]:
    """Map the day's rows with the shipped mapping, and yield the requests by turns."""
    engine, mapping = engine_of("warehouse_default"), ResultLinkMapping.load(_MAPPING)
    selection = Selection(redeliver=frozenset({Status.SUCCESS}))
    mapped = MappedRows(_source(engine, day, None, selection), mapping, selection)
    senders = []
    for name, rows in mapped.plan().items():
        made = [one for page in mapped.pages(name, rows) for one in page]
        senders.append([one for one in made if isinstance(one, RowRequest)])
    engine.dispose()
    for together in zip(*senders, strict=True):
        yield from together


def _source(
    engine: Engine, day: date, default_integration: str | None, selection: Selection
) -> QuerySource:
    return QuerySource(
        engine,
        Tables.named(),
        _QUERY,
        parameters_of(day, _LOOKBACK_DAYS),
        selection=selection,
        default_integration=default_integration,
    )
