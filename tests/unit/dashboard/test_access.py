"""Who gets what: nobody without Airflow's login, readers of lake_governance everything, and nobody may write."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from include.dashboard.app import create_app
from tests.unit.dashboard.stand_ins import Site, application

SHOWN = [
    "/", "/index.html", "/assets/index-DkP3x_9a.js", "/favicon.svg", "/api/lake", "/api/snapshot", "/api/past", "/api/past/spark-jobs/old-1",
    "/api/applications/spark-jobs/job-1/series", "/api/applications/spark-jobs/job-1/log?pod=job-1-driver",
    "/api/applications/spark-jobs/job-1/manifest",
]  # fmt: skip
OTHERS = [
    "/api/live", "/metrics", "/docs", "/redoc", "/openapi.json", "/nosuch", "/assets/nosuch.js", "/assets/", "/api", "/api/", "//api/lake", "/../settings.py",
    "/assets/..%2f..%2fhomelake.py", "/docs/oauth2-redirect", "/api/applications/a/b/c/d",
]  # fmt: skip
WRITING = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]
Tokens = Callable[[str, str | None], str]


@pytest.fixture
def site() -> Site:
    site = Site()
    site.sweeps.sweep(application())
    return site


@pytest.fixture
def client(airflow: Any, site: Site, static: Path) -> Iterator[TestClient]:
    with TestClient(create_app(site, static), raise_server_exceptions=False) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_every_route_is_among_those_that_are_tried(client: TestClient) -> None:
    tried = {p.split("?")[0] for p in SHOWN + OTHERS}
    routes = {r.path.format(namespace="spark-jobs", name="old-1" if "past" in r.path else "job-1") for r in client.app.routes if r.path}  # type: ignore[attr-defined]
    assert routes
    assert routes <= tried


@pytest.mark.parametrize("method", ["GET", "HEAD", *WRITING])
@pytest.mark.parametrize("path", SHOWN + OTHERS)
def test_without_a_session_nothing_is_shown(client: TestClient, site: Site, path: str, method: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "page" not in answer.text
    assert not site.sweeps.started, "nobody's call starts a collector"


@pytest.mark.parametrize("path", SHOWN)
def test_a_viewer_reads(client: TestClient, token: Tokens, path: str) -> None:
    assert client.get(path, headers=bearer(token("viewer", "viewer"))).status_code == 200


@pytest.mark.parametrize("path", SHOWN + OTHERS)
def test_who_may_not_read_the_dag_sees_nothing(client: TestClient, token: Tokens, path: str) -> None:
    answer = client.get(path, headers=bearer(token("guest", None)))
    assert answer.status_code == 403
    assert answer.json()["error"].startswith("You may not read the DAG lake_governance.")


@pytest.mark.parametrize("method", WRITING)
@pytest.mark.parametrize("path", SHOWN + OTHERS)
def test_not_even_an_admin_writes(client: TestClient, token: Tokens, path: str, method: str) -> None:
    answer = client.request(method, path, headers=bearer(token("admin", "admin")))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/nosuch", "/assets/nosuch.js", "/assets/..%2f..%2fhomelake.py"])
def test_what_is_not_there_is_not_there_for_an_admin_either(client: TestClient, token: Tokens, path: str) -> None:
    assert client.get(path, headers=bearer(token("admin", "admin"))).status_code == 404


def test_a_session_is_airflows_cookie(client: TestClient, token: Tokens) -> None:
    assert client.get("/api/lake", headers={"Cookie": f"_token={token('viewer', 'viewer')}"}).json()["name"] == "lake"


@pytest.mark.parametrize("wrong", ["", "nonsense", "e30.e30.e30"])
def test_a_token_that_is_none_lets_nobody_in(client: TestClient, wrong: str) -> None:
    assert client.get("/api/lake", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401
    assert client.get("/api/lake", headers={"Cookie": f"_token={wrong}"}).status_code == 401


def test_a_token_ends(client: TestClient, airflow: Any) -> None:
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    over = airflow.generate_jwt(SimpleAuthManagerUser(username="admin", role="admin"), expiration_time_in_seconds=-3600)
    assert client.get("/api/lake", headers=bearer(over)).status_code == 401


def test_a_session_that_was_logged_out_is_over(client: TestClient, airflow: Any, token: Tokens) -> None:
    mine = token("viewer", "viewer")
    assert client.get("/api/lake", headers=bearer(mine)).status_code == 200
    airflow.revoke_token(mine)
    assert client.get("/api/lake", headers=bearer(mine)).status_code == 401


def test_a_browser_is_told_where_to_log_in(client: TestClient) -> None:
    answer = client.get("/?dag_id=a%22b", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (401, "text/html; charset=utf-8")
    assert 'href="/api/v2/auth/login?next=%2F%3Fdag_id%3Da%2522b"' in answer.text


def test_a_socket_is_refused(client: TestClient, token: Tokens) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/api/live", headers=bearer(token("admin", "admin"))):
        pass


def test_others_get_the_figures_of_the_newest_sweep_and_of_the_lake(client: TestClient, token: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    def exposition(snapshot: Any, lake: Any) -> str:
        return f"{snapshot.applications[0].name} {lake['name']}\n"

    monkeypatch.setitem(sys.modules, "include.lake.metrics.exposition", SimpleNamespace(exposition=exposition))
    answer = client.get("/metrics", headers=bearer(token("viewer", "viewer")))
    assert (answer.text, answer.headers["Content-Type"]) == ("job-1 lake\n", "text/plain; version=0.0.4; charset=utf-8")


# Logs


LOG = "/api/applications/spark-jobs/job-1/log"


def test_a_log_is_that_of_the_jobs_own_pods(client: TestClient, site: Site, token: Tokens) -> None:
    reader = bearer(token("viewer", "viewer"))
    assert client.get(f"{LOG}?pod=job-1-driver&lines=7", headers=reader).text == "a line\n"
    for path in (
        f"{LOG}?pod=kube-apiserver",
        f"{LOG.replace('spark-jobs', 'kube-system')}?pod=job-1-driver",
        f"{LOG.replace('job-1', 'job-2')}?pod=job-1-driver",
    ):
        assert client.get(path, headers=reader).status_code == 404
    for query in ("pod=job-1-driver&lines=0", "pod=job-1-driver&lines=5001", "pod=job-1-driver&lines=x"):
        assert client.get(f"{LOG}?{query}", headers=reader).status_code == 422
    assert client.get(LOG, headers=reader).text == "a line\n", "the driver's, when none is named"
    assert site.sweeps.asked == [("spark-jobs", "job-1", "job-1-driver", 7), ("spark-jobs", "job-1", "job-1-driver", 200)]


@pytest.mark.parametrize(
    ("closed", "origin", "status"), [("lake_governance", True, 403), ("lake_spark", True, 403), ("lake_spark", False, 200), ("other", True, 200)]
)
def test_logs_are_for_who_may_read_those_of_tasks(
    client: TestClient, site: Site, airflow: Any, token: Tokens, monkeypatch: pytest.MonkeyPatch, closed: str, origin: bool, status: int
) -> None:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity

    asked = airflow.is_authorized_dag
    monkeypatch.setattr(
        airflow, "is_authorized_dag", lambda **k: not (k["access_entity"] is DagAccessEntity.TASK_LOGS and k["details"].id == closed) and asked(**k)
    )
    job = application()
    site.sweeps.sweep(job if origin else replace(job, origin=None))
    reader = bearer(token("viewer", "viewer"))
    assert client.get("/api/snapshot", headers=reader).status_code == 200
    assert client.get(f"{LOG}?pod=job-1-driver", headers=reader).status_code == status
    assert len(site.sweeps.asked) == (status == 200)


# The application itself


MANIFEST = "/api/applications/spark-jobs/job-1/manifest"


def test_the_application_is_shown_as_text_and_only_one_that_is_there(client: TestClient, token: Tokens) -> None:
    reader = bearer(token("viewer", "viewer"))
    answer = client.get(MANIFEST, headers=reader)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert yaml.safe_load(answer.text)["status"] == {"applicationState": {"state": "RUNNING"}}
    for path in (MANIFEST.replace("job-1", "job-2"), MANIFEST.replace("spark-jobs", "kube-system")):
        assert client.get(path, headers=reader).status_code == 404


@pytest.mark.parametrize(("origin", "status"), [(True, 403), (False, 200)])
def test_the_application_of_a_dag_is_for_who_may_read_the_dag(
    client: TestClient, site: Site, airflow: Any, token: Tokens, monkeypatch: pytest.MonkeyPatch, origin: bool, status: int
) -> None:
    asked = airflow.is_authorized_dag
    monkeypatch.setattr(airflow, "is_authorized_dag", lambda **k: k["details"].id != "lake_spark" and asked(**k))
    job = application()
    site.sweeps.sweep(job if origin else replace(job, origin=None))
    assert client.get(MANIFEST, headers=bearer(token("viewer", "viewer"))).status_code == status


# Headers


@pytest.mark.parametrize("path", [*SHOWN, "/nosuch"])
@pytest.mark.parametrize("role", ["admin", "none", None])
def test_every_answer_is_framed_by_airflow_only_and_is_what_it_says(client: TestClient, token: Tokens, path: str, role: str | None) -> None:
    headers = client.get(path, headers={} if role == "none" else bearer(token("x", role))).headers
    assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"]


@pytest.mark.parametrize(
    ("path", "kept"),
    [("/", "no-cache"), ("/favicon.svg", "no-cache"), ("/assets/index-DkP3x_9a.js", "private, max-age=31536000, immutable"), ("/api/lake", "no-store"),
     ("/api/snapshot", "no-store"), ("/nosuch", "no-store"), ("/assets/nosuch-DkP3x_9a.js", "no-store")],
)  # fmt: skip
def test_only_what_never_changes_is_kept_by_browsers(client: TestClient, token: Tokens, path: str, kept: str) -> None:
    assert client.get(path, headers=bearer(token("viewer", "viewer"))).headers["Cache-Control"] == kept


def test_a_refusal_is_not_kept(client: TestClient) -> None:
    assert client.get("/assets/index-DkP3x_9a.js").headers["Cache-Control"] == "no-store"


def test_a_page_that_was_not_built_is_told(airflow: Any, site: Site, tmp_path: Path, token: Tokens) -> None:
    with TestClient(create_app(site, tmp_path / "none")) as client:
        answer = client.get("/", headers=bearer(token("viewer", "viewer")))
    assert (answer.status_code, "Build it: make ui" in answer.text) == (404, True)
