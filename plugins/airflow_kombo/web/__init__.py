"""The page in Airflow's UI: did a result arrive, and if not, why. It only reads."""
