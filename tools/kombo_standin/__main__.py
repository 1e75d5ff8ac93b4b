"""Command of the stand-in: ``python -m tools.kombo_standin --help``."""

import argparse
from pathlib import Path

import yaml
from pydantic import ValidationError

from tools.kombo_standin.client import DEFAULT_KEY
from tools.kombo_standin.ledger import Ledger
from tools.kombo_standin.scenario import Scenario
from tools.kombo_standin.server import serve
from tools.kombo_standin.state import State


def main() -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser("kombo_standin", description="A stand-in for Kombo's API.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", default=0, type=int, help="0 takes a free one (%(default)s)")
    parser.add_argument("--key", default=DEFAULT_KEY, help="the accepted API key (%(default)s)")
    parser.add_argument(
        "--scenario", type=Path, help="YAML file with limits, latency, rules and ATSs"
    )
    parser.add_argument("--journal", type=Path, help="file that keeps the links over a restart")
    parser.add_argument("--parent", type=int, help="id of the parent process: end with it")
    options = parser.parse_args()
    try:
        scenario = Scenario.load(options.scenario) if options.scenario else Scenario()
    except (OSError, yaml.YAMLError, ValidationError) as error:
        parser.error(f"cannot use the scenario: {error}")
    state = State(options.key, scenario, Ledger(options.journal))
    serve(state, options.host, options.port, options.parent)


if __name__ == "__main__":
    main()
