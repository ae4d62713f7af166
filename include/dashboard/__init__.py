"""The page inside Airflow: an application that Airflow's API server mounts at /homelake. Only that process imports it."""
