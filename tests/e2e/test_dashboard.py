"""The dashboard in a real browser inside a real Airflow with users of its own, while real Spark jobs run, die, and cannot be reached."""

import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from include.lake.s3a import s3a_profile
from include.lake.spark import Job, application
from tests.e2e.airflow_server import Airflow, chromium, picture, standalone, until
from tests.e2e.conftest import Site
from tests.e2e.test_governance import kubernetes_away
from tests.e2e.test_spark import Bench

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
USERS = {"ada": ("admin", "pw-of-ada-1"), "vic": ("viewer", "pw-of-vic-1")}
ROUTES = [
    "",
    "index.html",
    "api/lake",
    "api/snapshot",
    "api/live",
    "api/past",
    "api/applications/spark-jobs/x/series",
    "metrics",
    "no/such/path",
    "openapi.json",
    "docs",
]


@pytest.fixture(scope="module")
def airflow(converged: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    with standalone(converged, tmp_path_factory.mktemp("airflow"), None, USERS) as running:
        yield running


@pytest.fixture(scope="module")
def page(airflow: Airflow) -> Iterator[Any]:
    """Chromium, where the viewer has logged in as people do."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900}, base_url=airflow.url)
        page.goto("/")
        page.get_by_label("Username").fill("vic")
        page.get_by_label("Password").fill(USERS["vic"][1])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("Dags").first.wait_for(timeout=30_000)
        yield page


class Jobs:
    """Spark jobs submitted by hand, and what the API and the kubelet say of them."""

    def __init__(self, site: Site, airflow: Airflow) -> None:
        self.site, self.bench, self.url = site, Bench(site), f"{airflow.url}/homelake/"
        self.headers = {"Authorization": f"Bearer {airflow.token('vic', USERS['vic'][1])}"}
        self.names: list[str] = []

    def submit(self, kind: str, seconds: float) -> str:
        name = f"{kind}-{uuid.uuid4().hex[:8]}"
        job = Job("busy.py", (f"s3a://datalake/test-busy/{name}/", str(seconds)))
        body = application(job, self.site.lake.where, s3a_profile(self.site.lab["S3_ENDPOINT"], self.site.lake.spec.minio.region))
        self.bench.apps.submit(body, name, {"busy.py": Path("tests/e2e/jobs/busy.py").read_text()})
        self.names.append(name)
        return name

    def get(self, path: str) -> Any:
        answer = requests.get(self.url + path, headers=self.headers, timeout=30)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    def seen(self, name: str) -> dict[str, Any]:
        """The job in the newest snapshot; empty when it is not there."""
        return next((a for a in self.get("api/snapshot")["applications"] if a["name"] == name), {})

    def kubelet(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The use of each pod by the moment of the kubelet's sample, from the kubelet itself. CPU and memory are sampled together or not at all."""
        node = self.site.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
        summary = json.loads(self.site.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
        return {(p["podRef"]["name"], p["cpu"]["time"]): p["memory"] | p["cpu"] for p in summary["pods"] if p.get("memory") and p.get("cpu")}

    def clear(self) -> None:
        for name in self.names:
            self.bench.apps.delete(name)


@pytest.fixture(scope="module")
def jobs(converged: Site, airflow: Airflow) -> Iterator[Jobs]:
    made = Jobs(converged, airflow)
    yield made
    made.clear()


@pytest.fixture(scope="module")
def busy(jobs: Jobs) -> str:
    """A job that runs while the tests look at it."""
    name = jobs.submit("busy", 240)
    until(lambda: jobs.seen(name).get("now") and len([p for p in jobs.seen(name)["pods"] if p["now"]]) == 2, 180, "figures of driver and executor")
    return name


def frame(page: Any) -> Any:
    """The page inside Airflow's frame."""
    return page.frame_locator("iframe")


def test_without_a_login_nothing_is_there_and_a_viewer_cannot_act(airflow: Airflow) -> None:
    for route in ROUTES:
        assert requests.get(f"{airflow.url}/homelake/{route}", timeout=30, allow_redirects=False).status_code == 401, route
    viewer = {"Authorization": f"Bearer {airflow.token('vic', USERS['vic'][1])}"}
    assert requests.get(f"{airflow.url}/homelake/api/lake", headers=viewer, timeout=30).status_code == 200
    assert requests.post(f"{airflow.url}/homelake/api/lake", headers=viewer, timeout=30).status_code == 405
    run = requests.post(f"{airflow.url}/api/v2/dags/lake_governance/dagRuns", headers=viewer, json={"logical_date": None}, timeout=30)
    assert run.status_code == 403


def test_the_lake_before_and_after_its_first_check(airflow: Airflow, page: Any) -> None:
    page.goto("/plugin/homelake-lake")
    frame(page).get_by_text("Not checked yet").wait_for(timeout=30_000)
    frame(page).get_by_role("button", name="Check now").click()
    frame(page).get_by_text("You may not run lake_governance").wait_for(timeout=15_000)
    airflow.call("PATCH", "/dags/lake_governance", is_paused=False)
    run = airflow.trigger("lake_governance")
    assert airflow.finished("lake_governance", run) == "success"
    page.reload()
    frame(page).get_by_text("parts as declared").wait_for(timeout=30_000)
    assert frame(page).get_by_text("datalake", exact=True).count() >= 1
    assert re.search(r"spark-user made .+ ago", frame(page).locator("section", has=page.locator("#keys")).inner_text())
    page.wait_for_timeout(800)
    picture(page, "dashboard-lake")


def test_it_moves_with_the_job_and_agrees_with_the_kubelet(jobs: Jobs, busy: str, page: Any) -> None:
    page.goto("/plugin/homelake-jobs")
    frame(page).get_by_role("link", name=busy).wait_for(timeout=30_000)
    page.wait_for_timeout(2500)
    picture(page, "dashboard-jobs")
    compared, moments = 0, set[float]()
    deadline = time.monotonic() + 60
    while (compared < 2 or len(moments) < 2) and time.monotonic() < deadline:
        seen, kubelet = jobs.seen(busy), jobs.kubelet()
        for pod in seen["pods"]:
            if not pod["now"]:
                continue
            moments.add(pod["now"]["at"])
            for (name, stamp), said in kubelet.items():
                if name == pod["name"] and abs(_epoch(stamp) - pod["now"]["at"]) < 0.5:
                    assert pod["now"]["memory"] == pytest.approx(said["workingSetBytes"], rel=0.1)
                    assert pod["now"]["cpu"] == pytest.approx(said["usageNanoCores"] / 1e9, rel=0.1, abs=0.02)
                    compared += 1
        time.sleep(1)
    assert compared >= 2, "no sample of the same moment was seen on both sides"
    assert len(moments) >= 2, "the figures did not move"
    frame(page).get_by_role("link", name=busy).click()
    frame(page).get_by_role("heading", name="Driver and executors").wait_for(timeout=15_000)
    page.wait_for_timeout(3000)
    assert frame(page).locator("canvas").count() >= 4
    course = jobs.get(f"api/applications/spark-jobs/{busy}/series")["total"]
    assert len(course["at"]) >= 2
    # A driver that has just begun answers late; then its tasks are counted.
    until(lambda: jobs.seen(busy)["totals"]["done"] > 0, 90, "ended tasks")
    page.wait_for_timeout(3000)
    picture(page, "dashboard-job")


def _epoch(stamp: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def test_it_is_in_prometheus_form_and_in_the_terminal(jobs: Jobs, busy: str, converged: Site) -> None:
    text = requests.get(f"{jobs.url}metrics", headers=jobs.headers, timeout=30).text
    assert f'homelake_spark_application_phase{{application="{busy}",namespace="spark-jobs",phase="running"}} 1.0' in text
    assert "homelake_lake_check_timestamp_seconds" in text
    shown = converged.lab.lake("top", "--once").stdout
    assert busy in shown
    assert "executor 1" in shown


def test_a_killed_executor_is_seen(jobs: Jobs, busy: str, page: Any, converged: Site) -> None:
    executor = next(p["name"] for p in jobs.seen(busy)["pods"] if p["role"] == "executor")
    converged.kubectl("-n", "spark-jobs", "delete", "pod", executor, "--now")
    until(lambda: jobs.seen(busy)["churn"]["lost"] >= 1, 90, "lost executor")
    frame(page).get_by_text("executors lost").first.wait_for(timeout=30_000)
    picture(page, "dashboard-executor-lost")


def test_a_cluster_out_of_reach_is_told_and_the_old_figures_stay(busy: str, page: Any, converged: Site) -> None:
    with kubernetes_away(converged):
        frame(page).get_by_text("Unable to reach Kubernetes").first.wait_for(timeout=60_000)
        assert frame(page).get_by_role("heading", name=busy).count() == 1
        picture(page, "dashboard-unreachable")
    until(lambda: frame(page).get_by_text("Unable to reach Kubernetes").count() == 0, 90, "end of the banner")


@pytest.mark.long
def test_out_of_memory_is_said_in_words(jobs: Jobs, busy: str, page: Any) -> None:
    jobs.bench.apps.delete(busy)
    name = jobs.submit("greedy", 0)
    until(lambda: jobs.seen(name).get("phase") == "failed", 240, "end of the greedy job")
    assert jobs.seen(name)["churn"]["out_of_memory"] >= 1
    page.goto("/plugin/homelake-jobs")
    frame(page).get_by_text("failed, out of memory").first.wait_for(timeout=30_000)
    frame(page).get_by_role("link", name=name).click()
    frame(page).get_by_text("killed for want of memory").wait_for(timeout=15_000)
    picture(page, "dashboard-out-of-memory")
    frame(page).get_by_role("button", name="Show the last 200 lines").click()
    frame(page).get_by_text("SparkContext").first.wait_for(timeout=30_000)


def test_a_job_of_a_dag_is_found_from_its_run_and_kept_in_the_lake(airflow: Airflow, jobs: Jobs, page: Any) -> None:
    jobs.clear()  # or it would wait for their room
    airflow.call("PATCH", "/dags/lake_spark", is_paused=False)
    run = airflow.trigger("lake_spark")
    assert airflow.finished("lake_spark", run) == "success"
    kept = [j for j in jobs.get("api/past") if j["origin"] and j["origin"]["run_id"] == run]
    assert [j["phase"] for j in kept] == ["done"]
    whole = jobs.get(f"api/past/spark-jobs/{kept[0]['name']}")
    assert len(whole["series"]["total"]["at"]) >= 1
    page.goto(f"/dags/lake_spark/runs/{run}")
    page.get_by_role("link", name="Spark jobs").last.click()
    frame(page).get_by_role("heading", name=kept[0]["name"]).or_(frame(page).get_by_role("link", name=kept[0]["name"])).first.wait_for(timeout=30_000)
    picture(page, "dashboard-run")


def test_a_minio_that_is_down_is_seen(airflow: Airflow, page: Any, converged: Site) -> None:
    converged.lab.ssh("sudo systemctl stop minio")
    try:
        run = airflow.trigger("lake_governance")
        assert airflow.finished("lake_governance", run) == "failed"
        page.goto("/plugin/homelake-lake")
        frame(page).get_by_text("differ").first.wait_for(timeout=30_000)
        picture(page, "dashboard-minio-down")
    finally:
        converged.lab.ssh("sudo systemctl start minio")


def test_it_fits_a_phone_and_follows_the_theme(airflow: Airflow, page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 780})
    page.emulate_media(color_scheme="dark")
    page.goto("/homelake/#/jobs")
    page.get_by_role("heading", name="Spark jobs").wait_for(timeout=30_000)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    assert paint < 1000, f"first paint after {paint} ms"
    picture(page, "dashboard-phone")
