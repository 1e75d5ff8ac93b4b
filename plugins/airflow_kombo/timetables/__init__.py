"""Airflow's timetables."""
