"""Demo for this machine: `make demo` delivers a day, `make up` opens Airflow's UI."""
