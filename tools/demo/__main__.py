"""Commands of `make demo` and `make up`; their files are in .demo and .airflow."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Final, NoReturn

from rich.console import Console

from tools.demo.airflow import DAG, ROOT, Airflow, AirflowError
from tools.demo.rows import DAYS, DEFAULT_INTEGRATION
from tools.demo.warehouse import CONNECTION as WAREHOUSE
from tools.demo.warehouse import WAREHOUSES
from tools.kombo_standin.client import DEFAULT_KEY, StandIn, StandInError, running

KOMBO: Final = "AIRFLOW_CONN_KOMBO_DEFAULT"
"""Environment variable that replaces the stand-in, as `WAREHOUSE` replaces the demo's file."""

UP: Final = "up"
_EXPORTS: Final = "airflow.env"
_INTERRUPTED: Final = 130  # a shell's exit status of a program that Ctrl-C ended

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed

console = Console(highlight=False, markup=False, soft_wrap=True)
say = console.print


def main() -> None:
    """Run the command line's command, and end every started process."""
    parser = argparse.ArgumentParser("python -m tools.demo")
    parser.add_argument(
        "what",
        nargs="?",
        type=_day_or_up,
        default=DAYS[1],
        metavar="DAY | up",
        help="deliver this day (%(default)s), or open Airflow's UI",
    )
    parser.add_argument(
        "--warehouse", choices=list(WAREHOUSES), default="sqlite", help="(%(default)s)"
    )
    parser.add_argument("--port", type=int, default=8080, help="of the UI (%(default)s)")
    options = parser.parse_args()
    for name in _ENDING:
        signal.signal(name, _interrupt)
    try:
        if options.what == UP:
            up(options.port, options.warehouse)
        else:
            deliver(options.what, options.warehouse)
    except KeyboardInterrupt:
        say("Stopped; nothing is left running.")
        sys.exit(0 if options.what == UP else _INTERRUPTED)
    except (AirflowError, StandInError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))


def _interrupt(*_: object) -> NoReturn:
    """Stop in order at the first signal, and ignore all later signals."""
    for name in _ENDING:
        signal.signal(name, signal.SIG_IGN)
    say("\nStopping ...")
    raise KeyboardInterrupt


def deliver(day: date, warehouse: str) -> None:
    """Run the dag for one day, and print the statuses of the day's rows.

    :param warehouse: The kind of the warehouse.
    """
    with _stage("demo.log", warehouse) as (airflow, standin):
        _migrate(airflow)
        say(f"Airflow: airflow dags test {DAG} {day} (it takes some 10 s to start)")
        with console.status("Airflow is at work ..."):
            airflow.run("dags", "test", DAG, str(day), say=_say_indented)
        say()
        _report(airflow, day)
        posted = _say_what_was_counted_by(standin) if standin else 0
    _say_where_to_look(warehouse, is_stand_in=standin is not None, is_first=posted > 0)
    _say_how_to_run_airflow()


def up(port: int, warehouse: str) -> None:
    """Run Airflow's UI until a signal comes.

    :param warehouse: The kind of the warehouse.
    """
    if _is_taken(port):
        sys.exit(f"Port {port} is taken by another program. Try: make up PORT={port + 1}")
    with _stage("up.log", warehouse, port) as (airflow, standin):
        _migrate(airflow)
        say("Airflow: airflow standalone (it takes some 30 s to start)")
        with airflow.standalone() as process:
            with console.status("Airflow is starting ..."):
                airflow.wait_until_ready(process, _say_indented)
            say(f"\nThe dag: {airflow.url}/dags/{DAG}")
            say(f"Trigger it with assessment_date {DAYS[-1]}; its schedule is switched off here.")
            if standin:
                say(f"The stand-in for Kombo: {standin.url}")
            _say_how_to_run_airflow()
            say(f"Airflow's log: {airflow.log}. Ctrl-C ends all of it.\n")
            say(f"{airflow.url}   user: admin   password: {airflow.password()}")
            process.wait()
        raise AirflowError(f"Airflow ended by itself: see {airflow.log}.")


@contextmanager
def _stage(log: str, warehouse: str, port: int = 8080) -> Iterator[tuple[Airflow, StandIn | None]]:
    """Prepare the warehouse, Kombo and an Airflow with connections to both."""
    home, connections = Path.cwd(), dict[str, str]()
    folder = home / ".demo"
    try:
        folder.mkdir(exist_ok=True)
        (home / ".airflow").mkdir(exist_ok=True)
    except OSError as error:
        sys.exit(
            f"The folder {home} cannot be written ({error.strerror}): copy the project to a folder"
            " of your own."
        )
    with ExitStack() as stack:
        standin = None
        if os.environ.get(WAREHOUSE):
            say(f"Warehouse: the one that {WAREHOUSE} names")
        else:
            sentence, connections = WAREHOUSES[warehouse](folder)
            say(f"Warehouse: {sentence}")
        if os.environ.get(KOMBO):
            say(f"Kombo: the one that {KOMBO} names")
        else:
            standin = stack.enter_context(
                running(scenario=ROOT / "tools" / "demo" / "scenario.yaml")
            )
            connections[KOMBO] = _connection_to(standin)
            say(f"Kombo: a stand-in at {standin.url}")
        airflow = Airflow(home / ".airflow", _new(folder / log), connections, port)
        airflow.write_exports(folder / _EXPORTS)
        stack.callback(airflow.end_left_runs)
        yield airflow, standin


def _connection_to(standin: StandIn) -> str:
    extra = {"integration_id": DEFAULT_INTEGRATION}
    return json.dumps(
        {"conn_type": "http", "host": standin.url, "password": DEFAULT_KEY, "extra": extra}
    )


def _new(log: Path) -> Path:
    log.unlink(missing_ok=True)
    return log


def _migrate(airflow: Airflow) -> None:
    if not airflow.is_migrated:
        say("Airflow: its database is made, once (some 10 s)")
        with console.status("airflow db migrate ..."):
            airflow.migrate()


def _report(airflow: Airflow, day: date) -> None:
    """Print the report of the ledger, through Airflow's connection to the warehouse."""
    subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "tools.demo.report", str(day)],
        cwd=ROOT,
        env=airflow.environment | {"PYTHONPATH": str(ROOT / "plugins")},
        check=True,
    )


def _say_what_was_counted_by(standin: StandIn) -> int:
    """Print the stand-in's counts, and return the number of POSTs."""
    received, made = (standin.stats()[name] for name in ("received", "created"))
    say(f"In this run, the stand-in received {received} POSTs and made {made} links, by its count.")
    if made:
        say("A link more than there are successes was made before its answer was lost: unknown.")
    return int(received)


def _say_where_to_look(warehouse: str, *, is_stand_in: bool, is_first: bool) -> None:
    """Print the possible next steps of a user.

    :param is_first: True if this run has posted, so that the next one posts nothing.
    """
    again = "" if warehouse == "sqlite" else f" WAREHOUSE={warehouse}"
    say("\nWhere to look next")
    if is_first:
        say(f"  make demo{again:18}  once more: it posts nothing")
    if is_stand_in:
        say(
            f"  make demo DAY={DAYS[-1]}   one integration lacks a permission: its rows are blocked"
        )
    say("  make up                    Airflow's own UI, with the same dag and data")
    say("  README.md                  the rest; include/result_link_mapping.yaml says what is sent")
    ledger = "ledger" if warehouse == "duckdb" else "warehouse"
    say("  your warehouse:" if os.environ.get(WAREHOUSE) else f"  sqlite3 .demo/{ledger}.db")
    say("    SELECT * FROM kombo_result_links WHERE status <> 'success';   -- every row's status")
    say("    SELECT * FROM kombo_result_link_attempts WHERE attempt > 1;   -- every POST, as sent")
    say("    SELECT * FROM kombo_result_link_runs ORDER BY started_at;     -- every run, its sum")


def _say_how_to_run_airflow() -> None:
    say("  airflow from a shell, on the demo's home and connections:")
    say(f"    . .demo/{_EXPORTS}; airflow dags list")


def _say_indented(line: str) -> None:
    say(f"  {line}")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _day_or_up(text: str) -> date | str:
    if text == UP:
        return text
    known = f"the demo has the days {', '.join(map(str, DAYS))}"
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no day: {known}") from None
    if day not in DAYS and not os.environ.get(WAREHOUSE):
        raise argparse.ArgumentTypeError(f"{day} has no rows: {known}")
    return day


if __name__ == "__main__":
    main()
