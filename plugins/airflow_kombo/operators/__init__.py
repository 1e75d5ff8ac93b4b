"""Airflow's operators, and modules for the operators alone."""
