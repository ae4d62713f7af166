"""The Spark operator and its trigger without a cluster: what is submitted, under which name, and what happens at the end."""

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.exceptions import AirflowException
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from hypothesis import given
from hypothesis import strategies as st

from include.connections import from_environment
from include.lake.errors import LakeError, Unreachable
from include.lake.lake import load_lake
from include.lake.metrics.applications import origin as read_origin
from include.lake.metrics.view import Origin
from include.lake.s3a import PREFIX
from include.lake.spark import Job, Phase, Standing, named, secret_references
from include.operators import spark
from include.operators.spark import LakeSparkOperator, job_name

LAKE = load_lake()


class Applications:
    """The cluster's SparkApplications: what was submitted and deleted; `end` is how a job ends."""

    end: Any = Standing(Phase.DONE, "COMPLETED", "", "driver")

    def __init__(self) -> None:
        self.submitted: list[tuple[dict[str, Any], str, dict[str, str]]] = []
        self.deleted: list[str] = []
        self.left: list[str] = []  # of earlier tries, at work
        self.cleared: list[str] = []
        self.began = False  # one that was given up

    def submit(self, body: dict[str, Any], name: str, files: dict[str, str]) -> None:
        self.submitted.append((body, name, files))

    def wait(self, name: str) -> Standing:
        if isinstance(self.end, Exception):
            raise self.end
        end: Standing = self.end
        return end

    def went_on(self, name: str) -> bool:
        return self.began

    def give_up(self, name: str, verb: str, cause: str) -> LakeError:
        self.deleted.append(name)
        return LakeError(verb, f"the Spark job {name}", cause)

    def clear(self, name: str) -> bool:
        assert not self.submitted, "before another one is at work"
        self.cleared.append(name)
        return name in self.left

    def delete(self, name: str, *, wait: float = 30) -> None:
        self.deleted.append(name)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Applications:
    applications = Applications()
    parts = SimpleNamespace(
        kubernetes=None, minio=None, connections=from_environment({"AIRFLOW_CONN_MINIO_ADMIN": '{"conn_type": "minio", "host": "http://10.0.0.10:9000/"}'})
    )
    monkeypatch.setattr(spark, "clients", lambda say: parts)
    monkeypatch.setattr(spark, "preflight", lambda *args: None)
    monkeypatch.setattr(spark, "keep_folder", lambda *args: None)
    monkeypatch.setattr(spark, "SparkApplications", lambda *args: applications)
    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True)
    return applications


def operator(**more: Any) -> LakeSparkOperator:
    return LakeSparkOperator(
        task_id="spark_job", lake=LAKE, job=Job("infra_status.py"), arguments=["--run", 7], states=[{"resource": "a/b", "status": "ok"}], **more
    )


def context(try_number: int = 1) -> dict[str, Any]:
    return {"ti": SimpleNamespace(dag_id="lake_spark", run_id="manual__x", task_id="spark_job", map_index=-1, try_number=try_number)}


def test_a_job_is_submitted_with_the_lakes_own_settings(cluster: Applications) -> None:
    result = operator(spark_conf={"spark.log.level": "INFO"}).execute(context())
    ((body, name, files),) = cluster.submitted
    conf = body["spec"]["sparkConf"]
    assert (conf[f"{PREFIX}endpoint"], conf[f"{PREFIX}endpoint.region"], conf["spark.log.level"]) == ("http://10.0.0.10:9000", "ap-northeast-2", "INFO")
    assert body["spec"]["arguments"] == ["--run", "7"]
    assert body["spec"]["driver"]["serviceAccount"] == "spark-sa"
    assert {ref for role in secret_references(body).values() for ref in role} == {
        ("AWS_ACCESS_KEY_ID", "minio-s3-keys", "access-key"), ("AWS_SECRET_ACCESS_KEY", "minio-s3-keys", "secret-key")}  # fmt: skip
    assert set(files) == {"infra_status.py", "states.json"}
    assert json.loads(files["states.json"]) == [{"resource": "a/b", "status": "ok"}]
    assert files["infra_status.py"].startswith('"""')
    assert result == {"application": name, "state": "COMPLETED"}


def test_a_job_says_which_try_of_which_task_submitted_it(cluster: Applications) -> None:
    operator().execute(context(3))
    ((body, name, _),) = cluster.submitted
    origin = {"homelake/dag-id": "lake_spark", "homelake/run-id": "manual__x", "homelake/task-id": "spark_job", "homelake/try-number": "3"}
    assert named(body, name)["metadata"]["annotations"] == origin
    assert body["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "homelake"
    assert read_origin(origin) == Origin("lake_spark", "manual__x", "spark_job", 3), "as the dashboard reads them"


def test_a_job_that_ended_well_is_cleared_away_and_one_that_did_not_is_kept(cluster: Applications) -> None:
    name = operator().execute(context())["application"]
    assert cluster.deleted == [name]
    cluster.end = LakeError("finish", "the Spark job", "it ended as FAILED: OOMKilled")
    with pytest.raises(AirflowFailException, match="it ended as FAILED: OOMKilled"):
        operator().execute(context())
    assert cluster.deleted == [name]


def test_each_try_submits_anew(cluster: Applications) -> None:
    first = operator().execute(context(1))
    cluster.submitted.clear()
    assert operator().execute(context(2)) != first


def test_what_an_earlier_try_left_at_work_is_removed_first(cluster: Applications, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker was killed, or could not reach the API server: two drivers would write to the same place."""
    first, second = (job_name(context(number)["ti"]) for number in (1, 2))
    cluster.left = [second]
    monkeypatch.setattr(spark, "preflight", lambda *args: cluster.cleared.append("preflight"))
    said = list[str]()
    log = SimpleNamespace(info=lambda *args: None, warning=lambda text, *args: said.append(text % args))
    monkeypatch.setattr(LakeSparkOperator, "log", log)
    operator().execute(context(3))
    assert cluster.cleared == [first, second, "preflight"], "also when this try will not start"
    assert said == [f"SparkApplication {second} of try 2 was still at work: it was removed with its pods"]


def test_nothing_is_submitted_beside_one_that_stays(cluster: Applications, monkeypatch: pytest.MonkeyPatch) -> None:
    def stays(name: str) -> bool:
        raise LakeError("remove", f"the Spark job {name}", "pod x is still there after 60 s", "See what holds it")

    monkeypatch.setattr(cluster, "clear", stays)
    with pytest.raises(AirflowFailException, match="pod x is still there"):
        operator().execute(context(2))
    assert not cluster.submitted


def test_a_job_that_did_its_work_is_not_run_again_for_what_it_leaves(cluster: Applications, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(name: str, *, wait: float) -> None:
        raise Unreachable("Kubernetes", "connection refused")

    monkeypatch.setattr(cluster, "delete", away)
    assert operator().execute(context())["state"] == "COMPLETED"


def test_what_preflight_finds_is_told_before_anything_is_submitted(cluster: Applications, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def preflight(kubernetes: Any, minio: Any, body: Any, bucket: str, prefix: str) -> None:
        asked.append(bucket)
        raise LakeError("submit", "the Spark job", "1 problem found before it was started\n- there is no secret")

    monkeypatch.setattr(spark, "preflight", preflight)
    with pytest.raises(AirflowFailException, match="there is no secret"):
        operator().execute(context())
    assert asked == ["datalake"]
    assert not cluster.submitted


def test_a_cluster_out_of_reach_is_tried_again(cluster: Applications, monkeypatch: pytest.MonkeyPatch) -> None:
    def preflight(*args: Any) -> None:
        raise Unreachable("Kubernetes", "connection refused")

    monkeypatch.setattr(spark, "preflight", preflight)
    with pytest.raises(AirflowException) as caught:
        operator().execute(context())
    assert not isinstance(caught.value, AirflowFailException)


def test_a_job_whose_file_is_not_there_is_told(cluster: Applications) -> None:
    with pytest.raises(AirflowFailException, match=r"Unable to submit the Spark job nosuch\.py: there is no .*jobs/nosuch\.py\. Name a file in jobs/\."):
        LakeSparkOperator(task_id="x", lake=LAKE, job=Job("nosuch.py")).execute(context())


def test_killed_it_removes_what_it_submitted_and_nothing_before(cluster: Applications) -> None:
    operator().on_kill()
    assert not cluster.deleted
    task = operator()
    cluster.end = LakeError("finish", "it", "killed")
    with pytest.raises(AirflowFailException):
        task.execute(context())
    task.on_kill()
    assert cluster.deleted == [cluster.submitted[0][1]]


def ended(caught: Any) -> bool:
    """As a task that was ended from outside, which may be tried again."""
    return "the task was ended from outside" in str(caught.value) and not isinstance(caught.value, AirflowFailException)


def test_killed_before_it_submits_it_submits_nothing(cluster: Applications, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's handler of SIGTERM calls on_kill and goes on where it was, until it is killed for good seconds later."""
    task = operator()
    monkeypatch.setattr(spark, "preflight", lambda *args: task.on_kill())
    with pytest.raises(AirflowException) as caught:
        task.execute(context())
    assert ended(caught)
    assert not cluster.submitted


@pytest.mark.parametrize("deferrable", [False, True])
def test_killed_while_it_submits_it_removes_that(cluster: Applications, monkeypatch: pytest.MonkeyPatch, deferrable: bool) -> None:
    task, did = operator(deferrable=deferrable), list[str]()

    def submit(body: Any, name: str, files: Any) -> None:
        task.on_kill()
        did.append("submitted")

    monkeypatch.setattr(cluster, "submit", submit)
    monkeypatch.setattr(cluster, "delete", lambda name, **options: did.append("deleted"))
    with pytest.raises(AirflowException) as caught:
        task.execute(context())
    assert ended(caught)
    assert did == ["deleted", "submitted", "deleted"], "the last is the one that counts"


def test_killed_while_it_runs_another_try_may_follow(cluster: Applications, monkeypatch: pytest.MonkeyPatch) -> None:
    task = operator()

    def wait(name: str) -> Standing:
        task.on_kill()
        raise LakeError("finish", f"the Spark job {name}", "its SparkApplication was removed while it ran")

    monkeypatch.setattr(cluster, "wait", wait)
    with pytest.raises(AirflowException) as caught:
        task.execute(context())
    assert ended(caught)
    assert cluster.deleted == [cluster.submitted[0][1]]


def test_killed_out_of_the_api_servers_reach_it_ends_all_the_same(cluster: Applications, monkeypatch: pytest.MonkeyPatch) -> None:
    task = operator()
    task.execute(context())

    def away(name: str) -> None:
        raise Unreachable("Kubernetes", "connection refused")

    monkeypatch.setattr(cluster, "delete", away)
    task.on_kill()


def test_deferred_it_waits_without_a_worker_and_ends_the_same(cluster: Applications) -> None:
    task = operator(deferrable=True)
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context())
    name = cluster.submitted[0][1]
    assert caught.value.method_name == "finish"
    path, arguments = caught.value.trigger.serialize()
    place = {"bucket": "datalake", "prefix": LAKE.probe_prefix}
    assert arguments == {"name": name, "namespace": "spark-jobs", "kubernetes_conn_id": "kubernetes_default", **place}
    again = operator(deferrable=True)
    assert again.finish(context(), {"name": name}) == {"application": name, "state": "COMPLETED"}
    again.on_kill()
    assert cluster.deleted == [name, name]
    assert path == "include.operators.triggers.SparkApplicationTrigger"


def test_deferred_one_that_does_not_start_is_removed_and_told(cluster: Applications) -> None:
    event = {"name": "job-1", "kept": "", "gave_up": ["start", "job-1-driver: ErrImagePull: no such image"]}
    with pytest.raises(AirflowFailException, match="Unable to start the Spark job job-1: job-1-driver: ErrImagePull: no such image"):
        operator(deferrable=True).finish(context(), event)
    assert cluster.deleted == ["job-1"]
    cluster.began = True
    assert operator(deferrable=True).finish(context(), event)["state"] == "COMPLETED", "it began before a worker was free to hear of it"


def test_what_the_trigger_has_kept_is_not_kept_again(cluster: Applications, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = list[str]()

    def recording(self: Any, name: str) -> Any:
        recordings.append(name)
        return SimpleNamespace(start=lambda: None, keep=lambda given_up: "")

    monkeypatch.setattr(LakeSparkOperator, "_recording", recording)
    operator(deferrable=True).finish(context(), {"name": "job-1", "kept": "_homelake/jobs/x.parquet"})
    assert recordings == []
    operator(deferrable=True).finish(context(), {"name": "job-1", "kept": ""})
    assert recordings == ["job-1"], "what the trigger could not keep, the end at least"


words = st.text(st.sampled_from("abcXYZ019_-.é driver"), min_size=1, max_size=60)


@given(words, words, st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,80}(\.[a-z_]{1,40})?", fullmatch=True), st.integers(-1, 99), st.integers(1, 999))
def test_a_name_fits_kubernetes_and_the_provider(dag_id: str, run_id: str, task_id: str, map_index: int, try_number: int) -> None:
    fits(job_name(SimpleNamespace(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index, try_number=try_number)))


@pytest.mark.parametrize(
    "task_id", ["spark_driver", "my_Driver", "group.THE_DRIVER_of_it", "driver", "a-driver-driver", "7", "7_days", "_", "été", "a" * 99, "x" * 19 + "_y"]
)
def test_odd_names_of_tasks(task_id: str) -> None:
    fits(job_name(SimpleNamespace(dag_id="d", run_id="r", task_id=task_id, map_index=-1, try_number=1)))


def fits(name: str) -> None:
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name), name
    assert len(name) <= 40
    assert "-driver" not in name, "the provider would cut it out when it deletes the application"


@given(
    st.lists(
        st.tuples(st.sampled_from(["r1", "r2"]), st.sampled_from(["t_1", "t_2", "g.t_1"]), st.sampled_from([-1, 0, 1]), st.integers(1, 3)),
        min_size=2,
        unique=True,
    )
)
def test_each_try_of_each_task_of_each_run_has_its_own_name(keys: list[tuple[str, str, int, int]]) -> None:
    names = {job_name(SimpleNamespace(dag_id="d", run_id=r, task_id=t, map_index=m, try_number=n)) for r, t, m, n in keys}
    assert len(names) == len(keys)
