"""Entry points of the wheel `airflow-provider-kombo`: its plugin and its description."""
