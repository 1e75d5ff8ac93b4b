"""The form of connections of the type `kombo`, and the addresses of Kombo's regions.

Airflow reads this in all its processes: the module imports nothing.
"""

from __future__ import annotations

from typing import Any, Final

CONN_TYPE: Final = "kombo"

REGIONS: Final = {
    "eu": "https://api.kombo.dev/v1",
    "us": "https://api.us.kombo.dev/v1",
    "ca": "https://api.ca.kombo.dev/v1",
}
"""The address of each region; an API key works in one region only."""
DEFAULT_REGION: Final = "eu"

FIELDS: Final[dict[str, dict[str, Any]]] = {
    "region": {
        "label": "Region",
        "description": "The region of your Kombo account: eu (the default), us or ca.",
        "schema": {"type": ["string", "null"], "enum": [*REGIONS, None]},
    },
    "integration_id": {
        "label": "Default integration",
        "description": "The integration of rows without one, such as"
        " workday:HWUTwvyx2wLoSUHphiWVrp28.",
        "schema": {"type": ["string", "null"]},
    },
    "timeout": {
        "label": "Timeout",
        "description": "Seconds without a response after which a call is given up; 300 if empty.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
}
"""The form's fields for extras, as a provider declares them."""

HIDDEN: Final = ("schema", "login")
"""The port is shown, and not used: in Airflow 3.3.1 and 3.3.2 the button Test refuses a saved
connection without a port, since the UI sends 0 in its place (apache/airflow#73298)."""
LABELS: Final = {"host": "Address", "password": "API key"}
PLACEHOLDERS: Final = {
    "host": "empty: the region's own; or https://...",
    "port": "443: not used, but Test of Airflow 3.3.1 and 3.3.2 needs one",
    "password": "your Kombo API key",
}

EXTRAS: Final = frozenset(
    {*FIELDS, "proxies", "proxy", "verify", "verify_ssl", "cert", "trust_env"}
)
"""The extras with a meaning. No other is used, and none becomes a header."""
