"""The stream in a cluster: looked at, ended at a batch boundary, seen to start. The cluster is prepared; the real one is tried in tests/e2e."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException

from include.adapters import stream, stream_start
from include.adapters.stream import Streams
from include.adapters.stream_start import see_start
from include.connections import Connections, from_environment
from include.lake.errors import LakeError
from include.lake.resources.stream import ENDED, FAILED, HALTED, INCOMPLETE, LEAVING, RUNNING, StreamState
from include.lake.secret import Secret
from include.lake.stream import DIGEST, NAME, Halt
from tests.conftest import ROOT
from tests.fakes.driver_log import stamped

CONNECTIONS: Connections = from_environment(
    {
        "AIRFLOW_CONN_MINIO_ADMIN": '{"conn_type": "minio", "host": "http://10.0.0.10:9000/"}',
        "AIRFLOW_CONN_KAFKA_DEFAULT": '{"conn_type": "kafka", "extra": {"bootstrap.servers": "10.0.0.2:9092"}}',
    }
)


def pod(name: str, uid: str, phase: str = "Running") -> SimpleNamespace:
    return SimpleNamespace(metadata=SimpleNamespace(name=name, uid=uid), status=SimpleNamespace(phase=phase, container_statuses=None, conditions=None))


class Cluster:
    """A cluster with one application, or none. `then` is called at each look and may change it."""

    def __init__(self, state: str | None = "RUNNING", error: str = "", *, pods: tuple[Any, ...] = (pod(f"{NAME}-driver", "1"),)) -> None:
        self.state, self.error, self.pods, self.config = state, error, list(pods), True
        self.secrets: dict[str, dict[str, Secret]] = {}
        self.core = self.custom = self
        self.api = SimpleNamespace(configuration=None)
        self.calls: list[str] = []
        self.leaving, self.digest = False, "d1"
        self.more: dict[str, Any] = {}
        self.written = ""  # when the operator wrote the status
        self.then: Callable[[int], None] = lambda look: None
        self.looks = 0
        self.log: list[bytes] = []

    def call(self, what: str, function: Any, *args: Any, absent: tuple[int, ...] = (), **options: Any) -> Any:
        return function(*args, **options)

    def _object(self, state: str, error: str) -> dict[str, Any]:
        meta = {"name": NAME, "annotations": {DIGEST: self.digest}} | ({"deletionTimestamp": "now"} if self.leaving else {})
        meta |= {"managedFields": [{"subresource": "status", "time": self.written}, {"time": ago(1)}]} if self.written else {}
        return {"metadata": meta, "status": {"applicationState": {"state": state, "errorMessage": error}, **self.more}}

    def get_namespaced_custom_object(self, *args: Any) -> Any:
        self.then(self.looks)
        self.looks += 1
        return None if self.state is None else self._object(self.state, self.error)

    def list_namespaced_custom_object(self, *args: Any, **options: Any) -> Any:
        if "field_selector" in options:
            raise OSError("no watch here")
        assert options == {"label_selector": "homelake/stream=once"}
        return {"items": [{"metadata": {"name": f"batch-{s}"}, "status": {"applicationState": {"state": s}}} for s in ("RUNNING", "COMPLETED")]}

    def delete_namespaced_custom_object(self, *args: Any, **options: Any) -> None:
        self.calls.append(f"delete {options['propagation_policy']}")
        self.leaving, self.pods = True, []

    def delete_namespaced_pod(self, *args: Any, **options: Any) -> None:
        raise AssertionError("they are gone")

    def list_namespaced_pod(self, namespace: str, label_selector: str) -> Any:
        return SimpleNamespace(items=self.pods)

    def read_namespaced_config_map(self, name: str, namespace: str) -> Any:
        return SimpleNamespace() if self.config else None

    def read_namespaced_pod_log(self, *args: Any, timestamps: bool = False, **options: Any) -> Any:
        return SimpleNamespace(stream=lambda size, decode_content: iter([stamped(self.log)] if timestamps else self.log))

    def secret(self, namespace: str, name: str) -> Any:
        return self.secrets.get(name)

    def write_secret(self, namespace: str, name: str, values: Any) -> None:
        self.secrets[name] = values

    def patch_secret(self, namespace: str, name: str, values: Any) -> None:
        self.secrets[name] = {k: v for k, v in {**self.secrets[name], **values}.items() if v is not None}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(stream, "_STEP", 0.001)
    return []


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was run in a container; `fails` is raised instead when it is set."""
    ran: list[tuple[str, ...]] = []
    import kubernetes.stream

    def execute(function: Any, name: str, namespace: str, **options: Any) -> Any:
        ran.append((name, options["container"], *options["command"]))
        return SimpleNamespace(run_forever=lambda timeout: None, read_channel=lambda n: json.dumps({"status": "Success"}), close=lambda: None)

    monkeypatch.setattr(kubernetes.stream, "stream", execute)
    monkeypatch.setattr("kubernetes.client.ApiClient", lambda configuration: None)
    return ran


def streams(cluster: Cluster, said: list[str]) -> Streams:
    return Streams(CONNECTIONS, cluster, said.append)  # type: ignore[arg-type]


def needed(file: str, known: frozenset[str] = frozenset()) -> set[str]:
    """A file of jobs/, and those beside it that it imports."""
    found = {f"{name}.py" for name in re.findall(r"^(?:from|import) (payments_\w+)", (ROOT / "jobs" / file).read_text(), re.MULTILINE)} - known
    return {file, *found, *(name for one in found for name in needed(one, known | {file, *found}))}


def test_what_surrounds_it_comes_from_the_connections_and_the_jobs_folder(said: list[str]) -> None:
    around = streams(Cluster(), said).surroundings()
    assert (around.endpoint, around.bootstrap, around.kafka) == ("http://10.0.0.10:9000", "10.0.0.2:9092", frozenset())
    assert set(around.files) == needed("payments_stream.py")
    assert all(text.startswith('"""') for text in around.files.values())
    with pytest.raises(LakeError, match=r"Unable to read the stream's job .*nosuch\.py: No such file or directory"):
        streams(Cluster(), said).surroundings(("nosuch.py",))


@pytest.mark.parametrize(
    ("state", "phase"),
    [("", RUNNING), ("SUBMITTED", RUNNING), ("RUNNING", RUNNING), ("FAILING", RUNNING), ("PENDING_RERUN", RUNNING), ("SUBMISSION_FAILED", RUNNING),
     ("UNKNOWN", RUNNING), ("FAILED", FAILED), ("COMPLETED", ENDED)],
)  # fmt: skip
def test_it_runs_as_long_as_the_operator_is_at_it(state: str, phase: str, said: list[str]) -> None:
    assert streams(Cluster(state), said).stream("spark-jobs") == StreamState("d1", phase)


def ago(seconds: int) -> str:
    return f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(("state", "seconds", "phase"), [
    ("FAILING", 30, RUNNING), ("FAILING", 90, HALTED), ("SUBMISSION_FAILED", 30, RUNNING), ("SUBMISSION_FAILED", 90, HALTED), ("RUNNING", 90, RUNNING),
])  # fmt: skip
def test_one_that_waits_long_for_its_next_try_does_not_run(state: str, seconds: int, phase: str, said: list[str]) -> None:
    cluster = Cluster(state, "driver container failed with ExitCode: 3, Reason: Error")
    ended = {"terminationTime": ago(seconds)} if state == "FAILING" else {}
    cluster.more = {"executionAttempts": 84, "submissionAttempts": 84, "lastSubmissionAttemptTime": ago(seconds + 40 * (state == "FAILING"))} | ended
    there = streams(cluster, said)
    assert there.stream("spark-jobs") == StreamState("d1", phase)
    if state == "FAILING":
        found = there.halted("spark-jobs")
        assert found
        assert (found.error, abs(found.seconds - seconds) < 3, abs(found.again - (840 - seconds - 40)) < 3) == (cluster.error, True, True)
        cluster.log = [b"x\nUnable to go on with the stream of payments: Kafka does not answer. Look at it.\n"]
        assert there.halted("spark-jobs").error == "Kafka does not answer. Look at it"  # type: ignore[union-attr]
    assert (there.halted("spark-jobs") is None) is (state == "RUNNING")


def test_one_that_is_about_to_be_submitted_again_is_judged_by_when_that_was_written(said: list[str]) -> None:
    """Of a driver that ran for weeks the last submission is long ago, and the operator has forgotten by then when it ended."""
    cluster = Cluster("PENDING_RERUN")
    cluster.more = {"submissionAttempts": 2, "lastSubmissionAttemptTime": ago(2_000_000), "terminationTime": None}
    cluster.written = ago(5)
    assert streams(cluster, said).stream("spark-jobs") == StreamState("d1", RUNNING)
    cluster.written = ago(300)
    assert streams(cluster, said).stream("spark-jobs") == StreamState("d1", HALTED)
    halt = streams(cluster, said).halted("spark-jobs")
    assert isinstance(halt, Halt)
    assert (halt.state, halt.again) == ("PENDING_RERUN", 0)


def test_absent_incomplete_and_leaving_are_told_apart(said: list[str]) -> None:
    assert streams(Cluster(None), said).stream("spark-jobs") is None
    cluster = Cluster()
    cluster.config = False
    assert streams(cluster, said).stream("spark-jobs") == StreamState("d1", INCOMPLETE)
    cluster.leaving = True
    assert streams(cluster, said).stream("spark-jobs") == StreamState("d1", LEAVING)


def test_kafkas_log_in_is_written_whole_and_read_back(said: list[str]) -> None:
    cluster = Cluster()
    both, one = (frozenset((n, Secret(n)) for n in names) for names in (("client.properties", "ca.pem"), ("client.properties",)))
    for files in (both, one):
        streams(cluster, said).write_kafka("spark-jobs", files)
        assert streams(cluster, said).stream("spark-jobs") == StreamState("d1", RUNNING, files)


def test_it_is_asked_once_to_end_and_waited_for(said: list[str], marks: list[Any]) -> None:
    cluster = Cluster()

    def go_on(look: int) -> None:
        cluster.state = ("RUNNING", "RUNNING", "RUNNING", "SUCCEEDING", "COMPLETED")[min(look, 4)]
        cluster.pods = [pod(f"{NAME}-driver", "1", "Running" if look < 3 else "Succeeded")]

    cluster.then = go_on
    streams(cluster, said).stop_stream("spark-jobs")
    assert marks == [(f"{NAME}-driver", "spark-kubernetes-driver", "touch", "/tmp/homelake-stop")]
    assert cluster.looks == 5
    assert not cluster.calls, "it is ended, not removed"


def test_a_driver_that_was_started_again_meanwhile_is_asked_as_well(said: list[str], marks: list[Any]) -> None:
    cluster = Cluster()

    def go_on(look: int) -> None:
        cluster.pods = [pod(f"{NAME}-driver", "1" if look < 2 else "2")]
        cluster.state = "RUNNING" if look < 4 else "COMPLETED"

    cluster.then = go_on
    streams(cluster, said).stop_stream("spark-jobs")
    assert len(marks) == 2


@pytest.mark.parametrize("state", ["SUBMITTED", "PENDING_RERUN", "FAILING", "SUBMISSION_FAILED"])
def test_without_a_driver_at_work_there_is_no_batch_to_wait_for(state: str, said: list[str], marks: list[Any]) -> None:
    streams(Cluster(state, pods=(pod(f"{NAME}-driver", "1", "Pending"),)), said).stop_stream("spark-jobs")
    assert not marks
    assert said == [f"{NAME} is {state}: no driver of it is at work"]


def test_the_error_of_one_that_had_failed_is_told(said: list[str], marks: list[Any]) -> None:
    streams(Cluster("FAILED", "driver container failed with ExitCode: 137, Reason: OOMKilled"), said).stop_stream("spark-jobs")
    assert said == [f"{NAME} had ended as FAILED: driver container failed with ExitCode: 137, Reason: OOMKilled"]
    assert not marks


def test_one_that_does_not_end_is_told_and_left(said: list[str], marks: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STOP_SECONDS", 0.02)
    cluster = Cluster()
    with pytest.raises(
        LakeError, match=r"Unable to stop stream/payments: its driver still runs 0\.02 s after it was asked to end\. .*kubectl -n spark-jobs logs"
    ):
        streams(cluster, said).stop_stream("spark-jobs")
    assert not cluster.calls


def test_who_may_not_run_a_command_in_the_driver_is_told_which_right_is_missing(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import kubernetes.stream

    def refused(*args: Any, **options: Any) -> Any:
        raise ApiException(status=0, reason="Handshake status 403 Forbidden -+-+- {'audit-id': 'x'} -+-+- b'…'")

    monkeypatch.setattr(kubernetes.stream, "stream", refused)
    monkeypatch.setattr("kubernetes.client.ApiClient", lambda configuration: None)
    with pytest.raises(LakeError, match=r"may not run a command in it \(pods/exec\)\. Give it that right; \./lake doctor"):
        streams(Cluster(), said).stop_stream("spark-jobs")


def test_a_container_that_is_gone_is_asked_again_and_not_an_error(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import kubernetes.stream

    cluster, asked = Cluster(), []

    def gone(*args: Any, **options: Any) -> Any:
        asked.append(1)
        if len(asked) == 3:
            cluster.state = "COMPLETED"
        raise ApiException(status=0, reason="Handshake status 500 Internal Server Error -+-+- container not found")

    monkeypatch.setattr(kubernetes.stream, "stream", gone)
    monkeypatch.setattr("kubernetes.client.ApiClient", lambda configuration: None)
    streams(cluster, said).stop_stream("spark-jobs")
    assert len(asked) == 3


def test_it_is_gone_when_it_is_removed(said: list[str]) -> None:
    cluster = Cluster("COMPLETED")

    def go_on(look: int) -> None:
        if look == 3:
            cluster.state = None

    cluster.then = go_on
    streams(cluster, said).remove_stream("spark-jobs")
    assert cluster.calls == ["delete Foreground"]
    assert cluster.looks == 4, "the next of its name would be taken for this one"


def test_one_that_stays_is_told(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "GONE_SECONDS", 0.01)
    with pytest.raises(LakeError, match=r"its SparkApplication is still there after 0\.01 s"):
        streams(Cluster("COMPLETED"), said).remove_stream("spark-jobs")


def test_how_often_the_operator_has_started_it(said: list[str]) -> None:
    cluster = Cluster("PENDING_RERUN")
    assert streams(cluster, said).attempts("spark-jobs") == (0, 0.0)
    last = datetime.now(UTC) - timedelta(seconds=30)
    cluster.more = {"executionAttempts": 4, "lastSubmissionAttemptTime": f"{last:%Y-%m-%dT%H:%M:%SZ}"}
    attempts, since = streams(cluster, said).attempts("spark-jobs")
    assert attempts == 4
    assert 29 <= since < 40
    assert streams(Cluster(None), said).attempts("spark-jobs") == (0, 0.0)


@pytest.mark.parametrize(("state", "found"), [("RUNNING", "RUNNING"), ("", "NEW"), ("SUBMISSION_FAILED", "SUBMISSION_FAILED"), ("FAILED", ""), (None, "")])
def test_whether_it_is_at_work(state: str | None, found: str, said: list[str]) -> None:
    assert streams(Cluster(state), said).at_work("spark-jobs") == found


def test_it_does_not_begin_beside_a_micro_batch(said: list[str]) -> None:
    with pytest.raises(LakeError, match="batch-RUNNING writes to the same checkpoint"):
        streams(Cluster(None), said).submit_stream({"metadata": {"namespace": "spark-jobs"}}, {})


class Watching(Cluster):
    """A cluster whose watch shows these standings, each for a moment; at the end the application stays as it is."""

    def __init__(self, *watched: tuple[str, str], log: str = "") -> None:
        super().__init__(watched[0][0])
        self.watched, self.log, self.stays = list(watched), [log.encode()], bool(log)


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> None:
    from include.adapters.spark import SparkApplications
    from include.lake.spark import Standing, standing

    def watch(self: Any, name: str) -> Iterator[Standing]:
        cluster = self._k
        for state, error in cluster.watched:
            yield standing(cluster._object(state, error))
        if cluster.stays:
            threading.Event().wait(5)  # a thread of its own, which nobody waits for

    monkeypatch.setattr(SparkApplications, "watch", watch)
    monkeypatch.setattr(stream_start, "LOOK_SECONDS", 0.01)


RUNS = "26/05/01 WARN x\nThe stream of payments runs: 10.0.0.2:9092 to s3a://datalake/payments/\n"


def test_it_has_started_when_the_driver_says_so(said: list[str], watching: None) -> None:
    see_start(streams(Watching(("SUBMITTED", ""), ("RUNNING", ""), log=RUNS), said), "spark-jobs", said.append)
    assert said == ["[driver] The stream of payments runs: 10.0.0.2:9092 to s3a://datalake/payments/"]


def test_one_that_cannot_run_as_declared_is_removed_with_its_own_words(said: list[str], watching: None) -> None:
    words = "Unable to run the stream of payments: its checkpoint was made for topic 'a' (now 'b'). Declare that again, or a new checkpoint and a new path.\n"
    cluster = Watching(("RUNNING", ""), ("FAILING", "driver container failed with ExitCode: 2, Reason: Error"), ("PENDING_RERUN", ""), log=words)
    cluster.then = lambda look: setattr(cluster, "state", None)
    with pytest.raises(LakeError, match=r"Unable to run stream/payments: its checkpoint was made for topic 'a' \(now 'b'\)\. .*no restart helps"):
        see_start(streams(cluster, said), "spark-jobs", said.append)
    assert cluster.calls == ["delete Foreground"]


def test_one_that_the_store_refuses_stays_and_is_started_again(said: list[str], watching: None) -> None:
    words = "Unable to go on with the stream of payments: the lake's disk is full. Enlarge it (docs/how-to/grow-the-disk.md).\n"
    cluster = Watching(("RUNNING", ""), ("FAILING", "driver container failed with ExitCode: 3, Reason: Error"), log=words)
    with pytest.raises(LakeError, match=r"the lake's disk is full\. .*The spark-operator starts it again"):
        see_start(streams(cluster, said), "spark-jobs", said.append)
    assert not cluster.calls


def test_one_that_was_removed_or_never_runs_is_told(said: list[str], watching: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LakeError, match="its SparkApplication was removed meanwhile"):
        see_start(streams(Watching(("SUBMITTED", "")), said), "spark-jobs", said.append)
    monkeypatch.setattr(stream_start, "_watch", lambda applications, news: None)
    with pytest.raises(LakeError, match=r"it does not run after 0\.05 s"):
        see_start(streams(Watching(("SUBMITTED", "")), said), "spark-jobs", said.append, 0.05)
    cluster = Watching(("SUBMITTED", ""))
    waiting = SimpleNamespace(waiting=SimpleNamespace(reason="ErrImagePull", message="no such image"))
    cluster.pods[0].status.container_statuses = [SimpleNamespace(state=waiting)]
    with pytest.raises(LakeError, match="ErrImagePull: no such image"):
        see_start(streams(cluster, said), "spark-jobs", said.append, 5)


def test_one_that_no_node_has_room_for_is_told_once(said: list[str], watching: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_start, "_watch", lambda applications, news: None)
    cluster = Watching(("SUBMITTED", ""))
    cluster.pods = [pod(f"{NAME}-driver", "1", "Pending")]
    full = SimpleNamespace(type="PodScheduled", status="False", reason="Unschedulable", message="0/1 nodes are available: 1 Insufficient memory.")
    cluster.pods[0].status.conditions = [full]
    with pytest.raises(LakeError, match=r"it does not run after 0\.2 s; \S+-driver waits for room: 0/1 nodes are available: 1 Insufficient memory\."):
        see_start(streams(cluster, said), "spark-jobs", said.append, 0.2)
    assert said == [f"{cluster.pods[0].metadata.name} waits for room in the cluster: 0/1 nodes are available: 1 Insufficient memory."]
