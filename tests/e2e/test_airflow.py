"""Airflow as people use it: standalone, in a real browser, with its scheduler. HOMELAKE_SCREENSHOTS names a folder that keeps the pictures."""

import io
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests

from tests.e2e.airflow_server import Airflow, chromium, picture, standalone, until
from tests.e2e.conftest import Site
from tests.e2e.test_bootstrap import held_by_airflow
from tests.e2e.test_drift import quota

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


def triggered(airflow: Airflow) -> str:
    """A run of lake_spark, and the only one: its schedule of every minute is over."""
    airflow.schedule(None)
    airflow.call("PATCH", "/dags/lake_spark", is_paused=False)
    return airflow.trigger("lake_spark")


@pytest.mark.long
def test_a_cleared_task_submits_anew(airflow: Airflow, converged: Site) -> None:
    """Never a success taken from the application of an earlier try."""
    run = triggered(airflow)
    assert airflow.finished("lake_spark", run) == "success"
    path = f"/dags/lake_spark/dagRuns/{run}/taskInstances/spark_job"
    first = airflow.call("GET", f"{path}/xcomEntries/return_value")["value"]
    airflow.call("POST", "/dags/lake_spark/clearTaskInstances", dry_run=False, dag_run_id=run, task_ids=["spark_job"], only_failed=False)
    until(lambda: airflow.call("GET", path)["try_number"] == 2, 120, "second try")
    assert airflow.finished("lake_spark", run) == "success"
    second = airflow.call("GET", f"{path}/xcomEntries/return_value")["value"]
    assert str(first) != str(second), "the second try took over the first one's application"
    assert "COMPLETED" in str(second)


@pytest.mark.long
def test_a_triggerer_waits_for_a_deferrable_job_and_keeps_its_course(airflow: Airflow, converged: Site) -> None:
    airflow.call("PATCH", "/dags/spark_deferrable", is_paused=False)
    run = airflow.trigger("spark_deferrable")
    until(lambda: airflow.tasks("spark_deferrable", run).get("spark_job") == "deferred", 120, "deferral")
    assert airflow.finished("spark_deferrable", run) == "success"
    said = airflow.log("spark_deferrable", run, "spark_job")
    assert "Read Success!" in said
    (key,) = set(re.findall(r"what it used is kept in the lake: (\S+\.parquet)", said))
    course = pq.read_table(io.BytesIO(converged.s3().get_object(Bucket="datalake", Key=key)["Body"].read()), columns=["pod"])
    assert course["pod"].to_pylist().count("total") > 1, "only the end was kept, not the course"


@pytest.mark.parametrize("dag", ["lake_spark", pytest.param("spark_deferrable", marks=pytest.mark.long)])
def test_a_killed_task_removes_the_application_and_its_pods(airflow: Airflow, converged: Site, dag: str) -> None:
    airflow.call("PATCH", f"/dags/{dag}", is_paused=False)
    before = _applications(converged)
    run = airflow.trigger(dag)
    name = until(lambda: _applications(converged) - before, 120, "SparkApplication").pop()
    label = f"sparkoperator.k8s.io/app-name={name.rpartition('/')[2]}"
    until(lambda: converged.kubectl("-n", "spark-jobs", "get", "pods", "-l", label, "-o", "name"), 120, "driver pod")
    if dag == "spark_deferrable":
        until(lambda: airflow.tasks(dag, run)["spark_job"] == "deferred", 60, "deferral")
    airflow.call("PATCH", f"/dags/{dag}/dagRuns/{run}/taskInstances/spark_job", new_state="failed")
    until(lambda: name not in _applications(converged), 90, "end of the application")
    until(lambda: not converged.kubectl("-n", "spark-jobs", "get", "pods", "-l", label, "-o", "name"), 90, "end of its pods")


@pytest.mark.long
def test_a_killed_worker_leaves_no_second_driver(airflow: Airflow, converged: Site) -> None:
    """What its try left at work is removed before the next one submits."""
    before = _applications(converged)
    run = triggered(airflow)
    first = until(lambda: _applications(converged) - before, 120, "SparkApplication").pop()
    task = airflow.call("GET", f"/dags/lake_spark/dagRuns/{run}/taskInstances/spark_job")["id"]
    os.kill(int(converged.lab.run("pgrep", "-f", f"airflow worker -- {task}").split()[0]), signal.SIGKILL)
    until(lambda: _applications(converged) - before - {first}, 240, "another application")
    # Where Airflow takes longer to miss the worker than the job takes, there is nothing to remove.
    state = converged.kubectl("-n", "spark-jobs", "get", first, "--ignore-not-found", "-o", "jsonpath={.status.applicationState.state}")
    assert state in ("", "COMPLETED"), "two drivers of one task are at work"
    assert airflow.finished("lake_spark", run) == "success"
    if not state:
        assert "was still at work: it was removed with its pods" in airflow.log("lake_spark", run, "spark_job", 2)


def opened_form(page: Any, dag: str, field: str) -> Any:
    """The form that triggers a DAG, as it has come up with this field."""
    page.goto(f"/dags/{dag}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.get_by_text(field).first.wait_for(timeout=30_000)
    page.wait_for_timeout(700)
    return form


@pytest.mark.long
@pytest.mark.parametrize(
    ("dag", "field"), [("lake_governance", "Remediate"), ("lake_rotate_keys", "Root"), ("lake_backup", "Mode"), ("lake_upgrade_minio", "Snapshot")]
)
def test_day_two_begins_from_its_form(airflow: Airflow, page: Any, converged: Site, dag: str, field: str) -> None:
    """Each with what its form proposes: on a lake that is as declared all of them end well, and leave it so."""
    airflow.call("PATCH", f"/dags/{dag}", is_paused=False)
    form = opened_form(page, dag, field)
    picture(page, f"form-{dag}")
    form.get_by_role("button", name="Trigger").click()
    run = until(lambda: airflow.runs(dag, run_type="manual"), 60, f"run of {dag}")[0]
    assert airflow.finished(dag, run) == "success", airflow.tasks(dag, run)
    page.goto(f"/dags/{dag}/runs/{run}")
    page.get_by_text("success").or_(page.get_by_text("Success")).first.wait_for(timeout=30_000)
    page.wait_for_timeout(1500)
    picture(page, f"run-{dag}")
    assert converged.plan()[0] == 0


@pytest.mark.long
def test_a_repair_is_ticked_in_the_form(airflow: Airflow, page: Any, converged: Site) -> None:
    """What somebody changed by hand fails the run from the form as it is, and is taken back by the one with its switch on."""
    airflow.call("PATCH", "/dags/lake_governance", is_paused=False)
    quota(converged)
    for remediate, end in ((False, "failed"), (True, "success")):
        before = airflow.runs("lake_governance")
        form = opened_form(page, "lake_governance", "Remediate")
        if remediate:
            form.locator("[data-scope=switch][data-part=control]").first.click()
        form.get_by_role("button", name="Trigger").click()
        run = until(lambda before=before: set(airflow.runs("lake_governance")) - set(before), 60, "run of lake_governance").pop()  # type: ignore[misc]
        assert airflow.finished("lake_governance", run) == end, airflow.tasks("lake_governance", run)
        assert airflow.tasks("lake_governance", run)["repair"] == ("success" if remediate else "skipped")
    page.goto(f"/dags/lake_governance/runs/{run}/tasks/repair")
    page.get_by_text("5 GiB → 100 GiB").first.wait_for(timeout=30_000)
    assert converged.plan()[0] == 0


def test_no_secret_is_in_its_database_or_logs(airflow: Airflow, converged: Site) -> None:
    held_by_airflow(converged, airflow.home)
