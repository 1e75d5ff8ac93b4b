"""Find the results that have, may have, or once had a link with an address."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, Select, select

from airflow_kombo.ledger.history import may_have_link
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import BINDING

UrlOf = Callable[[str | None], str | None]
"""Function that returns the address in a stored request; None without one."""
_ROWS_READ: Final = 1000


def owners_of(
    connection: Connection,
    tables: Tables,
    rows: Iterable[Any],
    urls: Iterable[str | None],
    url_of: UrlOf,
) -> dict[str, set[str]]:
    """Return results by address, of the whole integration.

    The notes of a record may show the links of all applications of one candidate. A result whose
    address or target has changed has left a link behind.

    :param rows: Rows of one integration.
    """
    owners: dict[str, set[str]] = {url: set() for url in urls if url}
    rows = list(rows)
    if not rows or not owners:
        return owners
    links = tables.links.c
    by_hash = {sha256(url.encode()).hexdigest(): url for url in owners}
    standing = select(links.url_hash, links.result_id).where(
        links.integration_id == rows[0].integration_id,
        links.url_hash.in_(sorted(by_hash)),
        links.status.in_(sorted(one.value for one in BINDING)),
    )
    for url_hash, result_id in connection.execute(standing):
        owners[by_hash[url_hash]].add(result_id)
    former = connection.execute(_former(tables, rows[0].integration_id))
    for one in former:
        url = url_of(one.request)
        if url in owners and may_have_link(one):
            owners[url].add(one.result_id)
    return owners


def _former(tables: Tables, integration_id: str) -> Select[Any]:
    """Select the attempts of results with more than one, or with another target by now.

    The only attempt of a result has the address in the status row.
    """
    links, attempts = tables.links.c, tables.attempts.c
    is_only_one = (
        select(links.result_id)
        .where(*(links[name] == attempts[name] for name in KEY), links.attempts == 1)
        .exists()
    )
    return (
        select(attempts.result_id, attempts.request, attempts.status, attempts.resolution)
        .where(attempts.integration_id == integration_id, ~is_only_one)
        .execution_options(yield_per=_ROWS_READ)
    )
