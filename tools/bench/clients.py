"""Clients of the bench: our delivery, a bare loop and Kombo's official client.

Each run is a process of its own (see `stage`). A run finds the warehouse and Kombo as a deployment
does: in Airflow's connections, from the environment.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from datetime import date
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import uuid4

import aiohttp
import pandas  # noqa: F401, ICN001 - not in what is measured
from airflow.configuration import conf
from airflow.sdk import BaseHook

from airflow_kombo.delivery.run import DeliveryRun
from airflow_kombo.delivery.run_context import RunParts, Settings
from airflow_kombo.exceptions import RunStoppedError
from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.kombo_api.request import RowRequest as Request
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import STATUS_TABLE
from airflow_kombo.operators.databases import Databases, opened
from airflow_kombo.operators.garbage_collection import collecting_rarely
from airflow_kombo.operators.parameters import RunParameters
from airflow_kombo.operators.row_selection import Rows, selection_of
from airflow_kombo.rows.mapped_rows import MappedRows
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.statuses import Status
from tools.bench import call_times
from tools.bench.process import ROOT, Took, measured
from tools.bench.shard_tasks import account, deliver_shard, plan_shards

if TYPE_CHECKING:
    from airflow.sdk import Context

IN_FLIGHT: Final = 32
"""Calls in flight of the bare loop and of the official client."""
_LOOKBACK_DAYS: Final = 7
"""The shipped dag's `lookback_days` of scheduled runs."""
_QUERY: Final = (ROOT / "include" / "sql" / "assessment_results.sql").read_text("utf-8")
_MAPPING: Final = ROOT / "include" / "result_link_mapping.yaml"
_DRAIN_SECONDS: Final = 0.5
_CONTEXT: Final = cast("Context", {"dag_run": SimpleNamespace(run_type="scheduled")})
"""As much of Airflow's context as the rows of a run need."""


def ours(day: date, _rows: int | None) -> Took:
    """Deliver the day as the operator does, until SIGTERM."""
    return measured(lambda: _deliver(day))


def _deliver(day: date) -> Mapping[str, int]:
    with collecting_rarely(), _databases() as databases:
        databases.check()
        numbers = asyncio.run(_delivered(databases, day))
        databases.write_back()
    return numbers


async def _delivered(databases: Databases, day: date) -> dict[str, int]:
    hook = KomboHook()
    await hook.config()
    rows = _rows_of(databases, default_integration=hook.default_integration)
    parts = RunParts(
        Run(str(uuid4()), assessment_date=day),
        mapped=rows.mapped(_CONTEXT, day),
        selection=rows.selection,
        hook=hook,
        ledger=Ledger(databases.ledger, databases.tables),
        runs=Runs(databases.ledger, databases.tables),
        settings=Settings(drain=_DRAIN_SECONDS),
    )
    delivery = DeliveryRun(parts)
    signal.signal(signal.SIGTERM, lambda *_: delivery.stop("The bench has seen enough."))
    with suppress(RunStoppedError):  # the run with a hanging integration ends this way
        await delivery.deliver()
    return delivery.report.numbers


def killed(day: date, _rows: int | None) -> Took:
    """Deliver the day as `ours` does, with the times of claims and responses in files."""
    call_times.write_down()
    return ours(day, None)


def plan(day: date, _rows: int | None) -> Took:
    """Read, look up and map the day's rows as the operator does, and send nothing."""

    def run() -> Mapping[str, int]:
        with collecting_rarely(), _databases() as databases:
            planned = _rows_of(databases).mapped(_CONTEXT, day).plan()
        return {"success": 0, "planned": sum(planned.values())}

    return measured(run)


def write_back(_day: date, _rows: int | None) -> Took:
    """Write statuses back to the warehouse, and send nothing."""

    def run() -> Mapping[str, int]:
        with collecting_rarely(), _databases() as databases:
            databases.check()
            written = databases.copy.run() if databases.copy else 0
        return {"success": 0, "written": written}

    return measured(run)


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
    client.__name__: client
    for client in (
        *(ours, killed, plan, write_back),
        *(plan_shards, deliver_shard, account),
        *(bare, official, one_by_one),
    )
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
    with _databases() as databases:
        mapped = _rows_of(databases, redeliver=(Status.SUCCESS,)).mapped(_CONTEXT, day)
        senders = [list(_requests_of(mapped, name, rows)) for name, rows in mapped.plan().items()]
    for together in zip(*senders, strict=True):
        yield from together


def _requests_of(mapped: MappedRows, integration_id: str, rows: int) -> Iterator[Request]:
    for page in mapped.pages(integration_id, rows):
        yield from (row for row in page if isinstance(row, Request))


def _databases() -> AbstractContextManager[Databases]:
    """Open the databases as the shipped dag's task does."""
    ledger = conf.get("kombo", "ledger_conn_id", fallback=None)
    return opened("warehouse_default", ledger, STATUS_TABLE)


def _rows_of(
    databases: Databases,
    *,
    default_integration: str | None = None,
    redeliver: tuple[str, ...] = (),
) -> Rows:
    """Build the rows of the shipped query and mapping, as the operator does."""
    parameters = RunParameters(sql=_QUERY, lookback_days=_LOOKBACK_DAYS, redeliver=redeliver)
    return Rows(
        parameters,
        databases,
        selection_of(parameters, _CONTEXT),
        ResultLinkMapping.load(_MAPPING),
        transform=None,
        default_integration=default_integration,
    )
