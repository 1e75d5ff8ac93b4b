"""Read-only page in Airflow's UI: every row's status and reason."""
