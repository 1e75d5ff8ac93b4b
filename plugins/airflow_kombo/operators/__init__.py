"""Airflow's operators, and what only they need."""
