"""The sources over real HTTP, with answers that were recorded."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

from include.adapters.metrics.collector import Collector
from include.adapters.metrics.drivers import Driver, Drivers
from include.adapters.metrics.requests import Requests
from include.adapters.metrics.sources import Sources
from include.lake.errors import LakeError
from include.lake.metrics.fold import Sweep
from tests.unit.adapters.metrics.playback import APPLICATIONS, BUSY, EVENTS, EXECUTORS, PAGE, PODS, STAGES, STREAM_ID, SUMMARY, Playback, playback, status
from tests.unit.conftest import recorded

DRIVER, BUSY_DRIVER = ("spark-jobs", "payments-stream-driver"), ("spark-jobs", "busy-1-driver")


@pytest.fixture
def api() -> Iterator[Playback]:
    with playback() as played:
        played.play(1)
        yield played


def sources(api: Playback, **more: float) -> Sources:
    return Sources(api.cluster(), ("spark-jobs",), **more)  # type: ignore[arg-type]


def test_one_sweep_tells_all_that_the_sources_do(api: Playback) -> None:
    sweep = sources(api).gather()
    assert {a.name for a in sweep.applications or ()} == {"busy-1", "payments-stream"}
    assert len(sweep.pods or ()) == 4
    assert {u.pod for u in sweep.uses} == {"payments-stream-driver", "payments-stream-0e1b87a219f24adb-exec-1", "busy-1-driver"}
    stream = sweep.drivers[DRIVER]
    assert {e.id for e in stream.executors} == {"1", "driver"}
    assert (len(stream.stages), [q.name for q in stream.queries], stream.problem) == (40, ["bronze", "silver"], "")
    assert len(sweep.events or ()) == 3
    assert sweep.problems == (), "a driver that is not ready is its application's problem, not the cluster's"
    assert 0 < sweep.took < 5


def test_its_calls_are_bounded_and_told(api: Playback) -> None:
    """Three lists, one kubelet, three to the stream's driver, one to the driver that does not answer."""
    one = sources(api)
    assert one.gather().calls == len(api.asked) == 3 + 1 + 3 + 1
    assert dict(api.asked)[PODS] == {"resourceVersion": ["0"], "labelSelector": ["spark-role"]}
    assert dict(api.asked)[EVENTS]["fieldSelector"] == ["type=Warning"]
    again = one.gather()
    assert again.calls == 2 + 1 + 3, "warnings are asked every ten seconds, and who failed is left alone for a while"
    assert len(again.events or ()) == 3


def test_only_drivers_that_run_are_asked_and_only_streams_for_their_page(api: Playback) -> None:
    sources(api).gather()
    assert sorted(p for p in api.paths() if ":4040" in p) == sorted([EXECUTORS, STAGES, PAGE, f"{BUSY}/api/v1/applications/spark-aa48f99e709642788a4da97253023951/allexecutors"])  # fmt: skip


def test_without_namespaces_the_whole_cluster_is_listed(api: Playback) -> None:
    Sources(api.cluster(), ()).gather()
    assert {"/api/v1/pods", "/api/v1/events", "/apis/sparkoperator.k8s.io/v1beta2/sparkapplications"} <= set(api.paths())


def test_a_driver_that_is_not_ready_says_why(api: Playback) -> None:
    facts = sources(api).gather().drivers[BUSY_DRIVER]
    assert facts.problem == (
        "Unable to read the executors of the driver spark-jobs/busy-1-driver: dial tcp 10.244.0.6:4040: connect: connection refused. "
        "Its figures come when it answers; with spark.ui.enabled=false it never does."
    )
    assert facts.executors == ()


def test_a_driver_that_hangs_holds_up_nothing_and_is_heard_later(api: Playback) -> None:
    api.held[EXECUTORS] = threading.Event()
    one = sources(api, limit=0.3)
    began = time.monotonic()
    sweep = one.gather()
    assert time.monotonic() - began < 1.5, "no longer than the limit, and the lists"
    assert sweep.drivers[DRIVER].problem == "Unable to read the driver spark-jobs/payments-stream-driver: no answer within 0.3 s."
    assert len(sweep.uses) == 3, "the kubelet's figures are there"
    one.gather()
    assert api.paths().count(EXECUTORS) == 1, "it is not asked again while the first question waits"
    api.held[EXECUTORS].set()
    for _ in range(20):
        facts = one.gather().drivers[DRIVER]
        if not facts.problem:
            break
    assert facts.executors, "the late answer counts"


def test_a_driver_that_is_late_once_keeps_what_it_said(api: Playback) -> None:
    one = sources(api, limit=0.3)
    before = one.gather().drivers[DRIVER]
    assert before.executors
    api.held[EXECUTORS] = threading.Event()
    assert one.gather().drivers[DRIVER] == before


def test_a_driver_that_tells_but_a_part_has_the_problem_with_it(api: Playback) -> None:
    api.answers[STAGES] = (500, "<html>Internal error</html>")
    facts = sources(api).gather().drivers[DRIVER]
    assert len(facts.executors) == 2
    assert "the stages of the driver spark-jobs/payments-stream-driver: it answered 500: " in facts.problem
    assert facts.stages == ()


def test_the_whole_list_of_stages_takes_a_driver_a_twentieth_of_the_time_at_most(api: Playback) -> None:
    """In between it is asked for those under way alone, and the ended ones of the whole list stay."""
    moments = iter(range(1000))  # the clock is read at a question's begin, and at the end of a whole list: that takes one second
    drivers = Drivers(Requests(api.cluster()), clock=lambda: float(next(moments)))
    driver = Driver("spark-jobs", "payments-stream-driver", "uid", STREAM_ID, stream=False)
    whole = drivers.ask(driver).stages
    listed = json.loads(api.answers[STAGES][1])
    api.answers[STAGES] = (200, json.dumps([s for s in listed if s["status"] in ("ACTIVE", "PENDING")]))
    shown = []
    for _ in range(25):
        told = drivers.ask(driver).stages
        shown.append({s.id for s in told})
    assert shown[:19] == 19 * [{s.id for s in whole}]
    queries = [query for path, query in api.asked if path == STAGES]
    under_way = {"status": ["active", "pending"]}
    assert queries == [{}] + 19 * [under_way] + [{}] + 5 * [under_way]


@pytest.mark.parametrize("answer", [(200, "{}"), (200, "[{}]"), (200, "<html>a login page</html>"), (200, '[{"id": 1, "isActive": true, "totalCores": "x"}]'), (200, "null")])  # fmt: skip
def test_a_driver_that_answers_oddly_is_its_own_problem(api: Playback, answer: tuple[int, str]) -> None:
    api.answers[EXECUTORS] = answer
    sweep = sources(api).gather()
    assert sweep.drivers[DRIVER].problem.startswith("Unable to read the ")
    assert "answer" in sweep.drivers[DRIVER].problem
    assert sweep.problems == ()


def test_a_kubelet_that_may_not_be_asked_is_a_problem_with_its_remedy(api: Playback) -> None:
    api.answers[SUMMARY] = status(403, 'nodes "lab" is forbidden: User "homelake" cannot get resource "nodes/proxy"')
    one = sources(api)
    expected = (
        'Unable to read the kubelet\'s figures of the node lab: nodes "lab" is forbidden: User "homelake" cannot get resource "nodes/proxy". '
        "Its pods show no CPU and memory; the account of the kube config needs the right to get nodes/proxy.",
    )
    first = one.gather()
    assert (first.problems, first.uses, len(first.pods or ())) == (expected, (), 4)
    assert one.gather().problems == expected, "it is told while it is left alone"
    assert api.paths().count(SUMMARY) == 1


def nothing(sweep: Sweep) -> bool:
    return (sweep.applications, sweep.pods, sweep.uses, sweep.events, dict(sweep.drivers)) == (None, None, (), None, {})


def test_a_list_that_fails_is_none_and_the_last_one_serves_for_asking_on(api: Playback) -> None:
    one = sources(api)
    one.gather()
    api.answers[PODS] = status(500, "etcd is away")
    api.answers[APPLICATIONS] = (200, json.dumps({"items": None}))
    sweep = one.gather()
    assert (sweep.applications, sweep.pods) == (None, None)
    assert [p.split(":")[0] for p in sweep.problems] == ["Unable to read SparkApplications", "Unable to reach Kubernetes"]
    assert len(sweep.uses) == 3
    assert sweep.drivers[DRIVER].executors


@pytest.mark.parametrize("body", ["<html>", "[]", '"x"', ""])
def test_what_is_no_kubernetes_is_told(api: Playback, body: str) -> None:
    api.answers = dict.fromkeys(api.answers, (200, body))
    sweep = sources(api).gather()
    assert nothing(sweep)
    assert all("does not answer as Kubernetes does" in p for p in sweep.problems) and len(sweep.problems) == 1


def test_one_odd_object_does_not_hide_the_others(api: Playback) -> None:
    listed = json.loads(api.answers[PODS][1])
    listed["items"].append({"metadata": {"name": "odd"}})
    api.answers[PODS] = (200, json.dumps(listed))
    sweep = sources(api).gather()
    assert len(sweep.pods or ()) == 4
    assert sweep.problems == ("Unable to read Spark's pods: 1 of them are not as Kubernetes and the Spark operator write them.",)


def test_a_cluster_out_of_reach_is_a_problem_and_no_exception(api: Playback) -> None:
    gone = sources(api)
    gone.gather()
    cluster = Playback(port=1).cluster()
    sweep = Sources(cluster, ("spark-jobs",)).gather()
    assert nothing(sweep)
    assert all(p.startswith("Unable to reach Kubernetes at http://127.0.0.1:1: connection refused") for p in sweep.problems)
    assert "the-kube-token" not in repr(sweep)


def test_the_tail_of_a_log(api: Playback) -> None:
    path = f"{PODS}/payments-stream-driver/log"
    api.answers[path] = (200, "one\ntwo ✓\n")
    assert sources(api).log("spark-jobs", "payments-stream-driver", 20) == "one\ntwo ✓\n"
    assert dict(api.asked)[path] == {"tailLines": ["20"]}
    api.answers[path] = (200, "".join(f"{n} {'x' * 1000}\n" for n in range(2000)))
    told = sources(api).log("spark-jobs", "payments-stream-driver", 5000).splitlines()
    assert told[-1].startswith("1999 "), "of what is too long the end is told"
    assert all(len(line) > 1000 for line in told), "and whole lines"
    assert 1000 < len(told) < 1050
    with pytest.raises(LakeError, match=r"^Unable to read the log of the pod spark-jobs/nobody: .*not found\.$"):
        sources(api).log("spark-jobs", "nobody", 20)


def test_the_application_itself(api: Playback) -> None:
    there = json.loads(recorded("metrics/sparkapplications-1.json"))["items"][0]
    name = there["metadata"]["name"]
    api.answers[f"{APPLICATIONS}/{name}"] = (200, json.dumps(there))
    assert sources(api).manifest("spark-jobs", name) == there
    shown = Collector(sources(api)).manifest("spark-jobs", name)
    assert (shown["metadata"]["uid"], shown["spec"]["sparkConf"]["spark.hadoop.fs.s3a.aws.credentials.provider"]) == (there["metadata"]["uid"], "(left out)")
    with pytest.raises(LakeError, match=r"^Unable to .*SparkApplication spark-jobs/nobody"):
        sources(api).manifest("spark-jobs", "nobody")


def test_the_second_recording_after_the_first(api: Playback) -> None:
    one = sources(api)
    first = one.gather()
    api.play(2)
    second = one.gather()
    assert {u.pod for u in second.uses} == {u.pod for u in first.uses}
    assert all(b.at > a.at for a, b in zip(sorted(first.uses, key=lambda u: u.pod), sorted(second.uses, key=lambda u: u.pod), strict=True))
