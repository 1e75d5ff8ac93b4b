# ruff: noqa: INP001 - run by its path
"""Refuse secrets that would fail later and elsewhere, and lay down the password of the UI."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHORTEST_SIGNING_SECRET = 64  # bytes: what HS512, Airflow's choice, asks for (RFC 7518, 3.2)
METADATA_DATABASE = r"postgresql\+psycopg2://airflow:[\w.~-]+@postgres/airflow"
BROKER = r"redis://:[\w.~-]+@redis:6379/0"


def complaints(env: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the environment, in the words of .env; never a secret's value."""
    try:
        Fernet(env["AIRFLOW__CORE__FERNET_KEY"])
    except ValueError:
        yield "FERNET_KEY is no Fernet key: 32 bytes in URL-safe base64"
    if len(env["AIRFLOW__API_AUTH__JWT_SECRET"]) < SHORTEST_SIGNING_SECRET:
        yield f"JWT_SECRET is shorter than {SHORTEST_SIGNING_SECRET} characters"
    if not re.fullmatch(METADATA_DATABASE, env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]):
        yield "POSTGRES_PASSWORD may hold letters, digits and _.~- only: it is part of a URL"
    if not re.fullmatch(BROKER, env["AIRFLOW__CELERY__BROKER_URL"]):
        yield "REDIS_PASSWORD may hold letters, digits and _.~- only: it is part of a URL"
    for prefix in ("KOMBO", "WAREHOUSE"):
        try:
            json.loads(env[f"AIRFLOW_CONN_{prefix}_DEFAULT"])
        except ValueError:
            yield f'a {prefix}_ value holds a " or a \\: it is part of a JSON text'


def write_password(env: Mapping[str, str]) -> None:
    """Write the file that the simple auth manager reads at every login, for its owner alone."""
    path = Path(env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    path.touch(mode=0o600)
    path.write_text(json.dumps({"admin": env["AIRFLOW_ADMIN_PASSWORD"]}) + "\n")


if __name__ == "__main__":
    if found := list(complaints(os.environ)):
        sys.exit("\n".join(f".env: {complaint}" for complaint in found))
    write_password(os.environ)
