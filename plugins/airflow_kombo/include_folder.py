"""The folder with the query, the mapping and the recipes, in each platform's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SECTION: Final = "kombo"
_NAME: Final = "include"


def include_folder(dag_file: str) -> Path:
    """Return the folder `include` of a dag.

    The setting `include_folder` of the section `kombo` names the folder. Without one, the folder is
    looked for in the folder of the dag and in those above, the nearest first: MWAA and Composer
    have nothing beside `dags/`, and a repository that git-sync fetches has it beside.

    :param dag_file: The dag's `__file__`.
    :raises FileNotFoundError: if there is none. Airflow shows the message as an import error.
    """
    from airflow.configuration import conf  # noqa: PLC0415 - a dag has loaded it

    if named := conf.get(SECTION, "include_folder", fallback=None):
        if not Path(named).is_dir():
            raise FileNotFoundError(
                f"The setting include_folder of the section [{SECTION}] names {named}, which is no"
                " folder on this machine."
            )
        return Path(named)
    folders = Path(dag_file).resolve().parents
    for folder in folders:
        if (folder / _NAME / "result_link_mapping.yaml").is_file():
            return folder / _NAME
    raise FileNotFoundError(
        f"There is no folder {_NAME} with result_link_mapping.yaml in {folders[0]} or above. Copy"
        f" {_NAME} into the folder of the dags, or name the folder with the setting"
        f" include_folder of the section [{SECTION}] (AIRFLOW__KOMBO__INCLUDE_FOLDER)."
    )
