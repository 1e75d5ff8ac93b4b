"""The provider's description, which Airflow reads in all its processes."""

from __future__ import annotations

from typing import Any

from airflow_kombo.hooks.connection_form import (
    CONN_TYPE,
    FIELDS,
    HIDDEN,
    LABELS,
    PLACEHOLDERS,
)

NAME = "airflow-provider-kombo"


def get_provider_info() -> dict[str, Any]:
    """Return the connection type, the extra link and the settings of this provider."""
    return {
        "package-name": NAME,
        "name": "Kombo",
        "description": "Assessment results become result links in applicant tracking systems.",
        "connection-types": [
            {
                "connection-type": CONN_TYPE,
                "hook-class-name": "airflow_kombo.hooks.kombo.KomboHook",
                "hook-name": "Kombo",
                "conn-fields": FIELDS,
                "ui-field-behaviour": {
                    "hidden-fields": list(HIDDEN),
                    "relabeling": LABELS,
                    "placeholders": PLACEHOLDERS,
                },
            }
        ],
        "extra-links": ["airflow_kombo.operators.links.RowsLink"],
        "config": {
            "kombo": {
                "description": "The dags kombo_* and the page Kombo result links.",
                "options": {
                    "warehouse_conn_id": _option(
                        "The connection to the warehouse, for the page.", "warehouse_default"
                    ),
                    "ledger_conn_id": _option(
                        "The connection to the database with the ledger, where the warehouse"
                        " cannot hold it. By default it is the warehouse.",
                        "",
                    ),
                    "status_table": _option(
                        "The status table, with its schema before a dot where it has one.",
                        "kombo_result_links",
                    ),
                    "include_folder": _option(
                        "The folder with the query and the mapping. By default it is the folder"
                        " include beside the folder of the dags, or in it.",
                        "",
                    ),
                },
            }
        },
    }


def _option(description: str, default: str) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": "string",
        "example": None,
        "default": default,
    }
