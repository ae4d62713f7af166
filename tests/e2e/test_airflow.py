"""Airflow as people use it: standalone, in a real browser, with its scheduler. HOMELAKE_SCREENSHOTS names a folder that keeps the pictures."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.conftest import ROOT
from tests.e2e.conftest import Site
from tests.e2e.test_bootstrap import held_by_airflow

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync"]  # fmt: skip


class Airflow:
    """A running Airflow: its address, and its REST API."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self.home = url, folder, folder / "home"
        self.session = requests.Session()

    def schedule(self, cron: str | None) -> None:
        """Declare the Spark job's schedule, and wait until Airflow has read it."""
        content = yaml.safe_load(Path("include/lake.yaml").read_text())
        content["spark"]["schedule"] = cron
        (self.folder / "lake.yaml").write_text(yaml.safe_dump(content))
        if "Authorization" in self.session.headers:
            until(lambda: self.call("GET", "/dags/lake_spark")["timetable_summary"] in (cron, None), 120, "new schedule")

    def login(self) -> None:
        """Take a token: everybody on this machine is an administrator."""
        token = self.session.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, **body: Any) -> Any:
        """One call of the REST API."""
        answer = self.session.request(method, f"{self.url}/api/v2{path}", json=body or None, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def trigger(self, dag: str, **conf: Any) -> str:
        """Start a run; its id."""
        return str(self.call("POST", f"/dags/{dag}/dagRuns", logical_date=None, conf=conf)["dag_run_id"])

    def runs(self, dag: str, **only: str) -> list[str]:
        """The ids of its runs, the newest first."""
        wanted = "&".join(["order_by=-run_after", *(f"{k}={v}" for k, v in only.items())])
        return [str(r["dag_run_id"]) for r in self.call("GET", f"/dags/{dag}/dagRuns?{wanted}")["dag_runs"]]

    def tasks(self, dag: str, run: str) -> dict[str, str]:
        """The state of each task of a run."""
        found = self.call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {t["task_id"]: t["state"] for t in found}

    def finished(self, dag: str, run: str, seconds: float = 420) -> str:
        """The run's state once it is over."""

        def look() -> str:
            state = str(self.call("GET", f"/dags/{dag}/dagRuns/{run}")["state"])
            return state if state in ("success", "failed") else ""

        return until(look, seconds, f"the end of {dag} {run}")


def until(look: Callable[[], Any], seconds: float, what: str) -> Any:
    """Look until there is something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"no {what} within {seconds:.0f} s"
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def airflow(converged: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """`./lake airflow standalone` on the lab, with the Spark job declared for every minute."""
    folder = tmp_path_factory.mktemp("airflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = Airflow(f"http://127.0.0.1:{port}", folder)
    running.schedule("* * * * *")
    own = {
        "AIRFLOW_HOME": str(folder / "home"),
        "HOMELAKE_FILE": str(folder / "lake.yaml"),
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "20",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
    }
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([str(ROOT / "lake"), "airflow", "standalone"], env=converged.lab.environment(own), cwd=ROOT,
                                   stdout=log, stderr=log, start_new_session=True)  # fmt: skip

    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            try:
                health = running.session.get(f"{running.url}/api/v2/monitor/health", timeout=5).json()
            except (requests.RequestException, ValueError):
                return False
            return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))

        until(answers, 180, "healthy Airflow")
        running.login()
        until(lambda: {"lake_bootstrap", "lake_spark"} <= {d["dag_id"] for d in running.call("GET", "/dags")["dags"]}, 90, "DAGs")
        yield running
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


@pytest.fixture(scope="module")
def page(airflow: Airflow) -> Iterator[Any]:
    """Chromium on Airflow's pages."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield browser.new_page(viewport={"width": 1440, "height": 900}, base_url=airflow.url)
        browser.close()


def picture(page: Any, name: str) -> None:
    """Keep a screenshot, where somebody wants it."""
    if folder := os.environ.get("HOMELAKE_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_bootstrap_from_the_form(airflow: Airflow, page: Any) -> None:
    """Trigger it from its form, see the grid green, follow its links."""
    airflow.call("PATCH", "/dags/lake_bootstrap", is_paused=False)
    page.goto("/dags/lake_bootstrap")
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_text("Check only").first.wait_for(timeout=30_000)
    page.get_by_text("Names of resources whose change may lose data").wait_for()
    picture(page, "bootstrap-form")
    page.get_by_role("dialog").get_by_role("button", name="Trigger").click()
    run = until(lambda: airflow.runs("lake_bootstrap"), 60, "run of lake_bootstrap")[0]
    assert airflow.finished("lake_bootstrap", run) == "success"
    assert set(airflow.tasks("lake_bootstrap", run).values()) == {"success"}
    page.goto(f"/dags/lake_bootstrap/runs/{run}")
    page.get_by_text("minio_service").first.wait_for(timeout=30_000)
    page.wait_for_timeout(2000)
    picture(page, "bootstrap-grid")


@pytest.mark.parametrize(("task", "name", "link"), [("vm_disk", "Proxmox VM", ":8006/#v1:0:=qemu%2F100"), ("minio_service", "MinIO console", ":9001/")])
def test_links_lead_there(airflow: Airflow, page: Any, task: str, name: str, link: str) -> None:
    run = airflow.runs("lake_bootstrap")[0]
    page.goto(f"/dags/lake_bootstrap/runs/{run}/tasks/{task}/details")
    button = page.get_by_role("link", name=name)
    button.wait_for(timeout=30_000)
    picture(page, f"link-{task}")
    href = button.get_attribute("href")
    assert href.endswith(link), href
    assert requests.get(href.split("#")[0], timeout=20, verify=False).status_code in (200, 401, 501)


def test_the_scheduler_starts_the_spark_job(airflow: Airflow, page: Any) -> None:
    airflow.call("PATCH", "/dags/lake_spark", is_paused=False)
    run = until(lambda: airflow.runs("lake_spark", run_type="scheduled"), 120, "run started by the scheduler")[-1]
    assert airflow.finished("lake_spark", run) == "success"
    airflow.schedule(None)
    until(lambda: not airflow.runs("lake_spark", state="running") + airflow.runs("lake_spark", state="queued"), 420, "end of the last scheduled run")
    page.goto(f"/dags/lake_spark/runs/{run}")
    page.get_by_text("spark_job").first.wait_for(timeout=30_000)
    page.wait_for_timeout(2000)
    picture(page, "spark-scheduled")


def _applications(site: Site) -> set[str]:
    return set(site.kubectl("-n", "spark-jobs", "get", "sparkapplications", "-o", "name").split())


def test_a_cleared_task_submits_anew(airflow: Airflow, converged: Site) -> None:
    """Never a success taken from the application of an earlier try."""
    run = airflow.runs("lake_spark", run_type="scheduled", state="success")[0]
    path = f"/dags/lake_spark/dagRuns/{run}/taskInstances/spark_job"
    first = airflow.call("GET", f"{path}/xcomEntries/return_value")["value"]
    airflow.call("POST", "/dags/lake_spark/clearTaskInstances", dry_run=False, dag_run_id=run, task_ids=["spark_job"], only_failed=False)
    until(lambda: airflow.call("GET", path)["try_number"] == 2, 120, "second try")
    assert airflow.finished("lake_spark", run) == "success"
    second = airflow.call("GET", f"{path}/xcomEntries/return_value")["value"]
    assert str(first) != str(second), "the second try took over the first one's application"
    assert "COMPLETED" in str(second)


def test_a_killed_task_removes_the_application_and_its_pods(airflow: Airflow, converged: Site) -> None:
    before = _applications(converged)
    run = airflow.trigger("lake_spark")
    name = until(lambda: _applications(converged) - before, 120, "SparkApplication").pop()
    label = f"sparkoperator.k8s.io/app-name={name.rpartition('/')[2]}"
    until(lambda: converged.kubectl("-n", "spark-jobs", "get", "pods", "-l", label, "-o", "name"), 120, "driver pod")
    airflow.call("PATCH", f"/dags/lake_spark/dagRuns/{run}/taskInstances/spark_job", new_state="failed")
    until(lambda: name not in _applications(converged), 90, "end of the application")
    until(lambda: not converged.kubectl("-n", "spark-jobs", "get", "pods", "-l", label, "-o", "name"), 90, "end of its pods")


def test_no_secret_is_in_its_database_or_logs(airflow: Airflow, converged: Site) -> None:
    held_by_airflow(converged, airflow.home)
