"""SparkApplications in a cluster: how a job's end is told. The cluster is prepared; the real one is tried in tests/e2e."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from include.adapters import spark
from include.adapters.spark import SparkApplications, _lines
from include.lake.errors import LakeError
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

    def __init__(self, *states: tuple[str, str], pods: tuple[Any, ...] = (), log: bytes = b"") -> None:
        self.states, self.pods, self.deleted = list(states), list(pods), list[str]()
        self.core = self.custom = self
        self.log = log

    def call(self, what: str, function: Any, *args: Any, absent: tuple[int, ...] = (), **options: Any) -> Any:
        return function(*args, **options)

    def get_namespaced_custom_object(self, *args: Any) -> Any:
        if not self.states:
            return None
        state, error = self.states[0] if len(self.states) == 1 else self.states.pop(0)
        return {
            "metadata": {"name": "job-1"},
            "status": {"applicationState": {"state": state, "errorMessage": error}, "executorState": {"job-1-exec-1": "FAILED"}},
        }

    def list_namespaced_custom_object(self, *args: Any, **options: Any) -> Any:
        raise OSError("the watch breaks at once: the next look goes on")

    def list_namespaced_pod(self, namespace: str, label_selector: str) -> Any:
        assert label_selector == "sparkoperator.k8s.io/app-name=job-1"
        return SimpleNamespace(items=self.pods)

    def list_namespaced_event(self, namespace: str, field_selector: str) -> Any:
        return SimpleNamespace(
            items=[SimpleNamespace(reason="SparkApplicationFailed", message="it failed\nwith details")] if field_selector.endswith("=job-1") else []
        )

    def read_namespaced_pod_log(self, *args: Any, **options: Any) -> Any:
        return SimpleNamespace(stream=lambda size, decode_content: iter([self.log[:7], self.log[7:]]))


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


def test_an_operator_that_does_not_know_for_too_long_is_a_failure(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "LOST_SECONDS", 0.01)
    with pytest.raises(LakeError, match="it ended as UNKNOWN: the operator gave no cause"):
        applications(Cluster(("UNKNOWN", "")), said).wait("job-1")


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
    assert spark.stuck(applications(cluster, said).pods("job-1")) == (f'job-1-driver: {reason}: secret "x" not found' if never else "")


NO_ROOM = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."


def test_an_executor_without_room_is_told_once(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(spark, "ROOM_SECONDS", 0.01)
    cluster = Cluster(("RUNNING", ""), pods=(pod("job-1-driver", "Running", container()), pod("job-1-exec-1", "Pending", unschedulable=NO_ROOM)))
    guard = spark._Guard(applications(cluster, said), "job-1", time.monotonic() - spark.START_SECONDS - 1)
    guard.runs()
    time.sleep(0.2)
    guard.stop()
    assert said == ["job-1-exec-1 waits for room in the cluster: 0/1 nodes are available: 1 Insufficient cpu."]
    assert not guard.problem, "an executor may yet get its room"


def test_a_driver_that_gets_no_room_fails_with_the_schedulers_reason(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(spark, "START_SECONDS", 0.05)
    cluster = Cluster(("SUBMITTED", ""), pods=(pod("job-1-driver", "Pending", unschedulable=NO_ROOM),))
    monkeypatch.setattr(cluster, "patch_namespaced_custom_object", lambda *a: None, raising=False)
    with pytest.raises(LakeError, match=r"no driver runs after 0.05 s; job-1-driver waits for room: 0/1 nodes are available: 1 Insufficient cpu\."):
        applications(cluster, said).wait("job-1")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_of_a_log_come_whole_whatever_its_blocks(size: int) -> None:
    log = "first\n\ndrittes €\nlast without end".encode()

    def blocks() -> Iterator[bytes]:
        yield from (log[i : i + size] for i in range(0, len(log), size))

    assert list(_lines(blocks())) == ["first", "", "drittes €", "last without end"]
