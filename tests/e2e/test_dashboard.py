"""The dashboard in a real browser inside a real Airflow with users of its own, while real Spark jobs run, die, and cannot be reached."""

import json
import re
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests

from include.adapters.metrics.past import Past
from include.adapters.metrics.record import Recording, recorded
from tests.e2e.airflow_server import Airflow, chromium, picture, standalone, until
from tests.e2e.conftest import Site
from tests.e2e.dashboard import USERS, Jobs, displayed, epoch, frame, in_its_tab, seen_there
from tests.e2e.test_governance import kubernetes_away
from tests.unit.lake.metrics.test_exposition import snapshot

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
OLD = 30.0  # seconds: a kubelet measures about every ten, and two cores are busy with the rest
ROUTES = [
    "",
    "index.html",
    "api/lake",
    "api/snapshot",
    "api/live",
    "api/past",
    "api/applications/spark-jobs/x/series",
    "api/applications/spark-jobs/x/manifest",
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


@pytest.fixture(scope="module")
def jobs(converged: Site, airflow: Airflow) -> Iterator[Jobs]:
    made = Jobs(converged, airflow)
    yield made
    made.clear()


@pytest.fixture(scope="module")
def busy(jobs: Jobs) -> str:
    """A job that runs while the tests look at it."""
    name = jobs.submit("busy", 300)
    until(lambda: jobs.seen(name).get("now") and len([p for p in jobs.seen(name)["pods"] if p["now"]]) == 2, 180, "figures of driver and executor")
    return name


@pytest.fixture(scope="module")
def finished(airflow: Airflow, jobs: Jobs) -> tuple[str, dict[str, Any]]:
    """A run of lake_spark that is over, and its job as the lake keeps it."""
    jobs.clear()  # or it would wait for their room
    airflow.call("PATCH", "/dags/lake_spark", is_paused=False)
    run = airflow.trigger("lake_spark")
    assert airflow.finished("lake_spark", run) == "success"
    (kept,) = (j for j in jobs.get("api/past") if j["origin"] and j["origin"]["run_id"] == run)
    return run, kept


@pytest.fixture(scope="module")
def failed(jobs: Jobs, converged: Site) -> str:
    """A job whose code raises, seen through and kept as a task does it."""
    jobs.clear()
    name = jobs.submit("raises", "soon")  # no number
    past = Past(jobs.bench.parts.connections("lake_s3"), converged.lake.spec.spark.bucket, converged.lake.probe_prefix)
    with recorded(Recording.of(jobs.bench.parts.kubernetes, lambda: past, "spark-jobs", name, print)):
        until(lambda: (now := jobs.bench.apps.get(name)) and now.over, 180, "end of the job")
    return name


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
                if name == pod["name"] and abs(epoch(stamp) - pod["now"]["at"]) < 0.5:
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
    course_of_tasks = lambda: jobs.get(f"api/applications/spark-jobs/{busy}/series")["total"].get("tasks", [])  # noqa: E731
    until(lambda: sum(n is not None for n in course_of_tasks()) > 1, 90, "a line of running tasks")
    page.wait_for_timeout(3000)
    picture(page, "dashboard-job")


def test_the_page_shows_the_figures_of_the_api_and_how_old_they_are(jobs: Jobs, busy: str, page: Any) -> None:
    driver = f"{busy}-driver"
    told: dict[float, dict[str, Any]] = {}
    compared = set[float]()
    deadline = time.monotonic() + 60
    while len(compared) < 2 and time.monotonic() < deadline:
        now = next(p["now"] for p in jobs.seen(busy)["pods"] if p["name"] == driver)
        told[round(now["at"], 3)] = now
        at, cores, memory, age = displayed(page, driver)
        assert age < OLD, "the page shows old figures"
        assert age == pytest.approx(time.time() - at, abs=5), "and tells their age as it is"
        if same := told.get(round(at, 3)):
            assert cores == pytest.approx(same["cpu"], abs=0.006)
            assert memory == pytest.approx(same["memory"], rel=0.01)
            compared.add(at)
        time.sleep(0.5)
    assert len(compared) >= 2, "no two samples were seen both on the page and in the API"
    assert re.search(r"live, (now|[\d.]+ s ago)", frame(page).locator(".hearing").inner_text())


def test_it_leads_to_the_application_and_to_what_it_writes(jobs: Jobs, busy: str, page: Any, converged: Site) -> None:
    application = frame(page).get_by_role("link", name=f"SparkApplication {busy}").get_attribute("href")
    text = requests.get(urljoin(jobs.url, application), headers=jobs.headers, timeout=30).text
    assert "kind: SparkApplication" in text
    assert "state: RUNNING" in text
    keys = json.loads(converged.kubectl("-n", "spark-jobs", "get", "secret", converged.lake.spec.kubernetes.secret.name, "-o", "json"))["data"].values()
    assert not [k for k in keys if b64decode(k).decode() in text]
    console = frame(page).get_by_role("link", name=f"s3a://datalake/test-busy/{busy}/").get_attribute("href")
    host = urlsplit(converged.lab["S3_ENDPOINT"]).hostname
    assert console == f"http://{host}:{converged.lake.spec.minio.console_port}/browser/datalake/test-busy%2F{busy}%2F"
    assert requests.get(console, timeout=30).status_code == 200


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


def test_a_job_of_a_dag_is_found_from_its_run_and_kept_in_the_lake(finished: tuple[str, dict[str, Any]], jobs: Jobs, page: Any) -> None:
    run, kept = finished
    assert kept["phase"] == "done"
    whole = jobs.get(f"api/past/spark-jobs/{kept['name']}")
    assert len(whole["series"]["total"]["at"]) >= 1
    seen_there(in_its_tab(page, f"/dags/lake_spark/runs/{run}", "homelake-run"), kept["name"])
    picture(page, "dashboard-run")


def test_it_is_found_from_its_task_and_from_the_try_of_it(finished: tuple[str, dict[str, Any]], page: Any) -> None:
    run, kept = finished
    seen_there(in_its_tab(page, "/dags/lake_spark/tasks/spark_job", "homelake-task"), kept["name"])
    seen_there(in_its_tab(page, f"/dags/lake_spark/runs/{run}/tasks/spark_job", "homelake-try"), kept["name"])
    other = in_its_tab(page, f"/dags/lake_spark/runs/{run}/tasks/check_output", "homelake-try")
    other.get_by_text("No Spark job of this run is known here").wait_for(timeout=30_000)


def test_a_job_whose_code_raises_is_seen_with_its_error(finished: tuple[str, dict[str, Any]], failed: str, jobs: Jobs, page: Any) -> None:
    until(lambda: jobs.seen(failed).get("phase") == "failed", 90, "failed job in a sweep")
    seen = jobs.seen(failed)
    assert seen["churn"]["out_of_memory"] == 0
    assert "ExitCode: 1" in seen["error"], seen["error"]
    page.goto("/plugin/homelake-jobs")
    row = frame(page).get_by_role("row").filter(has=page.get_by_role("link", name=failed))
    row.wait_for(timeout=30_000)
    assert row.locator(".status").inner_text().split() == ["✕", "failed"], "and not for want of memory"
    frame(page).get_by_role("link", name=failed).click()
    alert = frame(page).get_by_role("alert").filter(has_text="ExitCode: 1")
    alert.wait_for(timeout=15_000)
    assert seen["error"] in alert.inner_text()
    assert frame(page).get_by_text("killed for want of memory").count() == 0
    frame(page).get_by_role("button", name="Show the last 200 lines").click()
    frame(page).get_by_text("ValueError: could not convert string to float: 'soon'").wait_for(timeout=30_000)


def test_two_jobs_that_are_over_are_compared(finished: tuple[str, dict[str, Any]], failed: str, jobs: Jobs, page: Any) -> None:
    names = [finished[1]["name"], failed]
    jobs.bench.apps.delete(failed)  # what is in the cluster still is not among the earlier ones
    until(lambda: not jobs.seen(failed), 90, "end of the application")
    page.goto("/plugin/homelake-jobs")
    for name in names:
        frame(page).get_by_label(f"Compare {name}, started").check(timeout=30_000)
    frame(page).get_by_role("link", name="Compare the two").click()
    frame(page).get_by_role("heading", name="Two jobs, each from its start").wait_for(timeout=30_000)
    for name in names:
        frame(page).get_by_role("columnheader", name=name).wait_for(timeout=15_000)
    table = {row[0]: row[1:] for row in (r.split("\t") for r in frame(page).locator("tbody tr").all_inner_texts())}
    assert all(re.search(r"\d", cell) for cell in table["Lasted"]), table
    kept = [jobs.get(f"api/past/spark-jobs/{name}")["application"] for name in names]
    assert [int(cell.replace(",", "")) for cell in table["Rows written"]] == [a["totals"]["output_rows"] for a in kept]
    for title in ("CPU, cores", "Memory"):
        chart = frame(page).get_by_role("img", name=f"{title}, {names[0]}")
        assert names[1] in chart.get_attribute("aria-label")
        assert chart.locator("canvas").count() == 1
    picture(page, "dashboard-compared")


def test_earlier_streams_of_one_name_are_told_apart(jobs: Jobs, page: Any, converged: Site) -> None:
    past = Past(jobs.bench.parts.connections("lake_s3"), converged.lake.spec.spark.bucket, converged.lake.probe_prefix)
    stream, began = next(a for a in snapshot().applications if a.stream), time.time() - 7200
    two = [replace(stream, name="seen-twice", phase="done", started=at, ended=at + 90 + i) for i, at in enumerate((began, began + 600))]
    keys = [past.write(one, {"total": {"at": [one.started]}}) for one in two]
    try:
        page.goto("/plugin/homelake-jobs")
        boxes = frame(page).get_by_label("Compare seen-twice, started")
        boxes.first.wait_for(timeout=30_000)
        assert boxes.count() == 2
        for box in boxes.all():
            box.check()
        frame(page).get_by_role("link", name="Compare the two").click()
        frame(page).get_by_role("row", name=re.compile("Lasted")).wait_for(timeout=15_000)
        heads = frame(page).get_by_role("columnheader", name="seen-twice").all_inner_texts()
        assert len(set(heads)) == 2, heads
        assert {"1 min 30 s", "1 min 31 s"} <= set(frame(page).get_by_role("row", name=re.compile("Lasted")).inner_text().split("\t"))
        page.goto("/plugin/homelake-jobs")
        frame(page).get_by_role("link", name="seen-twice").last.click(timeout=30_000)
        frame(page).get_by_text("1 min 30 s").first.wait_for(timeout=15_000)  # the earlier of the two, though another has its name
    finally:
        for key in keys:
            past.s3.delete_object(Bucket=past.bucket, Key=key)


def test_the_keyboard_skips_to_the_content_of_the_same_page(page: Any) -> None:
    page.goto("/homelake/#/jobs")
    page.get_by_role("heading", name="Spark jobs").wait_for(timeout=30_000)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("[location.hash, document.activeElement.id]") == ["#/jobs", "content"]
    page.goto("/homelake/#/%")
    page.reload()
    page.get_by_role("heading", name="Spark jobs").wait_for(timeout=30_000)


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
