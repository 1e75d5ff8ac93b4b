"""Requests made of rows, and rows without a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from hashlib import sha256
from typing import Any

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import RowError
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.kombo_api.writes import Write


@dataclass(frozen=True)
class RowRequest:
    """Request of one row: key, body and endpoint."""

    key: LinkKey
    assessment_date: Any
    url: str | None
    """The value that a target may have only once (`Write.once`), if the write has such a member."""
    body: bytes
    write: Write = RESULT_LINKS

    @property
    def path(self) -> str:
        """Return the endpoint's path below the API's base."""
        return self.write.path_of(self.key)

    @cached_property
    def request_hash(self) -> str:
        """Return the hash of the body."""
        return sha256(self.body).hexdigest()

    @cached_property
    def url_hash(self) -> str | None:
        """Return the hash of `url`: rows with the same hash and target are duplicates."""
        return None if self.url is None else sha256(self.url.encode()).hexdigest()


@dataclass(frozen=True)
class InvalidRow:
    """Row without a request, and the reason.

    :param is_addressed: False if the ids of the row's key are incomplete or wrong.
    """

    key: LinkKey
    assessment_date: date | None
    error: RowError
    is_addressed: bool = True


MappedRow = RowRequest | InvalidRow
"""A row's request, or the reason why it has none."""
