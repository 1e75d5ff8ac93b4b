"""Realistic assessment results in a warehouse: the same rows on every machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    func,
    insert,
    select,
)

Row = dict[str, Any]

DAYS: Final = (date(2026, 11, 2), date(2026, 11, 3), date(2026, 11, 4))
ROWS_A_DAY: Final = 660

DEFAULT_INTEGRATION: Final = "workday:HWUTwvyx2wLoSUHphiWVrp28"
"""The integration of rows without one, also in the connection to Kombo."""
NEW_INTEGRATION: Final = "personio:pQ5dTtUj8XwMrB2sZc9KhVnA"
"""A new customer of the last day. A permission is still missing: see scenario.yaml."""
_WEIGHTS: Final = {
    DEFAULT_INTEGRATION: 240,
    "greenhouse:8kQ2mVfXbT5nRzYcJp7sLw3D": 150,
    "lever:c6NqG4xVhZ9eKtPmWu2RyB7S": 120,
    "icims:Zt8HvD3rLkQ5wYbJ2nXeMf6P": 90,
    "workable:3FjRsK9pTzC7mEqVxN4uGdWh": 60,
}
INTEGRATIONS: Final = (*_WEIGHTS, NEW_INTEGRATION)

BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""The characters of Kombo's ids."""


class _Assessment(NamedTuple):
    name: str
    max_score: int
    minutes: int


_ASSESSMENTS: Final = (
    _Assessment("Python, intermediate", 100, 60),
    _Assessment("SQL and data modelling", 80, 45),
    _Assessment("Logical reasoning 🧩", 40, 25),
    _Assessment("Développement front-end", 100, 90),
    _Assessment("Kaufmännisches Verständnis", 60, 40),
    _Assessment("Zarządzanie zespołem", 5, 30),
    _Assessment("Customer support: a day in the inbox ✉️", 50, 35),
    _Assessment("日本語 ビジネス会話", 120, 50),
)

ODDITIES: Final[Mapping[int, Row]] = {
    100: {"candidate_id": None, "application_id": None},
    133: {"result_url": "javascript:alert(document.cookie)"},
    201: {"assessment_name": "   "},
    250: {"remote_fields": '{"icims": {"assessment_package_id": '},
    312: {"score": float("inf")},
    450: {"candidate_id": "HR/2026/4711", "application_id": None},
}
"""Different rows of every day, by number. Only the last one can be sent."""
SAME_LINK: Final = (400, 401)
"""Two results of every day with the same link, by number."""

RESULTS: Final = Table(
    "assessment_results",
    MetaData(),
    Column("result_id", String(64), primary_key=True),
    Column("assessment_date", Date, nullable=False, index=True),
    Column("completed_at", DateTime, nullable=False),
    Column("integration_id", Text),
    Column("candidate_id", Text),
    Column("application_id", Text),
    Column("assessment_name", Text),
    Column("result_url", Text),
    Column("score", Float),
    Column("max_score", Float),
    Column("duration_seconds", Integer),
    Column("remote_fields", Text),
)


def fill(warehouse: Path) -> int:
    """Make the table of results with its rows, if needed, and return the number of rows."""
    engine = create_engine(f"sqlite:///{warehouse}")
    RESULTS.metadata.create_all(engine)
    with engine.begin() as connection:
        # Rows decide, not the table: after an interruption the table is there and empty.
        if not connection.scalar(select(func.count()).select_from(RESULTS)):
            connection.execute(insert(RESULTS), list(rows()))
        filled: int = connection.scalars(select(func.count()).select_from(RESULTS)).one()
    engine.dispose()
    return filled


def rows() -> Iterator[Row]:
    """Yield the rows of all days."""
    for day in DAYS:
        yield from _rows_of(day)


def _rows_of(day: date) -> list[Row]:
    random = Random(day.isoformat())  # noqa: S311 - the same rows everywhere, no secret
    weights = dict(_WEIGHTS)
    if day == DAYS[-1]:
        weights[NEW_INTEGRATION] = 40
    result = [_row(random, day, number, weights) for number in range(1, ROWS_A_DAY + 1)]
    for number, changes in ODDITIES.items():
        result[number - 1] |= changes
    link = ("integration_id", "candidate_id", "application_id", "result_url")
    first, second = (result[number - 1] for number in SAME_LINK)
    second |= {name: first[name] for name in link}
    return result


def _row(random: Random, day: date, number: int, weights: Mapping[str, int]) -> Row:
    """Build a row; id and URL contain the number, for use in a scenario."""
    assessment = random.choice(_ASSESSMENTS)
    (integration_id,) = random.choices(list(weights), list(weights.values()))
    result_id = f"ar-{day:%Y%m%d}-{number:04}"
    taken = timedelta(minutes=assessment.minutes) * random.uniform(0.4, 1.1)
    return {
        "result_id": result_id,
        "assessment_date": day,
        "completed_at": datetime.combine(day, time(6)) + timedelta(seconds=random.randrange(57600)),
        "integration_id": None
        if integration_id == DEFAULT_INTEGRATION and _happens(random, 0.1)
        else integration_id,
        "candidate_id": _kombo_id(random),
        "application_id": _kombo_id(random) if _happens(random, 0.85) else None,
        "assessment_name": assessment.name,
        "result_url": f"https://assessments.example.com/results/{result_id}",
        "score": _score(random, assessment.max_score),
        "max_score": assessment.max_score,
        "duration_seconds": None if _happens(random, 0.08) else round(taken.total_seconds()),
        "remote_fields": _remote_fields(random, integration_id),
    }


def _happens(random: Random, probability: float) -> bool:
    return random.random() < probability


def _kombo_id(random: Random) -> str:
    return "".join(random.choices(BASE58, k=24))


def _score(random: Random, max_score: int) -> float | None:
    """Return a score in steps of one half, or None for a missing score."""
    return None if _happens(random, 0.06) else round(max_score * random.betavariate(5, 2) * 2) / 2


def _remote_fields(random: Random, integration_id: str) -> str | None:
    tool = integration_id.partition(":")[0]
    fields = {
        "greenhouse": {"post_headers": {"On-Behalf-Of": str(random.randint(10_000, 99_999))}},
        "icims": {"assessment_package_id": str(random.randint(100, 999))},
    }
    return json.dumps({tool: fields[tool]}) if tool in fields and _happens(random, 0.2) else None
