"""CSV of rows, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from airflow_kombo.ledger.csv_cells import csv_lines
from airflow_kombo.web.rows import COLUMNS


def as_csv(batches: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Write the columns' names, then the lines of each batch.

    :param batches: Rows of `COLUMNS`.
    """
    yield csv_lines([COLUMNS])
    for rows in batches:
        yield csv_lines(rows)
