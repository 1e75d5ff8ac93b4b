"""Airflow with the Celery executor, as docker-compose.yaml deploys it, in processes.

Commands and environment of the services are those of the compose file. Addresses and paths are of
this machine. The triggerer is left out: no task of this project defers.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from subprocess import Popen

import psutil
import psycopg
from psycopg import sql
from support import compose
from support.airflow_site import wait_for_api
from support.debian_servers import POSTGRES, postgres_server, postgres_url, redis_server
from support.harness import KEY
from support.ports import free_port
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from tools.demo.airflow import Airflow, members_of

SERVICES = ("airflow-apiserver", "airflow-scheduler", "airflow-dag-processor")
WORKERS = ("one", "two")


@dataclass
class CeleryCluster:
    """Airflow's services, with Redis and a PostgreSQL server for metadata and warehouse.

    :param folder: The folder of Airflow's home and of all logs.
    :param values: The variables of the .env file.
    :param settings: Further environment of all of Airflow's services.
    :param redis: The port of Redis.
    """

    folder: Path
    values: dict[str, str]
    settings: dict[str, str]
    redis: int
    port: int = field(default_factory=free_port)
    health: int = field(default_factory=free_port)
    processes: dict[str, Popen] = field(default_factory=dict)

    @property
    def url(self):
        """Return the address of the API server."""
        return self._airflow("airflow-init").url

    @property
    def warehouse(self):
        """Return the URL of the warehouse, for its superuser."""
        password = self.values["WAREHOUSE_ADMIN_PASSWORD"]
        return postgres_url(self.values["WAREHOUSE_PORT"], "postgres", password, "warehouse")

    def password(self):
        """Return the password of the user `admin`."""
        return self.values["AIRFLOW_ADMIN_PASSWORD"]

    def initialise(self):
        """Make the databases, and do what the service airflow-init does."""
        self._make_databases()
        passwords = self.folder / "auth" / "passwords.json"
        passwords.parent.mkdir()
        done = compose.initialise(self.values, passwords)
        assert done.returncode == 0, done.stderr
        self._airflow("airflow-init").migrate()

    @contextmanager
    def running(self):
        """Run all services until the end of the block."""
        with ExitStack() as stack:
            for name in SERVICES:
                command = compose.SERVICES[name]["command"].split()
                self._start(stack, name, self._airflow(name), command)
            for name in WORKERS:
                # A container has a host name of its own. Here it is the name of the user.
                own = {"LOGNAME": name, "AIRFLOW__CORE__HOSTNAME_CALLABLE": "getpass.getuser"}
                command = compose.SERVICES["airflow-worker"]["command"].split()
                command += ["--celery-hostname", name, "--skip-serve-logs"]
                self._start(stack, name, self._airflow("airflow-worker", name, **own), command)
            stack.callback(self._end)
            wait_for_api(self.url, self._log(SERVICES[0]), self.processes[SERVICES[0]])
            self._wait_for_workers()
            yield

    def kill(self, worker):
        """Kill a worker and its tasks with SIGKILL, as the end of its container does."""
        pid = self.processes[worker].pid
        # Parents first: a supervisor whose task is killed tells Airflow.
        while left := sorted(filter(_lives, members_of(pid)), key=attrgetter("pid")):
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=5)

    def _start(self, stack, name, airflow, command):
        self.processes[name] = stack.enter_context(airflow.component(*command))

    def _end(self):
        """Signal all at once, because each needs seconds; the API server ends after the others."""
        for name, process in self.processes.items():
            if name != SERVICES[0] and process.poll() is None:
                process.terminate()

    @retry(
        wait=wait_fixed(0.3), stop=stop_after_delay(120), retry=retry_if_exception_type(ValueError)
    )
    def _wait_for_workers(self):
        """Wait until each worker takes tasks."""
        for name, process in self.processes.items():
            assert process.poll() is None, self._log(name).read_text()
        if missing := [name for name in WORKERS if " ready." not in self._log(name).read_text()]:
            raise ValueError(missing)

    def _airflow(self, service, name=None, **own):
        environment = compose.environment(service, self.values)
        here = {variable: self._here(text) for variable, text in environment.items()}
        places = {
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.folder / "dags"),
            "AIRFLOW__CORE__PARALLELISM": "32",  # Airflow's default
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.health),
        }
        connections = here | places | self.settings | own
        return Airflow(self.folder / "home", self._log(name or service), connections, self.port)

    def _here(self, text):
        """Replace the compose file's addresses and paths by those of this machine."""
        postgres = self.values["WAREHOUSE_PORT"]
        for there, here in {
            "//airflow-apiserver:8080": f"//127.0.0.1:{self.port}",
            "@postgres/": f"@127.0.0.1:{postgres}/",
            "@redis:6379": f"@127.0.0.1:{self.redis}",
            "/opt/airflow": str(self.folder),
        }.items():
            text = text.replace(there, here)
        return text

    def _log(self, name):
        return self.folder / f"{name}.log"

    def _make_databases(self):
        """Make the metadata database, and the warehouse as docker/warehouse.sh makes it."""
        port, password = self.values["WAREHOUSE_PORT"], self.values["WAREHOUSE_ADMIN_PASSWORD"]
        server = f"host=127.0.0.1 port={port} user=postgres password={password} dbname=postgres"
        own = sql.Literal(self.values["POSTGRES_PASSWORD"])
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE ROLE airflow LOGIN PASSWORD {}").format(own))
            connection.execute("CREATE DATABASE airflow OWNER airflow")
            connection.execute("CREATE DATABASE warehouse")
        compose.make_warehouse(
            self.values, POSTGRES, PGHOST="127.0.0.1", PGPORT=port, PGPASSWORD=password
        )


def _lives(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def celery_cluster(folder, kombo_url, *, settings, concurrency):
    """Run the databases in a folder with a folder `dags`, and yield an initialised cluster.

    :param kombo_url: The address of Kombo's API.
    :param settings: Further environment of all of Airflow's services.
    :param concurrency: Tasks that a worker runs at once.
    """
    env = folder / "env"
    env.mkdir()
    values = compose.dotenv(compose.write_env(env))
    with ExitStack() as stack:
        password = values["WAREHOUSE_ADMIN_PASSWORD"]
        postgres = stack.enter_context(postgres_server(folder / "postgres", password))
        values |= {
            "KOMBO_API_KEY": KEY,
            "KOMBO_URL": kombo_url,
            "WAREHOUSE_HOST": "127.0.0.1",
            "WAREHOUSE_PORT": str(postgres),
            "WORKER_CONCURRENCY": str(concurrency),
        }
        own = compose.environment("redis", values)
        redis = stack.enter_context(redis_server(folder, compose.SERVICES["redis"], own))
        cluster = CeleryCluster(folder, values, settings, redis)
        cluster.initialise()
        yield cluster
