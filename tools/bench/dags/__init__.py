"""Dags of the bench, in a folder that Airflow reads."""
