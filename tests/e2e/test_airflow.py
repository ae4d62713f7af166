"""Airflow as people use it: standalone, in a real browser, with its scheduler. HOMELAKE_SCREENSHOTS names a folder that keeps the pictures."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.e2e.airflow_server import Airflow, chromium, picture, standalone, until
from tests.e2e.conftest import Site
from tests.e2e.test_bootstrap import held_by_airflow

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def airflow(converged: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """`./lake airflow standalone` on the lab, with the Spark job declared for every minute."""
    with standalone(converged, tmp_path_factory.mktemp("airflow"), "* * * * *") as running:
        yield running


@pytest.fixture(scope="module")
def page(airflow: Airflow) -> Iterator[Any]:
    """Chromium on Airflow's pages."""
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 1440, "height": 900}, base_url=airflow.url)


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
    airflow.schedule(None)
    assert airflow.finished("lake_spark", run) == "success"
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


@pytest.mark.long
@pytest.mark.parametrize(
    ("dag", "field"), [("lake_governance", "Remediate"), ("lake_rotate_keys", "Root"), ("lake_backup", "Mode"), ("lake_upgrade_minio", "Snapshot")]
)
def test_day_two_begins_from_its_form(airflow: Airflow, page: Any, converged: Site, dag: str, field: str) -> None:
    """Each with what its form proposes: on a lake that is as declared all of them end well, and leave it so."""
    airflow.call("PATCH", f"/dags/{dag}", is_paused=False)
    page.goto(f"/dags/{dag}")
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_role("dialog").get_by_text(field).first.wait_for(timeout=30_000)
    page.wait_for_timeout(700)  # until the form has come up
    picture(page, f"form-{dag}")
    page.get_by_role("dialog").get_by_role("button", name="Trigger").click()
    run = until(lambda: airflow.runs(dag, run_type="manual"), 60, f"run of {dag}")[0]
    assert airflow.finished(dag, run) == "success", airflow.tasks(dag, run)
    page.goto(f"/dags/{dag}/runs/{run}")
    page.get_by_text("success").or_(page.get_by_text("Success")).first.wait_for(timeout=30_000)
    page.wait_for_timeout(1500)
    picture(page, f"run-{dag}")
    assert converged.plan()[0] == 0


def test_no_secret_is_in_its_database_or_logs(airflow: Airflow, converged: Site) -> None:
    held_by_airflow(converged, airflow.home)
