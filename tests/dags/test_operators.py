"""The operators without a lab: what they refuse, what they hand on, which failures are tried again."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.exceptions import AirflowException
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.log import redact

import include.operators.base as base
from include.connections import NotConfigured
from include.lake.errors import LakeError, NotConverged, Refused, Unreachable
from include.lake.lake import load_lake
from include.lake.survey import survey
from include.operators.base import LakeOperator, airflow_connection, lake_errors
from include.operators.ensure import DeclarationOperator, EnsureOperator
from include.operators.links import MinioConsoleLink, ProxmoxVmLink
from include.operators.status import CheckOutputOperator, ObserveOperator
from include.operators.verify import VerifyOperator
from tests.dags.conftest import MARK, READING
from tests.fakes.guest import AGPL, ELF, FakeGuest
from tests.fakes.kubernetes import FakeKeyPairs
from tests.fakes.minio import FakeMinio
from tests.fakes.proxmox import FakeProxmox

LAKE = load_lake()
DIGEST = LAKE.spec.digest()


class Site:
    """A whole site in memory, as the clients of a task."""

    def __init__(self) -> None:
        self.proxmox, self.host, self.minio = FakeProxmox(), FakeGuest(), FakeMinio()
        self.kubernetes = self.keypair = FakeKeyPairs()
        for name in ("buckets", "policies", "users"):
            setattr(self.keypair, name, getattr(self.minio, name))
        self.host.sources[str(LAKE.minio_binary.source)] = ("new", ELF, AGPL)
        self.host.locked = self.locked  # type: ignore[attr-defined]
        self.locks: list[str] = []

    def __call__(self, part: str) -> Any:
        return getattr(self, part)

    @contextmanager
    def locked(self, who: str) -> Any:
        self.locks.append(who)
        yield

    @property
    def writes(self) -> list[str]:
        return [*self.proxmox.writes, *self.host.writes, *self.minio.writes, *self.kubernetes.writes]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site()
    monkeypatch.setattr(base, "clients", lambda say: site)
    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True)
    return site


class TaskInstance:
    """What an operator uses of its task instance."""

    def __init__(self, digest: str | None = DIGEST) -> None:
        self.xcom: dict[tuple[str, str], Any] = {("declaration", "digest"): digest} if digest else {}
        self.dag_id, self.run_id, self.task_id, self.try_number = "lake_bootstrap", "manual__2026-01-01", "x", 1

    def xcom_pull(self, task_ids: str | list[str], key: str = "return_value") -> Any:
        return [self.xcom.get((t, key)) for t in task_ids] if isinstance(task_ids, list) else self.xcom.get((task_ids, key))

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcom["declaration", key] = value


def context(digest: str | None = DIGEST, *, check: bool = False, force: tuple[str, ...] = ()) -> dict[str, Any]:
    run = SimpleNamespace(start_date=datetime(2026, 1, 2, tzinfo=UTC))
    return {"ti": TaskInstance(digest), "params": {"check": check, "force": list(force)}, "dag_run": run}


def ensuring(*resources: Any, **more: Any) -> EnsureOperator:
    return EnsureOperator(task_id="x", ensures=resources, digest=DIGEST, **more)


# The declaration of a run


def test_a_run_that_began_with_another_declaration_is_refused_before_anything_is_looked_at(site: Site) -> None:
    def never(*args: Any) -> Any:
        raise AssertionError("nothing is looked at")

    site.minio.bucket = never  # type: ignore[method-assign]
    with pytest.raises(AirflowFailException, match=r"Unable to go on with this run: include/lake\.yaml was changed since it began\. Trigger a new run\."):
        ensuring(*LAKE.buckets).execute(context("another-digest"))
    assert not site.writes


def test_a_run_that_began_with_this_declaration_goes_on(site: Site) -> None:
    assert ensuring(*LAKE.buckets).execute(context(DIGEST))[0]["applied"]


def test_a_task_that_is_tested_alone_goes_on(site: Site) -> None:
    assert ensuring(*LAKE.buckets).execute(context(None))[0]["applied"]


def test_the_first_task_records_the_declaration(site: Site) -> None:
    now = context(None)
    assert DeclarationOperator(task_id="declaration", digest=DIGEST).execute(now) == DIGEST
    assert now["ti"].xcom_pull(task_ids="declaration", key="digest") == DIGEST
    cleared = context("another-digest")
    assert DeclarationOperator(task_id="declaration", digest=DIGEST).execute(cleared) == DIGEST, "cleared, it records anew"


# Failures


class FailingOperator(LakeOperator):
    error: Exception

    def work(self, context: Any, parts: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (LakeError("use", "it", "no"), False),
        (Refused("shrink", "it", "it never shrinks"), False),
        (NotConverged("it", "quota"), False),
        (Unreachable("it", "no answer"), True),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, Exception) else "",
)
def test_only_what_was_out_of_reach_is_tried_again(site: Site, error: LakeError, again: bool) -> None:
    task = FailingOperator(task_id="x")
    task.error = error
    with pytest.raises(AirflowException) as caught:
        task.execute(context())
    assert isinstance(caught.value, AirflowFailException) is not again
    assert str(caught.value) == str(error)
    assert caught.value.__suppress_context__, "no second traceback above the message"


def test_a_bug_is_not_dressed_up_as_an_error_of_the_lake() -> None:
    with pytest.raises(ZeroDivisionError), lake_errors():
        raise ZeroDivisionError


# Ensuring


BOOTSTRAP = [t for t in READING.bag.dags["lake_bootstrap"].topological_sort() if isinstance(t, EnsureOperator)]


def bootstrap(**params: Any) -> list[dict[str, Any]]:
    """Every ensuring task of lake_bootstrap, in its order, as one run."""
    now, rows = context(**params), list[dict[str, Any]]()
    for task in BOOTSTRAP:
        now["ti"].xcom[task.task_id, "return_value"] = task.execute(now)
        rows += now["ti"].xcom[task.task_id, "return_value"]
    return rows


def test_check_mode_says_what_would_change_and_changes_nothing(site: Site) -> None:
    rows = bootstrap(check=True)
    assert [r["resource"] for r in rows] == [r.id for r in LAKE.resources()]
    assert not [r for r in rows if r["applied"]]
    assert not site.writes
    assert not site.locks
    known = {f.resource_id: (str(f.status), str(f.plan.action)) for f in survey(LAKE.resources(), site)}
    assert {r["resource"]: (r["status"], r["action"]) for r in rows} == known, "as ./lake plan says it"
    assert {status for status, _ in known.values()} == {"changes", "known after apply"}


def test_check_mode_on_a_lake_as_declared_says_so(site: Site) -> None:
    bootstrap()
    before = list(site.writes)
    assert {r["status"] for r in bootstrap(check=True)} == {"ok"}
    assert site.writes == before


def test_who_has_nothing_to_write_takes_no_lock(site: Site) -> None:
    task = ensuring(*LAKE.buckets)
    task.execute(context())
    assert len(site.locks) == 1
    (again,) = task.execute(context())
    assert (again["action"], again["changes"], again["applied"]) == ("none", [], False)
    assert len(site.locks) == 1


def test_force_is_the_runs_and_names_a_resource(site: Site) -> None:
    from dataclasses import replace

    from include.lake.resources.bucket import BucketState

    site.minio.buckets["datalake"] = BucketState(object_lock=False, versioning=True)
    bucket = replace(LAKE.buckets[0], desired=BucketState(object_lock=False, versioning=False))
    for force in ((), ("bucket/other",)):
        with pytest.raises(AirflowFailException, match="run again with force naming bucket/datalake"):
            ensuring(bucket).execute(context(force=force))
    assert not site.writes
    assert ensuring(bucket).execute(context(force=("bucket/datalake",)))[0]["applied"]


def test_the_whole_bootstrap_on_a_site_in_memory_and_then_again(site: Site) -> None:
    first = bootstrap()
    assert [r["resource"] for r in first] == [r.id for r in LAKE.resources()]
    assert all(r["applied"] for r in first)
    text = json.dumps(first)
    for secret in ("root:password", "secret-0", site.host.credentials.reveal()):
        assert secret not in text
    before = list(site.writes)
    assert not [r for r in bootstrap() if r["applied"] or r["changes"]]
    assert site.writes == before, "a second run writes nothing"


# Watching


def test_what_was_observed_is_rows_without_secrets(site: Site) -> None:
    bootstrap()
    rows = ObserveOperator(task_id="observe", lake=LAKE).execute(context())
    assert json.loads(json.dumps(rows)) == rows
    assert [(r["resource"], r["status"]) for r in rows] == [(r.id, "ok") for r in LAKE.resources()]
    details = {r["resource"]: r["detail"] for r in rows}
    assert details["bucket/datalake"] == "object_lock yes, versioning yes, quota 100 GiB"
    assert "size 500 GiB" in details["vm-disk/100/scsi1"]
    assert not [d for d in details.values() if "password" in d or "(secret)" in d or len(d) > 300]


def test_a_part_out_of_reach_is_a_row_as_well(site: Site) -> None:
    def gone(*args: Any) -> Any:
        raise Unreachable("MinIO", "connection refused")

    site.minio.bucket = gone  # type: ignore[method-assign]
    rows = ObserveOperator(task_id="observe", lake=LAKE).execute(context())
    assert len(rows) == len(LAKE.resources())


class Bucket:
    """S3 as the checker's hook shows it."""

    objects: dict[str, bytes]

    def __init__(self, aws_conn_id: str) -> None:
        assert aws_conn_id == "lake_s3"

    def check_for_key(self, key: str, bucket: str) -> bool:
        return key in self.objects

    def read_key(self, key: str, bucket: str) -> str:
        return self.objects[key].decode()

    def head_object(self, key: str, bucket: str) -> dict[str, Any] | None:
        assert bucket == "datalake"
        return {"ContentLength": len(self.objects[key])} if key in self.objects else None


WHEN = datetime(2026, 1, 2, 0, 5, tzinfo=UTC)
PART = "test-output/part-00000.snappy.parquet"


def committed(*files: str, when: datetime = WHEN) -> bytes:
    return json.dumps({"committer": "magic", "jobId": "j1", "timestamp": int(when.timestamp() * 1000), "filenames": list(files)}).encode()


def check_output(monkeypatch: pytest.MonkeyPatch, **objects: bytes) -> Any:
    monkeypatch.setattr("include.operators.status.S3Hook", type("Prepared", (Bucket,), {"objects": {f"test-output/{k}": v for k, v in objects.items()}}))
    return CheckOutputOperator(task_id="check", path="s3a://datalake/test-output/").execute(context())


def test_what_a_job_committed_is_seen_through_s3(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (f"/{PART}", f"s3a://datalake/{PART}"):
        found = check_output(monkeypatch, _SUCCESS=committed(name), **{"part-00000.snappy.parquet": b"PAR1"})
        assert found == {"files": {PART: 4}, "committer": "magic", "job": "j1"}


@pytest.mark.parametrize(
    ("objects", "cause"),
    [
        ({}, "there is no _SUCCESS: no job has committed there"),
        ({"_SUCCESS": b""}, "_SUCCESS is not a committer's summary"),
        ({"_SUCCESS": committed(f"/{PART}")}, rf"_SUCCESS names 1 files that are not there or are empty \({PART}\)"),
        ({"_SUCCESS": committed(f"/{PART}"), "part-00000.snappy.parquet": b""}, "not there or are empty"),
        ({"_SUCCESS": committed(), "part-00000.snappy.parquet": b"PAR1"}, r"the job committed no \.parquet file"),
        ({"_SUCCESS": committed("/test-output/x.csv"), "x.csv": b"1"}, r"the job committed no \.parquet file"),
        ({"_SUCCESS": committed(f"/{PART}", when=datetime(2026, 1, 1, tzinfo=UTC)), "part-00000.snappy.parquet": b"PAR1"},
         "its _SUCCESS is of 2026-01-01 00:00:00 UTC, before this run began"),
    ],
    ids=["nothing", "no summary", "file missing", "file empty", "no file", "no parquet", "of an earlier run"],
)  # fmt: skip
def test_a_green_job_whose_objects_are_missing_is_impossible(site: Site, monkeypatch: pytest.MonkeyPatch, objects: dict[str, bytes], cause: str) -> None:
    with pytest.raises(AirflowFailException, match=cause):
        check_output(monkeypatch, **objects)


# Proving


class FakeTenantS3:
    """A user who may do everything, or only what is declared."""

    may_everything = False
    cleared = 0

    def __init__(self, server: Any, pair: Any) -> None:
        self.pair, self.body = pair, b""

    def put(self, bucket: str, key: str, data: bytes) -> str:
        self._only("datalake", bucket)
        assert key.startswith(".homelake/probe-")
        self.body = data
        return "v"

    def _only(self, *wanted_and_given: str) -> None:
        from include.lake.proof import Denied

        if not self.may_everything and len(set(wanted_and_given)) > 1:
            raise Denied

    def get(self, bucket: str, key: str) -> bytes:
        return self.body

    def list(self, bucket: str, prefix: str) -> list[str]:
        self._only("datalake", bucket)
        return []

    def multipart(self, bucket: str, key: str) -> None:
        pass

    delete = multipart

    def _never(self, *args: Any) -> None:
        self._only("allowed", "asked")

    make_bucket = put_policy = list_users = add_access_key = set_versioning = _never

    def clear(self) -> None:
        type(self).cleared += 1


def verify(monkeypatch: pytest.MonkeyPatch, site: Site, *, everything: bool, check: bool = False) -> Any:
    from include.lake.secret import Secret

    site.keypair.secrets["spark-jobs", "minio-s3-keys"] = {"access-key": Secret("AKEXAMPLE"), "secret-key": Secret("a-secret-key")}
    monkeypatch.setattr("include.operators.verify.TenantS3", type("T", (FakeTenantS3,), {"may_everything": everything}))
    return VerifyOperator(task_id="verify", key_pair=LAKE.key_pair, bucket="datalake").execute(context(check=check))


def test_declared_rights_are_proven(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = verify(monkeypatch, site, everything=False)
    assert len(lines) == 13
    assert all(line.startswith("✓ ") for line in lines)
    assert "a-secret-key" not in json.dumps(lines)


def test_rights_too_many_fail_the_task_and_name_them(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        AirflowFailException,
        match=r"Unable to verify the rights of spark-user: .*make a bucket was allowed; .*make an access key was allowed\. Run \./lake plan",
    ):
        verify(monkeypatch, site, everything=True)


def test_check_mode_writes_no_probe(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verify(monkeypatch, site, everything=True, check=True) == []


def test_without_a_key_pair_it_says_what_to_run(site: Site) -> None:
    with pytest.raises(AirflowFailException, match=r"it has no key pair under access-key and secret-key\. Run lake_bootstrap"):
        VerifyOperator(task_id="verify", key_pair=LAKE.key_pair, bucket="datalake").execute(context())


# Connections


def test_a_connection_of_airflows_is_read_and_its_secrets_are_masked_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"password": "the-p4ssword-of-minio", "private_key": "the-private-k3y", "kube_config": "the-kube-c0nfig", "token": "the-t0ken-of-it"}
    extra = {k: v for k, v in secrets.items() if k != "password"} | {"region": "ap-northeast-2"}
    text = json.dumps({"conn_type": "minio", "host": "http://h:9000", "login": "root", "password": secrets["password"], "port": 9000, "extra": extra})
    assert not [v for v in secrets.values() if redact(f"log: {v}") != f"log: {v}"], "not masked before"
    monkeypatch.setenv("AIRFLOW_CONN_MINIO_ADMIN", text)
    connection = airflow_connection("minio_admin")
    assert (connection.type, connection.host, connection.login, connection.port) == ("minio", "http://h:9000", "root", 9000)
    assert connection.password.reveal() == secrets["password"]
    assert connection.option("region") == "ap-northeast-2"
    for value in secrets.values():
        assert redact(f"log: {value}") == "log: ***"
        assert value not in repr(connection)


def test_a_connection_that_nobody_configured_is_told() -> None:
    with pytest.raises(NotConfigured, match=r"Unable to find the connection 'nosuch': it is not configured\. Add it in Admin → Connections"):
        airflow_connection("nosuch")


def test_a_connection_that_cannot_be_read_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(conn_id: str) -> Any:
        raise PermissionError("the backend denies it\nwith details")

    monkeypatch.setattr("include.operators.base.BaseHook.get_connection", broken)
    with pytest.raises(LakeError, match=r"Unable to read the connection 'proxmox': the backend denies it\. Look at it in Admin → Connections\.") as caught:
        airflow_connection("proxmox")
    assert not isinstance(caught.value, NotConfigured)


@pytest.mark.parametrize(
    ("conn_id", "text", "same"),
    [
        ("ssh_uri", "ssh://debian:p%40ss@datalake.example.org:2222/?key_file=%2Fk", True),
        ("json", '{"conn_type": "aws", "login": "AK", "password": "SK", "extra": {"endpoint_url": "http://h", "config_kwargs": {"s3": {"addressing_style": "path"}}}}', True),
        ("token", "proxmox://homelake%40pve%21bootstrap:secret@pve:8006", True),
    ],
)  # fmt: skip
def test_airflow_and_the_command_line_read_the_same(monkeypatch: pytest.MonkeyPatch, conn_id: str, text: str, same: bool) -> None:
    from include.connections import parse_connection

    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)
    ours, airflows = parse_connection(conn_id, text), airflow_connection(conn_id)
    assert ours == airflows
    assert dict(ours.extra) == dict(airflows.extra)


def test_links_lead_to_the_vm_and_the_console_and_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PROXMOX", json.dumps({"conn_type": "proxmox", "host": "https://pve:8006/", "login": "a@pve!b", "password": MARK}))
    monkeypatch.setenv("AIRFLOW_CONN_MINIO_ADMIN", json.dumps({"conn_type": "minio", "host": "http://10.0.0.10:9000", "login": "root", "password": MARK}))
    dag = READING.bag.dags["lake_bootstrap"]
    assert ProxmoxVmLink().get_link(dag.get_task("vm_disk"), ti_key=None) == "https://pve:8006/#v1:0:=qemu%2F100"
    assert MinioConsoleLink().get_link(dag.get_task("governance"), ti_key=None) == "http://10.0.0.10:9001/"
    for name in ("PROXMOX", "MINIO_ADMIN"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}")
    assert ProxmoxVmLink().get_link(dag.get_task("vm_disk"), ti_key=None) == ""
    assert MinioConsoleLink().get_link(dag.get_task("governance"), ti_key=None) == ""
