"""The versions of Airflow and Python that this project is tried with: `make test-matrix`."""
