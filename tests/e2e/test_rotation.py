"""Rotation on real parts: a Spark job that runs through it, root's credentials there and back, and kills at every call."""

import base64
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.lake.s3a import s3a_profile
from include.lake.spark import Job, Where, application
from tests.conftest import ROOT
from tests.e2e.conftest import Site
from tests.e2e.test_spark import Bench

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
OUTPUT, STOP = "test-rotation/", "test-rotation.stop"


def values(site: Site) -> dict[str, str]:
    """What the Kubernetes secret holds."""
    found = json.loads(site.kubectl("-n", "spark-jobs", "get", "secret", "minio-s3-keys", "-o", "json"))["data"]
    return {k: base64.b64decode(v).decode() for k, v in found.items()}


def pair(site: Site) -> tuple[str, str]:
    found = values(site)
    return found["access-key"], found["secret-key"]


def let_in(site: Site, access: str, secret: str) -> str:
    """What S3 itself answers to a pair: `yes`, or the code of its refusal."""
    try:
        site.s3(access, secret).list_objects_v2(Bucket="datalake", MaxKeys=1)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "yes"


def rotate(site: Site, *args: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """`./lake rotate`: its exit code and all that it said, which holds no secret."""
    before = pair(site)
    done = site.lab.lake("rotate", *args, check=False, env=env)
    text = done.stdout + done.stderr
    for secret in (*before, *pair(site), site.lab["S3_ROOT_PASSWORD"]):
        assert secret not in text
    return done.returncode, text


def finish(site: Site) -> None:
    """End a rotation of the keys that was begun."""
    if "previous-access-key" in values(site):
        rotate(site, "keys")


class Running:
    """The job that keeps writing, followed in a thread of its own."""

    def __init__(self, site: Site) -> None:
        for key in (OUTPUT, STOP):
            for o in site.s3().list_objects_v2(Bucket="datalake", Prefix=key).get("Contents", []):
                site.s3().delete_object(Bucket="datalake", Key=o["Key"])
        self.site, bench = site, Bench(site)
        self.apps, self.said = bench.apps, bench.said
        self.name = f"writing-{uuid.uuid4().hex[:10]}"
        spec, k = site.lake.spec, site.lake.spec.kubernetes
        where = Where(k.namespace, k.service_account, spec.spark.image, k.secret.name, k.secret.access_key, k.secret.secret_key)
        body = application(Job("keeps_writing.py", ("--output", f"s3a://datalake/{OUTPUT}")), where, s3a_profile(site.lab["S3_ENDPOINT"], spec.minio.region))
        self.end: Any = None
        self.apps.submit(body, self.name, {"keeps_writing.py": Path("tests/e2e/jobs/keeps_writing.py").read_text()})
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        try:
            self.end = self.apps.wait(self.name)
        except Exception as error:
            self.end = error

    def batches(self) -> list[float]:
        """How long each batch took, in seconds."""
        return [float(line.split()[4]) for line in self.said if line.startswith("[driver] batch ")]

    def writes(self, more: int = 2) -> None:
        """Wait until so many further batches are written."""
        wanted, deadline = len(self.batches()) + more, time.monotonic() + 300
        while len(self.batches()) < wanted:
            assert self.end is None, "\n".join([str(self.end), *self.said[-60:]])
            assert time.monotonic() < deadline, self.said[-20:]
            time.sleep(0.5)

    def stop(self) -> Any:
        """Let it end, and how it ended."""
        self.site.s3().put_object(Bucket="datalake", Key=STOP, Body=b"")
        self._thread.join(240)
        return self.end

    def clear(self) -> None:
        self.apps.delete(self.name)


@pytest.fixture(scope="module")
def job(converged: Site) -> Iterator[Running]:
    """The job, writing. Should a test fail, root's credentials are the lab's again all the same."""
    finish(converged)  # should a run of these tests have been ended
    running = Running(converged)
    try:
        running.writes()
        yield running
    finally:
        running.clear()
        rotate(converged, "root")
        finish(converged)  # should a test have failed: what follows finds a secret as declared


@pytest.fixture(scope="module")
def other_root(converged: Site) -> dict[str, str]:
    """The environment in which the connections have another root password."""
    login, password, lab = converged.lab["S3_ROOT_USER"], uuid.uuid4().hex, converged.lab
    admin = {"conn_type": "minio", "host": lab["S3_ENDPOINT"], "login": login, "password": password, "extra": {"region": lab["S3_REGION"]}}
    checker = {"conn_type": "aws", "login": login, "password": password, "extra": {"endpoint_url": lab["S3_ENDPOINT"], "region_name": lab["S3_REGION"]}}
    return {"AIRFLOW_CONN_MINIO_ADMIN": json.dumps(admin), "AIRFLOW_CONN_LAKE_S3": json.dumps(checker)}


@pytest.mark.long
def test_the_dag_gives_a_running_job_company(converged: Site, job: Running) -> None:
    """Both pairs are valid, the job goes on with its own, and nobody waits."""
    old = pair(converged)
    text = converged.dag("lake_rotate_keys", "--conf", '{"wait": 0}')
    new = pair(converged)
    assert new[0] != old[0]
    assert values(converged)["previous-access-key"] == old[0]
    assert [let_in(converged, *p) for p in (old, new)] == ["yes", "yes"]
    assert f"pod {job.name}-driver" in text
    assert f"job {job.name}" in text
    assert "the next run finishes the rotation" in text
    for secret in (*old, *new):
        assert secret not in text
    files = [file for file in (converged.lab.state / "airflow").rglob("*") if file.is_file()]
    assert [file for file in files if file.name == "airflow.db"]
    for file in files:
        content = file.read_bytes()
        assert not [s for s in (*old, *new) if s.encode() in content], f"a pair is in {file}"
    job.writes()


@pytest.mark.long
def test_while_it_is_not_finished_nothing_differs_and_no_third_pair_is_made(converged: Site, job: Running) -> None:
    before = values(converged)
    code, text = rotate(converged, "keys", "--wait", "0")
    assert code == 2, text
    assert f"pod {job.name}-driver" in text
    assert "Not finished: both keys are valid" in text
    assert values(converged) == before
    code, text = converged.plan()
    assert code == 0, text


@pytest.mark.long
def test_root_changes_under_the_running_job(converged: Site, job: Running, other_root: dict[str, str]) -> None:
    lab = converged.lab
    own = (lab["S3_ROOT_USER"], lab["S3_ROOT_PASSWORD"])
    other = (own[0], json.loads(other_root["AIRFLOW_CONN_MINIO_ADMIN"])["password"])
    code, text = rotate(converged, "root")
    assert code == 1
    assert "holds the credentials in force" in text
    keys, before = pair(converged), len(job.batches())
    try:
        code, text = rotate(converged, "root", env=other_root)
        assert code == 0, text
        assert other[1] not in text
        assert [let_in(converged, *p) for p in (other, own, keys)] == ["yes", "SignatureDoesNotMatch", "yes"]
        job.writes()
        assert lab.ssh("ls /etc/default").split().count("minio.homelake-kept") == 0
    finally:
        code, text = rotate(converged, "root")
    assert code == 0, text
    assert [let_in(converged, *p) for p in (own, other, keys)] == ["yes", "SignatureDoesNotMatch", "yes"]
    job.writes()
    print(f"slowest batch over two restarts of MinIO: {max(job.batches()[before:])} s, the slowest before: {max(job.batches()[:before])} s")


@pytest.mark.long
def test_the_job_succeeds_and_then_the_old_key_is_revoked(converged: Site, job: Running) -> None:
    new, old = pair(converged), values(converged)["previous-access-key"]
    end = job.stop()
    assert getattr(end, "state", end) == "COMPLETED", "\n".join(job.said[-60:])
    assert any("of them different" in line for line in job.said)
    code, text = rotate(converged, "keys")
    assert code == 0, text
    assert text.splitlines()[-1] == "Rotated." or "Rotated." in text
    assert values(converged) == {"access-key": new[0], "secret-key": new[1]}, "it finished what was begun, and left nothing"
    assert let_in(converged, *new) == "yes"
    assert let_in(converged, old, "whatever") == "InvalidAccessKeyId"
    assert converged.plan()[0] == 0


CALLS = ",".join(f"include.adapters.{call}" for call in (
    "kubernetes:Kubernetes.patch_secret", "minio:MinioServer.put_access_key", "minio:MinioServer.remove_access_key",
    "host:Host.keep_settings", "host:Host.write_credentials", "host:Host.restart", "host:Host.forget_settings",
))  # fmt: skip
KEYS, ROOTS = 5, 4  # how many of them each makes


@pytest.mark.parametrize("number", [pytest.param(n, marks=() if n == 2 else pytest.mark.long) for n in range(1, KEYS + 1)])
def test_keys_killed_at_every_call(converged: Site, number: int) -> None:
    before = pair(converged)
    died(converged, number, "rotate", "keys")
    assert let_in(converged, *pair(converged)) == "yes"
    if number < KEYS:
        finished(converged, "rotate", "keys")
    assert set(values(converged)) == {"access-key", "secret-key"}
    assert let_in(converged, *pair(converged)) == "yes"
    assert let_in(converged, *before) == "InvalidAccessKeyId"
    assert converged.plan()[0] == 0


@pytest.mark.long
@pytest.mark.parametrize("number", range(1, KEYS - 1))  # the last two revoke the old key, for which a job's pods are waited
def test_keys_killed_beside_a_job_that_is_not_refused(converged: Site, number: int) -> None:
    """It begins with the old key, runs on over the killed rotation and the one that goes on, and reads all that it wrote."""
    before = pair(converged)
    running = Running(converged)
    try:
        running.writes()
        died(converged, number, "rotate", "keys")
        running.writes()
        code, text = rotate(converged, "keys", "--wait", "0")
        assert (code, f"pod {running.name}-driver" in text) == (2, True), text
        assert [let_in(converged, *p) for p in (before, pair(converged))] == ["yes", "yes"]
        running.writes()
        end = running.stop()
        assert getattr(end, "state", end) == "COMPLETED", "\n".join(running.said[-60:])
    finally:
        running.clear()
        finish(converged)
    assert let_in(converged, *before) == "InvalidAccessKeyId"
    assert let_in(converged, *pair(converged)) == "yes"


@pytest.mark.long
@pytest.mark.parametrize("number", range(1, ROOTS + 1))
def test_root_killed_at_every_call(converged: Site, other_root: dict[str, str], number: int) -> None:
    password = json.loads(other_root["AIRFLOW_CONN_MINIO_ADMIN"])["password"]
    try:
        died(converged, number, "rotate", "root", env=other_root)
        if number < ROOTS:
            finished(converged, "rotate", "root", env=other_root)
        assert let_in(converged, converged.lab["S3_ROOT_USER"], password) == "yes"
        assert let_in(converged, *pair(converged)) == "yes"
    finally:
        finished(converged, "rotate", "root")
    assert let_in(converged, converged.lab["S3_ROOT_USER"], converged.lab["S3_ROOT_PASSWORD"]) == "yes"
    assert converged.plan()[0] == 0


@pytest.mark.long
def test_the_dag_waits_and_revokes_in_one_run(converged: Site) -> None:
    before = pair(converged)
    text = converged.dag("lake_rotate_keys")
    assert "is revoked" in text
    assert let_in(converged, *before) == "InvalidAccessKeyId"
    assert let_in(converged, *pair(converged)) == "yes"


def _run(site: Site, number: int, args: tuple[str, ...], env: Mapping[str, str] | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tests.e2e.killing", "after", str(number), CALLS, *args], cwd=ROOT,
                          env={**site.lab.environment(env), "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=400, check=False)  # fmt: skip


def died(site: Site, number: int, *args: str, env: Mapping[str, str] | None = None) -> None:
    """The command is killed after that call."""
    done = _run(site, number, args, env)
    assert done.returncode == -9, f"it was not killed: {done.returncode}\n{done.stdout}{done.stderr}"


def finished(site: Site, *args: str, env: Mapping[str, str] | None = None) -> None:
    """The same command, once more, goes through."""
    done = _run(site, 0, args, env)
    assert done.returncode == 0, done.stdout + done.stderr
