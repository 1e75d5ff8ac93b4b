"""Airflow's commands over this checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from support.harness import ROOT

DAG = "kombo_result_links"


def airflow(home, *arguments, kombo=None, check=True, **environment):
    """Run one of Airflow's commands over this checkout."""
    done = subprocess.run(  # noqa: S603 - no word comes from outside
        [sys.executable, "-m", "airflow", *arguments],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_KOMBO_DEFAULT": json.dumps(kombo or {"conn_type": "http"}),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done
