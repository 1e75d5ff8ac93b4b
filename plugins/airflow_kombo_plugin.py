"""What Airflow has to know of us: registrations, and nothing else."""

from airflow.plugins_manager import AirflowPlugin


class AirflowKomboPlugin(AirflowPlugin):
    """The plugin as `airflow plugins` lists it."""

    name = "airflow_kombo"
