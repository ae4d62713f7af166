"""Homelake in Airflow: the pages Lake and Spark jobs, and the jobs of a DAG run and of a task as tabs.

Every process of Airflow that loads plugins executes this file, so it imports nothing more: the API server alone asks for `fastapi_apps`.
"""

from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin


def view(name: str, destination: str, route: str, address: str) -> dict[str, str]:
    """A page of ours in a frame of Airflow's, which may itself live below a path (`[api] base_url`)."""
    root = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
    return {"name": name, "destination": destination, "url_route": route, "href": f"{root}/homelake/{address}"}


class HomelakePlugin(AirflowPlugin):
    """What Airflow is told."""

    name = "homelake"
    external_views = [
        view("Lake", "nav", "homelake-lake", "#/lake"),
        view("Spark jobs", "nav", "homelake-jobs", "#/jobs"),
        view("Spark jobs", "dag_run", "homelake-run", "?dag_id={DAG_ID}&run_id={RUN_ID}#/jobs"),
        view("Spark jobs", "task", "homelake-task", "?dag_id={DAG_ID}&task_id={TASK_ID}#/jobs"),
        view("Spark jobs", "task_instance", "homelake-try", "?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}#/jobs"),
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The application, made when the API server asks for it."""
        from include.dashboard.app import create_app

        return [{"app": create_app(), "url_prefix": "/homelake", "name": "Homelake"}]
