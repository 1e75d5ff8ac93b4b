"""Airflow's hook for Kombo's API."""
