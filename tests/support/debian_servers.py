"""PostgreSQL and Redis of Debian's packages, with files and ports of the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, exc
from support.ports import free_port
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

START_SECONDS = 60
REDIS = shutil.which("redis-server")
POSTGRES = max(
    Path("/usr/lib/postgresql").glob("*/bin"),
    key=lambda folder: int(folder.parent.name),
    default=None,
)
"""The folder of PostgreSQL's programs, of the newest installed version."""
IS_INSTALLED = bool(REDIS and POSTGRES and (POSTGRES / "initdb").exists())
ABSENT = "Redis or PostgreSQL is not installed: apt-get install redis-server postgresql"


@contextmanager
def redis_server(folder, service, environment):
    """Run the compose file's Redis with files in a folder, and yield the port.

    :param service: The service of the compose file.
    :param environment: The environment of its container.
    """
    port = free_port()
    shell, option, script = service["command"]
    options = f"--bind 127.0.0.1 --port {port} --dir {folder} --save ''"
    script = script.replace("redis-server -", f"{REDIS} - {options}").replace("$$", "$")
    command = ["env", *(f"{name}={value}" for name, value in environment.items())]
    command += [shell, option, script]
    with _running(command, folder / "redis.log", signal.SIGTERM) as alive:
        for attempt in _patience(OSError):
            with attempt:
                alive()
                socket.create_connection(("127.0.0.1", port)).close()
        yield port


@contextmanager
def postgres_server(folder, password):
    """Run a PostgreSQL server in a new folder, and yield its port.

    :param password: The password of the superuser `postgres`.
    """
    folder.mkdir()
    owner = _owner_of(folder)
    (folder / "password").write_text(password)
    install = [
        *(POSTGRES / "initdb", "-D", folder / "data", "--username=postgres"),
        *("--auth=scram-sha-256", f"--pwfile={folder / 'password'}"),
        *("--encoding=UTF8", "--locale=C.UTF-8"),
    ]
    done = subprocess.run(  # noqa: S603 - ours
        install, check=False, capture_output=True, text=True, cwd=folder, user=owner
    )
    assert done.returncode == 0, done.stdout + done.stderr
    port = free_port()
    address = ("-c", "listen_addresses=127.0.0.1", "-c", f"port={port}")
    command = [POSTGRES / "postgres", "-D", folder / "data", *address]
    command += ["-c", "unix_socket_directories="]
    # At SIGINT the server ends its connections; at SIGTERM it would wait for them.
    with _running(command, folder / "log", signal.SIGINT, cwd=folder, user=owner) as alive:
        engine = create_engine(postgres_url(port, "postgres", password, "postgres"))
        for attempt in _patience(exc.OperationalError):
            with attempt:
                alive()
                engine.connect().close()
        engine.dispose()
        yield port


def postgres_url(port, user, password, database):
    """Return SQLAlchemy's URL of a database on this machine."""
    return f"postgresql+psycopg://{user}:{password}@127.0.0.1:{port}/{database}"


def _owner_of(folder):
    """Return a user with access to a folder for PostgreSQL, which refuses to be root."""
    if os.geteuid() != 0:
        return None
    for one in folder.parents:
        mode = one.stat().st_mode
        if not mode & stat.S_IXOTH:
            one.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)
    shutil.chown(folder, "postgres")
    return "postgres"


@contextmanager
def _running(command, log, ending, **options):
    """Run a server, and yield a function that fails if the server has ended."""
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - ours
            command, stdout=output, stderr=output, start_new_session=True, **options
        )

    def alive():
        assert process.poll() is None, log.read_text()

    try:
        yield alive
    finally:
        process.send_signal(ending)
        try:
            process.wait(START_SECONDS)
        finally:
            process.kill()


def _patience(error):
    return Retrying(
        wait=wait_fixed(0.1),
        stop=stop_after_delay(START_SECONDS),
        retry=retry_if_exception_type(error),
        reraise=True,
    )
