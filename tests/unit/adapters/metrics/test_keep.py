"""What a stream used goes to the lake when it ends, by whoever watched it: once, whatever happens to the lake meanwhile, and nothing of others."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from include.adapters.metrics.collector import Collector
from include.adapters.metrics.keep import AGAIN, MOST, Keeper
from include.adapters.metrics.of_lake import collector as of_lake
from include.adapters.metrics.past import Past
from include.connections import Connection
from include.lake.errors import Unreachable
from include.lake.metrics.fold import Ended, Sweep
from include.lake.metrics.series import Series
from include.lake.metrics.view import Figures, Origin
from tests.fakes.declared import streaming
from tests.fakes.s3 import served
from tests.unit.adapters.metrics.test_past import job
from tests.unit.lake.metrics.made import T0, app, pod, use


class Lake:
    """Where it is written to."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Any]] = []
        self.away = False
        self.tries = 0

    def write_longest(self, application: Any, series: Any) -> str:
        self.tries += 1
        if self.away:
            raise Unreachable("MinIO", "connection refused", "Check it")
        self.written.append((application.name, series))
        return "key"


def ended(name: str = "payments-stream", **more: Any) -> Ended:
    course = Series()
    course.append(Figures(T0, cpu=0.5))
    return Ended(replace(job(name), stream=True, origin=None, **more), {"total": course})


def test_a_stream_is_kept_with_its_course() -> None:
    lake = Lake()
    Keeper(lake, "spark-jobs")([ended()])
    ((name, series),) = lake.written
    assert (name, series["total"]["at"], series["total"]["cpu"]) == ("payments-stream", [T0], [0.5])


@pytest.mark.parametrize(
    "other", [{"stream": False}, {"origin": Origin("payments_micro_batch", "r", "t", 1)}, {"namespace": "elsewhere"}, {"state": "SUBMISSION_FAILED"}]
)
def test_what_others_keep_and_what_goes_on_is_left(other: dict[str, Any]) -> None:
    lake = Lake()
    one = ended()
    Keeper(lake, "spark-jobs")([Ended(replace(one.application, **other), one.series)])
    assert lake.tries == 0


def test_a_lake_that_is_away_is_written_to_later_and_asked_seldom() -> None:
    lake, now = Lake(), [0.0]
    keeper = Keeper(lake, "spark-jobs", clock=lambda: now[0])
    lake.away = True
    keeper([ended("a")])
    keeper([ended("b")])
    assert (lake.tries, lake.written) == (1, [])
    lake.away = False
    now[0] = AGAIN
    keeper([])
    assert [name for name, _ in lake.written] == ["a", "b"]
    keeper([])
    assert lake.tries == 3


def test_of_many_that_wait_the_latest_stay() -> None:
    lake, now = Lake(), [0.0]
    keeper = Keeper(lake, "spark-jobs", clock=lambda: now[0])
    lake.away = True
    for i in range(MOST + 5):
        keeper([ended(f"s-{i}")])
    lake.away, now[0] = False, AGAIN
    keeper([])
    assert [name for name, _ in lake.written] == [f"s-{i}" for i in range(5, MOST + 5)]


class Stream:
    """Sources of a stream that is removed after two sweeps."""

    def __init__(self) -> None:
        self.asked = 0

    def gather(self) -> Sweep:
        self.asked += 1
        at, driver = T0 + 10 * self.asked, pod("driver", "payments-stream", namespace="spark-jobs")
        if self.asked > 2:
            return Sweep(at, applications=(), pods=())
        there = app("payments-stream", namespace="spark-jobs", stream=True)
        return Sweep(at, applications=(there,), pods=(driver,), uses=(use(driver, at, cpu=1),))

    def log(self, namespace: str, pod: str, lines: int) -> str:
        return ""

    def manifest(self, namespace: str, name: str) -> dict[str, Any]:
        return {}


def test_whoever_is_told_that_it_is_gone_finds_it_in_the_lake() -> None:
    with served() as store:
        past = Past(store.connection(), "datalake")
        keeper, before = Keeper(past, "spark-jobs"), list[float]()

        def keep(ended: Sequence[Ended]) -> None:
            before.append(collector.snapshot.at)
            keeper(ended)

        collector = Collector(Stream(), keep=keep)
        for _ in range(2):
            collector.sweep()
            assert past.read("spark-jobs", "payments-stream") is None
        collector.sweep()
        assert before == [0, T0 + 10, T0 + 20], "while the snapshot before still held"
        found = past.read("spark-jobs", "payments-stream")
    assert found
    assert found["application"]["phase"] == "done"
    assert found["series"]["total"]["at"] == [T0 + 10, T0 + 20]


def test_who_watches_for_long_keeps_and_who_glances_does_not() -> None:
    def connection(id: str) -> Connection:
        return Connection(id, "generic", "http://127.0.0.1:1", extra={"bootstrap.servers": "127.0.0.1:1", "endpoint_url": "http://127.0.0.1:1"})

    assert of_lake(streaming, connection)._keep is None
    assert of_lake(streaming, connection, keeps=True)._keep
