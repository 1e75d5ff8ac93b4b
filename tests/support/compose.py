"""Deployment of docker-compose.yaml: services, and the environment of their containers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import yaml
from support.harness import ROOT

COMPOSE = (ROOT / "docker-compose.yaml").read_text()
MODEL = yaml.safe_load(COMPOSE)
SERVICES = MODEL["services"]

# Compose's `${NAME}`, `${NAME:-default}` and `${NAME:?message}`; `$$` is a dollar sign.
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<word>[^}]*))?\})")


def run(*command, **options):
    """Run one of this repository's own commands."""
    return subprocess.run(  # noqa: S603 - no word of the command comes from outside
        command, capture_output=True, text=True, check=False, timeout=60, **options
    )


def substitute(text, values):
    """Replace variables by values, as Compose does: an empty value counts as missing."""

    def value_of(match):
        if match["name"] is None:
            return "$"
        if value := values.get(match["name"]):
            return value
        if match["operator"] == ":?":
            raise KeyError(f"{match['name']}: {match['word']}")
        return match["word"] or ""

    return VARIABLE.sub(value_of, text)


def environment(service, values):
    """Return the environment of a service's container."""
    declared = SERVICES[service]["environment"]
    return {name: substitute(str(text), values) for name, text in declared.items()}


def dotenv(path):
    """Read the variables of a .env file without quotes."""
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def write_env(folder):
    """Write a .env into a folder with docker/env.sh, and return the path of the .env."""
    (folder / "docker").mkdir()
    shutil.copy(ROOT / ".env.example", folder)
    shutil.copy(ROOT / "docker" / "env.sh", folder / "docker")
    done = run("/bin/sh", folder / "docker" / "env.sh")
    assert done.returncode == 0, done.stderr
    return folder / ".env"


def initialise(values, passwords):
    """Run docker/init.py with the environment of the container, but another file."""
    place = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords)}
    env = environment("airflow-init", values) | place
    return run(sys.executable, ROOT / "docker" / "init.py", env=env)


def make_warehouse(values, programs, **server):
    """Run docker/warehouse.sh, as the container of the warehouse does when it is made.

    :param programs: The folder of PostgreSQL's programs.
    :param server: The variables of the environment that lead to the server.
    """
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    env = environment("warehouse", values) | {"PATH": path} | server
    done = run("/bin/sh", ROOT / "docker" / "warehouse.sh", env=env)
    assert done.returncode == 0, done.stderr
