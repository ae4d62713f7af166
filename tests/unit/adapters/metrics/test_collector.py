"""The collector: sweeps by the clock, for whoever looks; and over real HTTP with recorded answers."""

import threading
import time
from collections.abc import Iterator

import pytest

from include.adapters.metrics.collector import MOST_LINES, Collector
from include.adapters.metrics.sources import Sources
from include.lake.errors import LakeError
from include.lake.metrics.fold import Sweep
from tests.unit.adapters.metrics.playback import PODS, playback
from tests.unit.lake.metrics.made import T0, app, pod, use


class Told:
    """Sources of one application, that count how often they were asked."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.fail = False
        self.busy = threading.Lock()
        self.logs: list[tuple[str, str, int]] = []

    def gather(self) -> Sweep:
        assert self.busy.acquire(blocking=False), "one sweep at a time"
        self.times.append(time.monotonic())
        time.sleep(0.005)
        self.busy.release()
        if self.fail:
            raise RuntimeError("a fault")
        at, driver = T0 + len(self.times), pod("driver")
        return Sweep(at, applications=(app(),), pods=(driver,), uses=(use(driver, at, cpu=1),))

    def log(self, namespace: str, pod: str, lines: int) -> str:
        self.logs.append((namespace, pod, lines))
        return "the log"


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def collector(told: Told) -> Iterator[Collector]:
    made = Collector(told, watched=0.05, unwatched=30)
    yield made
    made.stop()


def test_before_the_first_sweep_there_is_an_empty_snapshot(collector: Collector) -> None:
    assert (collector.snapshot.at, collector.snapshot.applications, collector.snapshot.interval) == (0, (), 30)
    assert collector.series("jobs", "job") == {}
    assert collector.wait(0, 0.01).at == 0


def test_a_sweep_makes_a_snapshot(collector: Collector) -> None:
    snapshot = collector.sweep()
    assert snapshot is collector.snapshot
    assert [a.name for a in snapshot.applications] == ["job"]


def test_series_are_copies(collector: Collector) -> None:
    collector.sweep()
    series = collector.series("jobs", "job")
    collector.sweep()
    assert set(series) == {"total", "job-driver"}
    assert len(series["total"]) == 1
    assert len(collector.series("jobs", "job")["total"]) == 2


def test_nobody_looks_so_it_sweeps_seldom_and_at_once_when_somebody_does(told: Told, collector: Collector) -> None:
    collector.start()
    first = collector.wait(0, 5)
    assert first.at > 0
    assert first.interval == 30
    time.sleep(0.3)
    assert len(told.times) == 1
    began = time.monotonic()
    with collector.watch():
        second = collector.wait(first.at, 5)
        assert second.at > first.at
        assert second.interval == 0.05
        assert time.monotonic() - began < 1, "not after thirty seconds"
        assert collector.wait(second.at + 3, 5).at > second.at + 3
    now = collector.wait(collector.snapshot.at, 0.3).at
    swept = len(told.times)
    time.sleep(0.3)
    assert len(told.times) == swept, "seldom again"
    assert now >= second.at


def test_who_looks_once_more_does_not_make_it_sweep_before_its_time(told: Told) -> None:
    collector = Collector(told, watched=5, unwatched=30)
    collector.start()
    try:
        collector.wait(0, 5)
        for _ in range(20):
            with collector.watch():
                time.sleep(0.005)
        assert len(told.times) == 1
    finally:
        collector.stop()


def test_it_stops_and_starts_again_and_starts_once(told: Told, collector: Collector) -> None:
    with collector.watch():
        collector.start()
        collector.start()
        collector.wait(0, 5)
        names = [t.name for t in threading.enumerate() if t.name == "homelake-collector"]
        assert len(names) == 1
        collector.stop()
        swept = len(told.times)
        time.sleep(0.2)
        assert len(told.times) == swept
        assert not [t for t in threading.enumerate() if t.name == "homelake-collector"]
        collector.start()
        assert collector.wait(collector.snapshot.at, 5).at > T0 + swept


def test_a_fault_is_told_and_the_next_sweep_comes(told: Told, collector: Collector) -> None:
    collector.sweep()
    told.fail = True
    with collector.watch():
        collector.start()
        failed = collector.wait(T0 + 1000, 5)
        assert failed.problems == ("Unable to sweep the cluster: RuntimeError: a fault. That is a fault of Homelake; its log has the trace.",)
        assert [a.name for a in failed.applications] == ["job"], "what was seen last stays"
        told.fail = False
        end = time.monotonic() + 5
        while collector.snapshot.problems and time.monotonic() < end:
            time.sleep(0.01)
    assert collector.snapshot.problems == ()


def test_a_sweep_that_takes_long_is_made_less_often() -> None:
    class Slow(Told):
        def gather(self) -> Sweep:
            began = time.monotonic()
            time.sleep(0.2)
            sweep = super().gather()
            return Sweep(sweep.at, time.monotonic() - began, 0, sweep.applications, sweep.pods, sweep.uses)

    slow = Slow()
    collector = Collector(slow, watched=0.05, unwatched=30)
    with collector.watch():
        collector.start()
        time.sleep(1.5)
        collector.stop()
    assert len(slow.times) <= 4, "half of the time at most"
    assert collector.snapshot.interval >= 0.4


def test_logs_are_those_of_the_applications_own_pods(told: Told, collector: Collector) -> None:
    collector.sweep()
    assert collector.log("jobs", "job") == "the log"
    collector.log("jobs", "job", "job-driver", 10**9)
    assert told.logs == [("jobs", "job-driver", 200), ("jobs", "job-driver", MOST_LINES)]
    for namespace, name, other in (("jobs", "job", "minio-0"), ("jobs", "other", ""), ("kube-system", "job", "job-driver"), ("jobs", "job", "../secrets")):
        with pytest.raises(LakeError, match=r"^Unable to read the log of .*: the Spark application .* has no such pod\.$"):
            collector.log(namespace, name, other)
    assert len(told.logs) == 2, "of no other pod was anything asked"


def test_over_http_from_two_recorded_sweeps() -> None:
    with playback() as api:
        api.play(1)
        collector = Collector(Sources(api.cluster(), ("spark-jobs",)))
        collector.sweep()
        api.play(2)
        snapshot = collector.sweep()
        stream = next(a for a in snapshot.applications if a.stream)
        assert stream.now is not None and stream.now.received is not None
        assert {k: len(s) for k, s in collector.series("spark-jobs", "payments-stream").items()} == {
            "total": 2, "payments-stream-driver": 2, "payments-stream-0e1b87a219f24adb-exec-1": 2}  # fmt: skip
        assert next(a for a in snapshot.applications if a.name == "busy-1").problem.startswith("Unable to read ")
        assert snapshot.calls == 6
        api.answers[f"{PODS}/payments-stream-driver/log"] = (200, "line\n")
        assert collector.log("spark-jobs", "payments-stream") == "line\n"
