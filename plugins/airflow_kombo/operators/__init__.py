"""Airflow's operators and the modules that only they need."""
