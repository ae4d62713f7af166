"""How far the stream is behind: its log is read once and then only what is new, and what keeps that from being known is a problem, no error."""

from dataclasses import replace
from typing import Any

from include.adapters.metrics.lag import Lag, WithLag
from include.lake.errors import Unreachable
from include.lake.metrics.fold import Fold, Sweep
from include.lake.stream_log import QueryLog
from tests.unit.lake.metrics.made import recorded_sweep

STREAM = ("spark-jobs", "payments-stream-driver")


def entry(batch: int, **offsets: list[int]) -> dict[str, Any]:
    return {"format": 1, "batch": batch, "committed": 5, "offsets": {k.removeprefix("p"): v for k, v in offsets.items()}, "files": {}, "counts": {}}


class Log:
    def __init__(self) -> None:
        self.entries: dict[str, list[dict[str, Any]]] = {"bronze": [entry(0, p0=[0, 9])], "silver": []}
        self.whole = list[str]()

    def read(self, query: str) -> QueryLog:
        self.whole.append(query)
        return QueryLog(query, None, list(self.entries[query]))

    def since(self, query: str, batch: int) -> list[dict[str, Any]]:
        return [e for e in self.entries[query] if e["batch"] > batch]


class Brokers:
    ends: dict[int, int] | None = {0: 30, 1: 5}

    def end_offsets(self, topic: str) -> dict[int, int] | None:
        return self.ends


def test_the_log_is_read_once_and_then_what_is_new() -> None:
    log, brokers = Log(), Brokers()
    lag = Lag(log, brokers, "payments")  # type: ignore[arg-type]
    assert lag() == {"bronze": 25, "silver": 35}
    log.entries["bronze"].append(entry(1, p0=[10, 29], p1=[0, 1]))
    log.entries["silver"].append(entry(0, p0=[0, 9]))
    assert lag() == {"bronze": 3, "silver": 25}
    assert log.whole == ["bronze", "silver", "silver"], "one that has no batch yet is looked at anew"
    brokers.ends = None
    assert lag() == {}


class Recording:
    def gather(self) -> Sweep:
        return recorded_sweep(2)

    def log(self, namespace: str, pod: str, lines: int) -> str:
        return "a line"


def test_the_stream_of_the_lake_says_how_far_it_is_behind() -> None:
    now, asked = [0.0], list[float]()

    def lag() -> dict[str, float]:
        asked.append(now[0])
        return {"bronze": 4.0, "silver": 9.0}

    sources = WithLag(Recording(), STREAM, lag, lambda: now[0])
    for now[0] in (100.0, 102.0, 111.0):
        sweep = sources.gather()
        assert {q.name: q.behind for q in sweep.drivers[STREAM].queries} == {"bronze": 4.0, "silver": 9.0}
    assert asked == [100.0, 111.0], "not with every sweep"
    assert WithLag(Recording(), ("other", "driver"), lag).gather() == Recording().gather()


def test_a_stream_whose_driver_is_away_is_behind_all_the_same() -> None:
    class Restarting(Recording):
        """The application is there, and no driver tells anything."""

        state = "FAILING"

        def gather(self) -> Sweep:
            sweep = recorded_sweep(2)
            there = tuple(replace(a, state=self.state) if a.name == "payments-stream" else a for a in sweep.applications or ())
            return replace(sweep, applications=there, drivers={})

    source = Restarting()
    sources = WithLag(source, STREAM, lambda: {"bronze": 4.0, "silver": 9.0})
    assert {q.name: q.behind for q in sources.gather().drivers[STREAM].queries} == {"bronze": 4.0, "silver": 9.0}
    fold = Fold()
    fold.fold(recorded_sweep(1), interval=2)
    (view,) = [a for a in fold.fold(sources.gather(), interval=2).applications if a.name == "payments-stream"]
    assert [(q.name, q.behind, q.processing_rate) for q in view.queries] == [("bronze", 4.0, None), ("silver", 9.0, None)]
    assert view.totals.running is None
    source.state = "FAILED"
    assert sources.gather().drivers == {}, "one that is over is not asked for"


def test_a_kafka_out_of_reach_is_a_problem_and_hides_nothing() -> None:
    def away() -> dict[str, float]:
        raise Unreachable("Kafka at k:9092", "connection refused", "Check it")

    sweep = WithLag(Recording(), STREAM, away).gather()
    assert sweep.problems[-1] == "Unable to reach Kafka at k:9092: connection refused. Check it."
    assert [q.behind for q in sweep.drivers[STREAM].queries] == [None, None]
    assert sweep.drivers[STREAM].queries[0].processing_rate
