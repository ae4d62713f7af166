"""Spark jobs on the lake (D1–D3), and errors 3 to 5 of E made to happen on real parts: caught before, and told when they are not."""

import io
import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests

from include.adapters.clients import Clients
from include.adapters.preflight import preflight
from include.adapters.spark import SparkApplications
from include.connections import from_environment
from include.demo import shown
from include.lake.errors import LakeError
from include.lake.s3a import PREFIX, s3a_profile
from include.lake.spark import Job, Where, application
from include.settings import airflow_environment, site_facts
from tests.conftest import ROOT
from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
PREFLIGHT = 5.0  # seconds


def _objects(site: Site, prefix: str) -> dict[str, int]:
    found = site.s3().list_objects_v2(Bucket="datalake", Prefix=prefix).get("Contents", [])
    return {o["Key"]: o["Size"] for o in found}


def _parquet(site: Site, prefix: str) -> set[str]:
    return {k for k, size in _objects(site, prefix).items() if k.endswith(".parquet") and size}


def test_d1_d2_the_dag_writes_and_reads_back(converged: Site) -> None:
    text = converged.dag("lake_spark")
    driver = [line.strip().removeprefix("[driver] ") for line in shown(text.splitlines()) if "[driver] " in line]
    said = [line for line in driver if line.startswith(("DEBUG:", "Write ", "Read "))]
    assert said == ["DEBUG: Access Key exists: True", "Write Success!", "Read Success!"]
    rows = "\n".join(driver)
    for resource in converged.lake.resources():
        assert resource.id in rows, f"the row of {resource.id} is missing"
    assert "size 500 GiB" in rows, "the rows hold constants, not what was observed"
    assert "spark/executors" in rows
    files = _objects(converged, "test-output/")
    assert files["test-output/_SUCCESS"] > 0
    assert len(_parquet(converged, "test-output/")) == 1
    assert json.loads(converged.s3().get_object(Bucket="datalake", Key="test-output/_SUCCESS")["Body"].read())["committer"] == "magic"


@pytest.mark.long
def test_it_runs_again_in_both_modes_the_second_deferrable(converged: Site) -> None:
    """On the locked bucket, where the default committer breaks at the second write."""
    before = _parquet(converged, "test-output/")
    converged.dag("lake_spark", "--conf", '{"mode": "append"}')
    appended = _parquet(converged, "test-output/")
    assert appended > before
    assert len(appended) == len(before) + 1
    done = converged.lab.lake("airflow", "dags", "test", "spark_deferrable", env={"AIRFLOW__CORE__DAGS_FOLDER": str(Path("tests/e2e/dags").resolve())})
    text = done.stdout + done.stderr
    assert "Read Success!" in text
    assert "handed over by the DAG" in text
    assert re.search(r"defer|Trigger", text), "it did not defer"
    (key,) = set(re.findall(r"what it used is kept in the lake: (\S+\.parquet)", text))
    course = pq.read_table(io.BytesIO(converged.s3().get_object(Bucket="datalake", Key=key)["Body"].read()), columns=["pod"])
    assert course["pod"].to_pylist().count("total") > 1, "only the end was kept, not the course"
    after = _parquet(converged, "test-output/")
    assert len(after) == 1
    assert not after & appended


@pytest.mark.long
def test_the_history_server_shows_the_jobs_that_ended(converged: Site) -> None:
    """For as long as the command runs; then nothing of it is left."""
    command = [str(ROOT / "lake"), "history", "--port", "0", "--json"]
    process = subprocess.Popen(command, cwd=ROOT, env=converged.lab.environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        deadline, shown_jobs = time.monotonic() + 60, []
        while not shown_jobs and time.monotonic() < deadline:
            shown_jobs = requests.get(f"{url}/api/v1/applications", timeout=60).json()
            time.sleep(1)
        assert shown_jobs, "no job is listed"
        assert shown_jobs[0]["attempts"][0]["completed"]
        stages = requests.get(f"{url}/api/v1/applications/{shown_jobs[0]['id']}/stages", timeout=60).json()
        assert sum(s["outputRecords"] for s in stages) > 0
        assert "<title>History Server</title>" in requests.get(url, timeout=60).text
    finally:
        process.terminate()  # a shell's background job ignores what Ctrl-C sends
        assert process.wait(60) == 130
    converged.kubectl("-n", "spark-jobs", "wait", "--for=delete", "pod/spark-history", "--timeout=30s")


class Bench:
    """Submits the job by hand, past the operator, with whatever is wrong in it."""

    def __init__(self, site: Site) -> None:
        facts = {k: str(v) for k, v in site.lab.items()}
        environment = airflow_environment(site_facts(site.lab.environment()) or facts, {})
        self.parts = Clients(from_environment(environment), print)
        self.site, self.said = site, []  # type: ignore[var-annotated]
        self.apps = SparkApplications(self.parts.kubernetes, "spark-jobs", self.said.append)

    def body(self, job: str = "infra_status.py", **where: str) -> dict[str, Any]:
        """The job's application as declared, with some places changed."""
        spec, k = self.site.lake.spec, self.site.lake.spec.kubernetes
        place = {"namespace": k.namespace, "service_account": k.service_account, "image": spec.spark.image, "secret": k.secret.name,
                 "access_key": k.secret.access_key, "secret_key": k.secret.secret_key, **where}  # fmt: skip
        arguments = ("--output", "s3a://datalake/test-errors/", "--states", "/opt/homelake/job/states.json")
        return application(Job(job, arguments), Where(**place), s3a_profile(self.site.lab["S3_ENDPOINT"], spec.minio.region))

    def refused(self, body: dict[str, Any]) -> str:
        """What the preflight says, and that it says so at once."""
        began = time.monotonic()
        with pytest.raises(LakeError) as caught:
            preflight(self.parts.kubernetes, self.parts.minio, body, "datalake")
        assert time.monotonic() - began < PREFLIGHT
        return str(caught.value)

    def failed(self, body: dict[str, Any]) -> str:
        """What is told when it is submitted all the same."""
        name = f"wrong-{uuid.uuid4().hex[:10]}"
        files = {"infra_status.py": Path("jobs/infra_status.py").read_text(), "states.json": "[]"}
        try:
            with pytest.raises(LakeError) as caught:
                self.apps.submit(body, name, files)
                self.apps.wait(name)
            return str(caught.value)
        finally:
            self.apps.delete(name)
            assert not self.apps.pods(name)


@pytest.fixture(scope="module")
def bench(converged: Site) -> Bench:
    """The lab's clients, as the command line makes them."""
    return Bench(converged)


def test_what_is_in_order_passes_in_time(bench: Bench) -> None:
    began = time.monotonic()
    preflight(bench.parts.kubernetes, bench.parts.minio, bench.body(), "datalake")
    assert time.monotonic() - began < PREFLIGHT


def test_a_service_account_that_is_not_there(bench: Bench) -> None:
    body = bench.body(service_account="spark-operator-spark")
    said = bench.refused(body)
    assert "spark-operator-spark" in said
    assert "lake_bootstrap" in said or "spark-sa" in said
    told = bench.failed(body)
    assert "serviceaccount" in told
    assert "not found" in told


def test_the_wrong_region(bench: Bench) -> None:
    """S3A's 400 Bad Request."""
    body = bench.body()
    body["spec"]["sparkConf"][PREFIX + "endpoint.region"] = "us-east-1"
    said = bench.refused(body)
    assert "endpoint.region is us-east-1, and the server's region is ap-northeast-2" in said
    assert "400 Bad Request" in said
    bench.said.clear()
    bench.failed(body)
    assert any("400" in line and "Bad Request" in line for line in bench.said), bench.said[-30:]


def test_a_signing_override(bench: Bench) -> None:
    body = bench.body()
    body["spec"]["sparkConf"][PREFIX + "signing-algorithm"] = "S3SignerType"
    assert "Remove it" in bench.refused(body)


def test_a_key_that_the_secret_does_not_have(bench: Bench) -> None:
    """`ACCESS_KEY` where the secret says `access-key`."""
    body = bench.body(access_key="ACCESS_KEY")
    said = bench.refused(body)
    assert "'ACCESS_KEY'" in said
    assert "it has access-key, secret-key" in said
    told = bench.failed(body)
    assert "CreateContainerConfigError" in told
    assert "ACCESS_KEY" in told


def test_variables_that_are_not_mapped(bench: Bench) -> None:
    """The job itself says False and ends at once, before any JVM of its own."""
    body = bench.body()
    for role in ("driver", "executor"):
        body["spec"][role]["env"] = []
    assert "AWS_ACCESS_KEY_ID" in bench.refused(body)
    bench.said.clear()
    told = bench.failed(body)
    assert any("DEBUG: Access Key exists: False" in line for line in bench.said)
    assert "FAILED" in told


def test_an_image_that_is_not_there(bench: Bench) -> None:
    body = bench.body(image="docker.io/homelake/no-such-image:1")
    body["spec"]["imagePullPolicy"] = "Never"
    told = bench.failed(body)
    assert "ErrImageNeverPull" in told or "ErrImagePull" in told or "ImagePullBackOff" in told


BREAKS: list[tuple[str, Callable[[Site], None], str]] = [
    ("service account", lambda s: s.kubectl("-n", "spark-jobs", "delete", "serviceaccount", "spark-sa"), "spark-sa"),
    ("secret", lambda s: s.kubectl("-n", "spark-jobs", "delete", "secret", "minio-s3-keys"), "there is no secret spark-jobs/minio-s3-keys"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "breaks", "said"), [pytest.param(*b, id=b[0], marks=[] if b[0] == "secret" else pytest.mark.long) for b in BREAKS])
def test_the_dag_stops_before_any_jvm(converged: Site, what: str, breaks: Callable[[Site], None], said: str) -> None:
    breaks(converged)
    try:
        done = converged.lab.lake("airflow", "dags", "test", "lake_spark", check=False)
        text = done.stdout + done.stderr
        assert done.returncode != 0
        assert "Unable to submit the Spark job" in text
        assert said in text
        assert converged.kubectl("-n", "spark-jobs", "get", "pods", "--field-selector=status.phase=Running", "-o", "name") == ""
    finally:
        converged.lab.lake("apply", "--yes")
