"""Kubernetes' documents, as they were recorded, and the ends of pods that the recordings do not have."""

from collections.abc import Callable
from typing import Any

import pytest

from include.lake.metrics import parse
from tests.unit.lake.metrics.made import document

PODS = {p.name: p for p in map(parse.pod, document("pods-1")["items"])}
BATCH = {p.name: p for p in map(parse.pod, document("batch/pods-1")["items"])}
UIDS = {("spark-jobs", p.name): p.uid for p in PODS.values()}


@pytest.mark.parametrize(("text", "number"), [("896Mi", 896 * 2**20), ("1Gi", 2**30), ("500m", 0.5), ("2", 2), ("1.5", 1.5), ("1e3", 1000), ("12E", 12e18),
                                              ("128974848", 128974848), ("129M", 129e6), ("1k", 1000), ("100n", 1e-7), ("3u", 3e-6), (1, 1), ("5Ti", 5 * 2**40)])  # fmt: skip
def test_quantities(text: object, number: float) -> None:
    assert parse.quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "x", "1Q", "1KB", "Mi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        parse.quantity(text)


def test_the_kubelets_summary_tells_of_spark_pods_alone() -> None:
    uses = {u.pod: u for u in parse.summary(document("summary-1"), UIDS)}
    assert set(uses) == {"payments-stream-driver", "payments-stream-0e1b87a219f24adb-exec-1", "busy-1-driver"}, "neither Kafka nor the operator"
    driver = uses["payments-stream-driver"]
    assert driver.at == parse.moment("2026-11-26T22:22:23Z")
    assert driver.network_at == parse.moment("2026-11-26T22:22:17Z"), "the network is read at another time"
    assert (driver.cpu, driver.cpu_seconds, driver.memory) == (0.247602894, 39.367766063, 729264128)
    assert (driver.received, driver.sent, driver.disk) == (1634812, 4968324, 364544)


def test_a_pod_of_the_same_name_that_was_before_is_not_this_one() -> None:
    assert parse.summary(document("summary-1"), {("spark-jobs", "busy-1-driver"): "another"}) == []


def test_the_sum_of_containers_where_the_kubelet_has_none_of_the_pod() -> None:
    def container(seconds: int, cpu: int) -> dict[str, Any]:
        time = f"2026-11-26T22:22:{seconds}Z"
        return {"cpu": {"time": time, "usageNanoCores": cpu}, "memory": {"time": time, "workingSetBytes": 100}}

    pod = {"podRef": {"namespace": "n", "name": "p", "uid": "u"}, "containers": [container(20, 10**9), container(10, 5 * 10**8), {"name": "new"}]}
    [use] = parse.summary({"pods": [pod, {"podRef": {"namespace": "n", "name": "q", "uid": "v"}}]}, {("n", "p"): "u", ("n", "q"): "v"})
    assert (use.cpu, use.cpu_seconds, use.memory, use.received) == (1.5, None, 200, None)
    assert use.at == parse.moment("2026-11-26T22:22:10Z")


def test_a_driver_that_runs() -> None:
    pod = PODS["payments-stream-driver"]
    assert (pod.application, pod.role, pod.executor, pod.node, pod.phase, pod.reason) == ("payments-stream", "driver", "driver", "lab", "Running", "")
    assert (pod.cpu_request, pod.cpu_limit, pod.memory_request, pod.memory_limit) == (0.25, None, 1433 * 2**20, 1433 * 2**20)
    assert (pod.started, pod.ended, pod.exit_code) == (parse.moment("2026-11-26T22:20:34Z"), None, None)


def test_an_executor_that_finds_no_place() -> None:
    pod = PODS["busy-1-8abdb3a219f34c90-exec-1"]
    assert (pod.role, pod.executor, pod.phase, pod.reason, pod.node, pod.started) == ("executor", "1", "Pending", "Unschedulable", "", None)
    assert pod.message.startswith("0/1 nodes are available: 1 Insufficient cpu.")


def test_an_executor_that_ended_well_says_nothing() -> None:
    pod = BATCH["busy-1-8abdb3a219f34c90-exec-1"]
    assert (pod.phase, pod.reason, pod.exit_code, pod.ended) == ("Succeeded", "", 0, parse.moment("2026-11-26T22:24:00Z"))


def test_an_executor_killed_for_want_of_memory_with_exit_code_0() -> None:
    """The recording's: the kernel killed a Python worker, the JVM ended by itself, and the pod counts as succeeded."""
    pod = BATCH["oom-1-bafc00a219fa8c9c-exec-1"]
    assert (pod.phase, pod.reason, pod.exit_code) == ("Succeeded", "OOMKilled", 0)


def test_a_driver_that_failed() -> None:
    pod = BATCH["oom-1-driver"]
    assert (pod.phase, pod.reason, pod.exit_code) == ("Failed", "Error", 1)


def ended(status: dict[str, Any]) -> tuple[str, str, int | None, float | None]:
    pod = parse.pod({"metadata": {"namespace": "n", "name": "p", "uid": "u"}, "status": status})
    return pod.reason, pod.message, pod.exit_code, pod.ended


def test_an_evicted_pod_ended_when_its_conditions_changed() -> None:
    status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory.", "conditions": [{"type": "Ready", "lastTransitionTime": "1970-01-01T00:01:00Z"}]}  # fmt: skip
    assert ended(status) == ("Evicted", "The node was low on memory.", None, 60)


def test_an_image_that_cannot_be_pulled() -> None:
    status = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}}]}
    assert ended(status) == ("ErrImagePull", "no such host", None, None)


def test_of_two_containers_the_one_that_ended_badly_is_told() -> None:
    ends = [{"exitCode": 0, "reason": "Completed", "finishedAt": "1970-01-01T00:02:00Z"}, {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "1970-01-01T00:01:00Z"}]  # fmt: skip
    assert ended({"phase": "Failed", "containerStatuses": [{"state": {"terminated": e}} for e in ends]}) == ("OOMKilled", "", 137, 120)
    assert ended({"phase": "Running", "containerStatuses": [{"state": {"terminated": ends[1]}}, {"state": {"running": {}}}]}) == ("OOMKilled", "", 137, None)


def test_bounds_are_of_all_containers_and_a_limit_that_one_lacks_is_none() -> None:
    containers = [{"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}}, {"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}]  # fmt: skip
    pod = parse.pod({"metadata": {"namespace": "n", "name": "p", "uid": "u"}, "spec": {"containers": containers}})
    assert (pod.cpu_request, pod.cpu_limit, pod.memory_request, pod.memory_limit) == (1.5, None, 2**30, 2**31)
    assert pod.phase == "Unknown"


def test_a_stream_as_the_api_server_has_it() -> None:
    stream = next(a for a in map(parse.application, document("sparkapplications-1")["items"]) if a.stream)
    assert (stream.name, stream.state, stream.driver, stream.main) == ("payments-stream", "RUNNING", "payments-stream-driver", "payments_stream.py")
    assert stream.started == parse.moment("2026-11-26T22:20:29Z")
    assert stream.ended is None
    assert stream.annotations == {"homelake/digest": "c988135dba694ad5"}
    assert any(a.startswith("s3a://datalake/") for a in stream.arguments)


def test_a_job_that_failed_as_the_api_server_has_it() -> None:
    failed = next(a for a in map(parse.application, document("batch/sparkapplications-1")["items"]) if a.name == "oom-1")
    assert (failed.state, failed.error) == ("FAILED", "driver container failed with ExitCode: 1, Reason: Error")
    assert failed.ended == parse.moment("2026-11-26T22:29:54Z")


def test_annotations_of_others_are_left_where_they_are() -> None:
    found = parse.application({"metadata": {"namespace": "n", "name": "a", "uid": "u", "annotations": {"homelake/dag-id": "d", "kubectl/last-applied": "{…}"}}})
    assert (found.annotations, found.state, found.driver) == ({"homelake/dag-id": "d"}, "", "a-driver")


def test_warnings_have_a_moment_whoever_wrote_them() -> None:
    events = [parse.event(e) for e in document("events-1")["items"]]
    assert {e.reason: e.at for e in events} == {
        "FailedScheduling": parse.moment("2026-11-26T22:21:50.483075Z"),
        "FailedMount": parse.moment("2026-11-26T22:21:37Z"),
    }
    assert {e.subject for e in events} == {"busy-1-driver", "busy-1-8abdb3a219f34c90-exec-1"}


def test_a_warning_seen_again_has_its_last_moment() -> None:
    again = {
        "metadata": {"namespace": "n"},
        "involvedObject": {"name": "p"},
        "eventTime": "1970-01-01T00:01:00Z",
        "series": {"lastObservedTime": "1970-01-01T00:02:00Z"},
    }
    assert parse.event(again).at == 120


NAMED = {"metadata": {"namespace": "n", "name": "p", "uid": "u"}}


@pytest.mark.parametrize("function", [parse.pod, parse.application, parse.event, parse.items, parse.spark_id, lambda d: parse.summary(d, {})])
@pytest.mark.parametrize("odd", [{}, {"metadata": None}, [], None, "text", {"items": None, "pods": [{}]}, {"pods": 5}])
def test_what_is_no_such_document_raises_what_the_sources_expect(function: Callable[[Any], Any], odd: Any) -> None:
    with pytest.raises(parse.UNREADABLE):
        function(odd)


@pytest.mark.parametrize(
    ("function", "odd"),
    [
        (parse.pod, {**NAMED, "status": "x"}),
        (parse.pod, {**NAMED, "status": {"startTime": "yesterday"}}),
        (parse.pod, {**NAMED, "spec": {"containers": [{"resources": {"requests": {"cpu": "much"}}}]}}),
        (parse.application, {**NAMED, "status": {"applicationState": "RUNNING"}}),
        (parse.event, {**NAMED, "involvedObject": None}),
    ],
)
def test_so_does_one_whose_fields_are_odd(function: Callable[[Any], Any], odd: Any) -> None:
    with pytest.raises(parse.UNREADABLE):
        function(odd)
