"""Homelake's Airflow operators: the only package that knows Airflow."""
