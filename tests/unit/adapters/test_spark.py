"""SparkApplications in a cluster: how a job's end is told. The cluster is prepared; the real one is tried in tests/e2e."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from include.adapters import spark, spark_guard
from include.adapters.spark import SparkApplications
from include.adapters.spark_log import lines
from include.lake.errors import LakeError, Unreachable
from tests.fakes.driver_log import stamped
from tests.unit.conftest import recorded


def container(**state: Any) -> SimpleNamespace:
    whole = {"terminated": None, "waiting": None} | {k: SimpleNamespace(**v) for k, v in state.items()}
    return SimpleNamespace(state=SimpleNamespace(**whole), last_state=None)


def pod(name: str, phase: str, *containers: SimpleNamespace, unschedulable: str = "") -> SimpleNamespace:
    condition = SimpleNamespace(type="PodScheduled", status="False", reason="Unschedulable", message=unschedulable)
    status = SimpleNamespace(phase=phase, container_statuses=list(containers) or None, conditions=[condition] if unschedulable else None)
    return SimpleNamespace(metadata=SimpleNamespace(name=name), status=status)


class Cluster:
    """A cluster that shows one application in the given states, one after the other; then it is gone."""

    def __init__(self, *states: tuple[str, str] | Exception, pods: tuple[Any, ...] = (), log: bytes = b"") -> None:
        self.states, self.pods, self.deleted = list(states), list(pods), list[str]()
        self.stays = False  # what is removed
        self.core = self.custom = self
        self.log = log

    def call(self, what: str, function: Any, *args: Any, absent: tuple[int, ...] = (), **options: Any) -> Any:
        return function(*args, **options)

    def get_namespaced_custom_object(self, *args: Any) -> Any:
        if not self.states:
            return None
        look = self.states[0] if len(self.states) == 1 else self.states.pop(0)
        if isinstance(look, Exception):
            raise look
        state, error = look
        return {
            "metadata": {"name": "job-1"},
            "status": {"applicationState": {"state": state, "errorMessage": error}, "executorState": {"job-1-exec-1": "FAILED"}},
        }

    def list_namespaced_custom_object(self, *args: Any, **options: Any) -> Any:
        raise OSError("the watch breaks at once: the next look goes on")

    def delete_namespaced_custom_object(self, *args: Any, propagation_policy: str) -> None:
        self.deleted.append(args[-1])
        if not self.stays:
            self.states, self.pods = [], []

    def delete_namespaced_pod(self, name: str, *args: Any, **options: Any) -> None:
        self.deleted.append(name)

    def list_namespaced_pod(self, namespace: str, label_selector: str) -> Any:
        assert label_selector == "sparkoperator.k8s.io/app-name=job-1"
        return SimpleNamespace(items=self.pods)

    def list_namespaced_event(self, namespace: str, field_selector: str) -> Any:
        return SimpleNamespace(
            items=[SimpleNamespace(reason="SparkApplicationFailed", message="it failed\nwith details")] if field_selector.endswith("=job-1") else []
        )

    def read_namespaced_pod_log(self, *args: Any, timestamps: bool = False, **options: Any) -> Any:
        log = stamped([self.log]) if timestamps else self.log
        return SimpleNamespace(stream=lambda size, decode_content: iter([log[:7], log[7:]]))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(spark, "GONE_SECONDS", 0.01)


@pytest.fixture
def said() -> list[str]:
    return []


def applications(cluster: Cluster, said: list[str]) -> SparkApplications:
    return SparkApplications(cluster, "spark-jobs", said.append)  # type: ignore[arg-type]


def test_a_job_is_followed_to_its_end_with_its_log(said: list[str]) -> None:
    cluster = Cluster(
        ("", ""),
        ("SUBMITTED", ""),
        ("RUNNING", ""),
        ("RUNNING", ""),
        ("SUCCEEDING", ""),
        ("COMPLETED", ""),
        log=b"DEBUG: Access Key exists: True\nWrite Success!\n",
    )
    assert applications(cluster, said).wait("job-1").state == "COMPLETED"
    states = [s for s in said if s.startswith("job-1: ")]
    assert states == ["job-1: NEW", "job-1: SUBMITTED", "job-1: RUNNING", "job-1: SUCCEEDING", "job-1: COMPLETED"]
    assert [s for s in said if s.startswith("[driver]")] == ["[driver] DEBUG: Access Key exists: True", "[driver] Write Success!"]


def test_a_failed_job_is_told_with_the_operators_cause_and_its_evidence(said: list[str]) -> None:
    pods = (
        pod("job-1-driver", "Failed", container(terminated={"exit_code": 137, "reason": "OOMKilled"})),
        pod("job-1-exec-1", "Pending", container(waiting={"reason": "X", "message": "y"})),
    )
    cluster = Cluster(("RUNNING", ""), ("FAILED", "driver container failed with ExitCode: 137, Reason: OOMKilled"), pods=pods)
    with pytest.raises(
        LakeError,
        match=r"Unable to finish the Spark job job-1: it ended as FAILED: driver container failed with ExitCode: 137, Reason: OOMKilled\. .*kubectl -n spark-jobs describe",
    ):
        applications(cluster, said).wait("job-1")
    evidence = next(s for s in said if s.startswith("evidence:")).splitlines()
    assert evidence == ["evidence:", "executor job-1-exec-1: FAILED", "pod job-1-driver: Failed, exit 137 OOMKilled", "pod job-1-exec-1: Pending, X: y",
                        "event job-1: SparkApplicationFailed: it failed"]  # fmt: skip


def test_a_submission_that_failed_is_told_out_of_its_java_trace(said: list[str]) -> None:
    cluster = Cluster(("SUBMISSION_FAILED", "failed to run spark-submit: " + recorded("spark/no_service_account.txt")))
    with pytest.raises(LakeError, match='serviceaccount "nosuch" not found'):
        applications(cluster, said).wait("job-1")


def test_an_application_that_was_removed_is_no_success(said: list[str]) -> None:
    with pytest.raises(LakeError, match="its SparkApplication was removed while it ran"):
        applications(Cluster(), said).wait("job-1")


def test_one_that_is_removed_while_it_runs_is_told_so(said: list[str]) -> None:
    cluster = Cluster(("RUNNING", ""))

    def removed(*args: Any, **options: Any) -> Any:
        cluster.states.clear()
        raise OSError("the watch breaks")

    cluster.list_namespaced_custom_object = removed  # type: ignore[method-assign]
    with pytest.raises(LakeError, match="its SparkApplication was removed while it ran"):
        applications(cluster, said).wait("job-1")


def test_an_operator_that_does_not_know_for_too_long_is_a_failure_and_nothing_runs_on(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "LOST_SECONDS", 0.01)
    cluster = Cluster(("UNKNOWN", ""))
    with pytest.raises(LakeError, match=r"it ended as UNKNOWN: the operator gave no cause\. .* The SparkApplication was removed"):
        applications(cluster, said).wait("job-1")
    assert cluster.deleted == ["job-1"]


AWAY = Unreachable("Kubernetes at https://10.0.0.1:6443", "connection refused", "Check the connection 'kubernetes_default'")


def test_an_api_server_that_is_away_for_a_moment_is_waited_for(said: list[str]) -> None:
    refused = LakeError("use", "SparkApplications in Kubernetes", "it may not", "an API server that starts says so for a moment")
    cluster = Cluster(("RUNNING", ""), AWAY, AWAY, refused, ("RUNNING", ""), ("COMPLETED", ""))
    assert applications(cluster, said).wait("job-1").state == "COMPLETED"
    assert [s for s in said if "again" in s] == [f"job-1 is looked for again, for 300 s: {AWAY}"], "once"
    assert not cluster.deleted


def test_an_api_server_that_stays_away_is_told_with_what_it_means_and_nobody_looks_on(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "AWAY_SECONDS", 0.05)
    ended = list[spark_guard.Guard]()
    monkeypatch.setattr(spark_guard.Guard, "stop", lambda guard: ended.append(guard))
    with pytest.raises(Unreachable, match=r"connection refused, for 0\.05 s\. Check .*job-1 may still be at work; another try of the task removes it first"):
        applications(Cluster(AWAY), said).wait("job-1")
    assert len(ended) == 1


def test_what_is_refused_from_the_first_is_not_waited_for(said: list[str]) -> None:
    with pytest.raises(LakeError, match="it may not"):
        applications(Cluster(LakeError("use", "SparkApplications in Kubernetes", "it may not")), said).wait("job-1")


def test_a_job_that_failed_is_told_although_its_evidence_is_out_of_reach(said: list[str]) -> None:
    cluster = Cluster(("FAILED", "OOMKilled"), AWAY)
    with pytest.raises(LakeError, match="it ended as FAILED: OOMKilled") as caught:
        applications(cluster, said).wait("job-1")
    assert not caught.value.retry, "another try would run a job again that had its end"


@pytest.mark.parametrize("state", ["", "SUBMITTED", "RUNNING", "UNKNOWN"])
def test_one_that_may_still_be_at_work_is_cleared_away(state: str, said: list[str]) -> None:
    cluster = Cluster((state, ""), pods=(pod("job-1-driver", "Running"),))
    assert applications(cluster, said).clear("job-1")
    assert cluster.deleted == ["job-1"]
    assert not applications(cluster, said).clear("job-1")


def test_one_that_is_over_stays_for_whoever_looks_at_it(said: list[str]) -> None:
    cluster = Cluster(("FAILED", "OOMKilled"), pods=(pod("job-1-driver", "Failed"),))
    assert not applications(cluster, said).clear("job-1")
    assert not cluster.deleted


def test_one_whose_pods_stay_is_not_taken_for_gone(said: list[str]) -> None:
    """As on a node that does not answer: what runs there goes on."""
    cluster = Cluster(("RUNNING", ""), pods=(pod("job-1-driver", "Running"),))
    cluster.stays = True
    with pytest.raises(
        LakeError, match=r"Unable to remove the Spark job job-1: pod job-1-driver is still there after 0\.01 s\. .*kubectl -n spark-jobs describe pod job-1"
    ):
        applications(cluster, said).clear("job-1")


def test_an_operator_that_knows_again_is_waited_for(said: list[str]) -> None:
    assert applications(Cluster(("RUNNING", ""), ("UNKNOWN", ""), ("RUNNING", ""), ("COMPLETED", "")), said).wait("job-1").state == "COMPLETED"


@pytest.mark.parametrize(
    ("reason", "never"),
    [
        ("ErrImagePull", True),
        ("ImagePullBackOff", True),
        ("CreateContainerConfigError", True),
        ("InvalidImageName", True),
        ("ContainerCreating", False),
        ("PodInitializing", False),
    ],
)
def test_a_pod_that_will_never_start_is_known(reason: str, never: bool, said: list[str]) -> None:
    cluster = Cluster(
        ("SUBMITTED", ""), pods=(pod("a", "Pending"), pod("job-1-driver", "Pending", container(waiting={"reason": reason, "message": 'secret "x" not found'})))
    )
    assert spark_guard.stuck(applications(cluster, said).pods("job-1")) == (f'job-1-driver: {reason}: secret "x" not found' if never else "")


NO_ROOM = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."


def test_an_executor_without_room_is_told_once(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_guard, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(spark_guard, "ROOM_SECONDS", 0.01)
    cluster = Cluster(("RUNNING", ""), pods=(pod("job-1-driver", "Running", container()), pod("job-1-exec-1", "Pending", unschedulable=NO_ROOM)))
    monkeypatch.setattr(spark_guard, "START_SECONDS", 0)
    guard = spark_guard.Guard(lambda: applications(cluster, said).pods("job-1"), said.append, said.append)
    guard.runs()
    time.sleep(0.2)
    guard.stop()
    assert said == ["job-1-exec-1 waits for room in the cluster: 0/1 nodes are available: 1 Insufficient cpu."]
    assert not guard.problem, "an executor may yet get its room"


def test_a_driver_that_gets_no_room_fails_with_the_schedulers_reason(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_guard, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(spark_guard, "START_SECONDS", 0.05)
    cluster = Cluster(("SUBMITTED", ""), pods=(pod("job-1-driver", "Pending", unschedulable=NO_ROOM),))
    monkeypatch.setattr(cluster, "patch_namespaced_custom_object", lambda *a: None, raising=False)
    with pytest.raises(LakeError, match=r"no driver runs after 0.05 s; job-1-driver waits for room: 0/1 nodes are available: 1 Insufficient cpu\."):
        applications(cluster, said).wait("job-1")
    assert cluster.deleted == ["job-1"], "it would begin when there is room, beside the next one"


@pytest.mark.parametrize(("phase", "late"), [("Pending", True), ("Running", False), ("Succeeded", False)])
def test_a_driver_that_began_unseen_is_not_late(phase: str, late: bool, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_guard, "START_SECONDS", -1)
    assert bool(spark_guard.Start(said.append).problem([pod("job-1-driver", phase)])) is late


@pytest.mark.parametrize(("state", "went_on"), [("SUBMITTED", False), ("UNKNOWN", False), ("RUNNING", True), ("COMPLETED", True), ("FAILED", True)])
def test_one_that_was_given_up_may_have_gone_on(state: str, went_on: bool, said: list[str]) -> None:
    assert applications(Cluster((state, "")), said).went_on("job-1") is went_on
    assert applications(Cluster(), said).went_on("job-1")


def test_one_that_cannot_be_removed_is_told_with_the_way(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(("SUBMITTED", ""))

    def away(*args: Any, **options: Any) -> None:
        raise AWAY

    monkeypatch.setattr(cluster, "delete_namespaced_custom_object", away)
    error = applications(cluster, said).give_up("job-1", "start", "ErrImagePull")
    assert str(error) == (
        "Unable to start the Spark job job-1: ErrImagePull. It could not be removed (connection refused) and may yet run: "
        "kubectl -n spark-jobs delete sparkapplication job-1."
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_of_a_log_come_whole_whatever_its_blocks(size: int) -> None:
    log = "first\n\ndrittes €\nlast without end".encode()

    def blocks() -> Iterator[bytes]:
        yield from (log[i : i + size] for i in range(0, len(log), size))

    assert list(lines(blocks())) == ["first", "", "drittes €", "last without end"]
