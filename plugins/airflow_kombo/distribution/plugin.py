"""The plugin of the wheel, or None where the plugins folder has registered the same one.

Airflow loads the plugins folder first, and puts its modules in `sys.modules` under their bare
names. It skips an entry point that is no class. So the folder and the wheel at once register once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from airflow.plugins_manager import AirflowPlugin

_MODULE: Final = "airflow_kombo_plugin"


def _plugin_of_wheel() -> type[AirflowPlugin] | None:
    ours = Path(__file__).resolve().parents[2] / f"{_MODULE}.py"
    loaded = getattr(sys.modules.get(_MODULE), "__file__", None)
    if loaded and Path(loaded).resolve() != ours:
        return None
    from airflow_kombo_plugin import AirflowKomboPlugin  # noqa: PLC0415 - beside the package

    return AirflowKomboPlugin


plugin = _plugin_of_wheel()
