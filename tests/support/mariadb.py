"""A MariaDB server of the tests: the system's program, with files and a port of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine, exc
from support.ports import free_port

START_SECONDS = 60
DRIVER = os.environ.get("MARIADB_DRIVER", "pymysql")  # or mysqldb, mysqlconnector
SERVER = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")  # of root's path only
INSTALL = shutil.which("mariadb-install-db")
IS_INSTALLED = bool(SERVER and INSTALL)
ABSENT = "mariadbd is not installed: apt-get install mariadb-server"


@dataclass
class Server:
    """A server process, and the place of its files.

    :param options: Further options of the program.
    """

    folder: Path
    port: int
    options: tuple[str, ...] = ()
    process: subprocess.Popen | None = field(default=None, repr=False)

    def url(self, database=""):
        """Return SQLAlchemy's URL of a database of the server."""
        return f"mysql+{DRIVER}://root@127.0.0.1:{self.port}/{database}"

    def start(self):
        """Start the server, and wait until it takes connections."""
        command = [
            *(SERVER, "--no-defaults", *_user(), f"--datadir={self.folder / 'data'}"),
            *("--bind-address=127.0.0.1", f"--port={self.port}"),
            *(f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}"),
            *(f"--log-error={self.folder / 'log'}", f"--tmpdir={self.folder}"),
            "--innodb-buffer-pool-size=64M",
            *self.options,
        ]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - ours
        engine = create_engine(self.url(), connect_args={"connect_timeout": START_SECONDS})
        while not _answers(engine):
            if self.process.poll() is not None:
                raise AssertionError((self.folder / "log").read_text())
        engine.dispose()

    def kill(self):
        """End the server as a power failure would."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """End the server in order."""
        self.process.terminate()
        self.process.wait(START_SECONDS)


def _answers(engine):
    try:
        engine.connect().close()
    except exc.DBAPIError:
        return False
    return True


def _user():
    return ["--user=root"] if os.geteuid() == 0 else []


@contextmanager
def mariadb_server(folder, *options):
    """Run a server in an empty folder, and stop the server at the end."""
    install = [
        *(INSTALL, "--no-defaults", *_user(), f"--datadir={folder / 'data'}"),
        *("--auth-root-authentication-method=normal", "--skip-test-db"),
    ]
    # In one folder, two servers delete each other's temporary tables.
    own = os.environ | {"TMPDIR": str(folder)}
    done = subprocess.run(install, check=False, capture_output=True, text=True, env=own)  # noqa: S603 - ours
    assert done.returncode == 0, done.stdout + done.stderr
    server = Server(folder, free_port(), options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
