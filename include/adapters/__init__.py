"""How the parts of the lake are spoken to: I/O and typed errors, no Airflow."""
