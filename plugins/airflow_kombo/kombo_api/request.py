"""Hold a row that became a request, or the reason why it could not become one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from hashlib import sha256
from typing import Any

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import RowError
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.kombo_api.writes import Write

if sys.version_info >= (3, 11):
    pass
else:
    pass


@dataclass(frozen=True)
class RowRequest:
    """A row that became a request: what to send, and to whom."""

    key: LinkKey
    assessment_date: Any
    url: str | None
    """What its target may have only once; None where there is no such thing."""
    body: bytes
    write: Write = RESULT_LINKS

    @property
    def path(self) -> str:
        """The endpoint's path below the API's base."""
        return self.write.path_of(self.key)

    @cached_property
    def request_hash(self) -> str:
        """What changes when the row or the mapping changes what is sent."""
        return sha256(self.body).hexdigest()

    @cached_property
    def url_hash(self) -> str | None:
        """What two rows share that would put the same link on one target."""
        return None if self.url is None else sha256(self.url.encode()).hexdigest()


@dataclass(frozen=True)
class InvalidRow:
    """A row that cannot become a request, and why."""

    key: LinkKey
    assessment_date: date | None
    error: RowError
