"""The plugin in Airflow's own application, as its API server makes it; and what it costs every other process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from include.settings import ROOT
from tests.unit.dashboard.conftest import ENVIRONMENT
from tests.unit.dashboard.test_live import Server, events, until

Tokens = Callable[[str, str | None], str]


@pytest.fixture(scope="module")
def whole(airflow: Any) -> Iterator[TestClient]:
    """Airflow's API server with the project's plugins."""
    from airflow import plugins_manager, settings
    from airflow.api_fastapi.app import create_app

    caches = [f for f in vars(plugins_manager).values() if hasattr(f, "cache_clear")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "PLUGINS_FOLDER", str(ROOT / "plugins"))
        for cached in caches:
            cached.cache_clear()
        with TestClient(create_app(apps="core")) as client:
            yield client
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize("path", ["/homelake/", "/homelake/api/lake", "/homelake/assets/x.js", "/homelake/nosuch", "/homelake/openapi.json"])
def test_airflows_login_is_before_it(whole: TestClient, path: str) -> None:
    assert whole.get(path).status_code == 401


def test_a_session_of_airflows_opens_it(whole: TestClient, token: Tokens) -> None:
    answer = whole.get("/homelake/api/lake", headers={"Cookie": f"_token={token('viewer', 'viewer')}"})
    assert answer.status_code == 200
    assert answer.json()["problems"] == ["Unable to show the lake: lake_governance has not run yet. Trigger it."]
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert whole.get("/homelake/api/lake", headers={"Cookie": f"_token={token('guest', None)}"}).status_code == 403


def test_the_login_it_leads_to_is_airflows(whole: TestClient) -> None:
    page = whole.get("/homelake/?run_id=a", headers={"Accept": "text/html"})
    link = page.text.split('href="')[1].split('"')[0]
    answer = whole.get(link, follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "/auth/login?next=%2Fhomelake%2F%3Frun_id%3Da")


def test_airflow_shows_its_pages_where_they_belong(whole: TestClient, token: Tokens) -> None:
    answer = whole.get("/api/v2/plugins", headers={"Authorization": f"Bearer {token('admin', 'admin')}"})
    plugin = next(p for p in answer.json()["plugins"] if p["name"] == "homelake")
    views = {(v["destination"], v["name"]): v["href"] for v in plugin["external_views"]}
    assert views == {
        ("nav", "Lake"): "/homelake/#/lake",
        ("nav", "Spark jobs"): "/homelake/#/jobs",
        ("dag_run", "Spark jobs"): "/homelake/?dag_id={DAG_ID}&run_id={RUN_ID}#/jobs",
        ("task", "Spark jobs"): "/homelake/?dag_id={DAG_ID}&task_id={TASK_ID}#/jobs",
        ("task_instance", "Spark jobs"): "/homelake/?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}#/jobs",
    }
    assert [a["url_prefix"] for a in plugin["fastapi_apps"]] == ["/homelake"]
    assert len({v["url_route"] for v in plugin["external_views"]}) == len(views)


def test_events_come_through_airflows_own_middlewares_and_who_goes_is_noticed(whole: TestClient, token: Tokens) -> None:
    airflows: Any = whole.app
    feed = next(r.app.state.feed for r in airflows.routes if getattr(r, "path", "") == "/homelake")
    server = Server(airflows, feed)
    stream = server.get("/homelake/api/live", token("viewer", "viewer"), **{"Accept-Encoding": "gzip"})
    assert stream.getheader("Content-Encoding") is None, "a compressed stream would come in blocks"
    assert {name for name, _ in islice(events(stream), 2)} == {"snapshot", "lake"}
    assert len(feed) == 1
    stream.close()
    until(lambda: len(feed) == 0)
    server.stop()


def test_airflow_knows_these_placeholders() -> None:
    import airflow.ui

    code = "".join(f.read_text(encoding="utf-8") for f in Path(airflow.ui.__path__[0]).glob("dist/assets/index-*.js"))
    assert all(f"`{{{name}}}`" in code for name in ("DAG_ID", "RUN_ID", "TASK_ID"))


PROBE = """
import json, sys, time
import airflow.plugins_manager, airflow.configuration
before, began = set(sys.modules), time.process_time()
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
took = time.process_time() - began
print(json.dumps([sorted(p.name for p in plugins), errors, sorted(m for m in set(sys.modules) - before), took]))
"""


def test_the_other_processes_of_airflow_load_nothing_for_it(tmp_path: Path) -> None:
    environment = {**os.environ, **ENVIRONMENT, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True, timeout=120)
    names, errors, modules, took = json.loads(done.stdout.splitlines()[-1])
    assert "homelake" in names
    assert not errors
    assert not [m for m in modules if m.startswith(("include", "fastapi", "kubernetes", "boto3", "pyarrow"))]
    assert took < 0.05, "processor seconds for all plugins"
