"""Find the results that have, may have, or once had a link with an address."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from airflow_kombo.ledger.history import may_have_link
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import BINDING

UrlOf = Callable[[str | None], str | None]
"""Function that returns the address in a stored request; None without one."""


def owners_of(
    connection: Connection,
    tables: Tables,
    rows: Iterable[Any],
    urls: Iterable[str | None],
    url_of: UrlOf,
) -> dict[str, set[str]]:
    """Return results by address: of the whole integration, and formerly of the rows' targets.

    The notes of a record may show the links of all applications of one candidate. A result whose
    address or target has changed has left a link behind.

    :param rows: Rows of one integration and one type of target.
    """
    owners: dict[str, set[str]] = {url: set() for url in urls if url}
    rows = list(rows)
    if not rows or not owners:
        return owners
    links, attempts = tables.links.c, tables.attempts.c
    by_hash = {sha256(url.encode()).hexdigest(): url for url in owners}
    standing = select(links.url_hash, links.result_id).where(
        links.integration_id == rows[0].integration_id,
        links.url_hash.in_(sorted(by_hash)),
        links.status.in_(sorted(one.value for one in BINDING)),
    )
    for url_hash, result_id in connection.execute(standing):
        owners[by_hash[url_hash]].add(result_id)
    former = select(attempts.result_id, attempts.request, attempts.status, attempts.resolution)
    for one in connection.execute(former.where(*_same_targets(tables, rows))):
        url = url_of(one.request)
        if url in owners and may_have_link(one):
            owners[url].add(one.result_id)
    return owners


def _same_targets(tables: Tables, rows: list[Any]) -> list[ColumnElement[bool]]:
    attempts = tables.attempts.c
    return [
        attempts.integration_id == rows[0].integration_id,
        attempts.target_type == rows[0].target_type,
        attempts.target_id.in_(sorted({row.target_id for row in rows})),
    ]
