"""Try the project on this machine: `make demo` delivers a day, `make up` opens Airflow's UI."""
