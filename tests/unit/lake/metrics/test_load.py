"""Many applications: a recorded stream made 200 of 20 executors each, 4200 pods. What a sweep costs, and what an hour of it holds in memory.

Bounds, for the slowest machine that is thought of: a second for a fold, 300 MB for the hour.
"""

import gc
import json
import time
import tracemalloc

import pytest

from include.lake.metrics import parse
from include.lake.metrics.fold import Fold
from include.lake.metrics.series import CAPACITY, Series
from include.lake.metrics.view import Figures
from tests.timing import fastest
from tests.unit.lake.metrics.made import document, many, recorded_sweep

APPLICATIONS, EXECUTORS = 200, 20
PODS = APPLICATIONS * (EXECUTORS + 1)
FOLD_SECONDS, PARSE_SECONDS, HOUR_MB = 1.0, 2.0, 300


def test_a_sweep_is_folded_within_its_bound() -> None:
    one, memory, took = recorded_sweep(2), Fold(), []
    for i in range(4):
        sweep = many(one, APPLICATIONS, EXECUTORS, one.at + 10 * i)
        began = time.thread_time()
        snapshot = memory.fold(sweep, interval=2)
        took.append(time.thread_time() - began)
    assert len(snapshot.applications) == APPLICATIONS
    assert sum(len(a.pods) for a in snapshot.applications) == PODS
    assert all(p.now is not None and p.now.received is not None for a in snapshot.applications for p in a.pods), "each with its figures and rates"
    assert min(took[1:]) < FOLD_SECONDS, f"a fold took {took} s"


def test_lists_are_parsed_within_their_bound() -> None:
    pods = [json.dumps(p) for p in document("pods-2")["items"]]
    page = json.dumps(document("summary-2"))

    def lists() -> None:
        for i in range(PODS):
            parse.pod(json.loads(pods[i % len(pods)]))
        for _ in range(100):  # nodes
            parse.summary(json.loads(page), {})

    took = fastest(lists)
    assert took < PARSE_SECONDS, f"parsing took {took} s"


@pytest.fixture
def traced() -> object:
    gc.collect()
    tracemalloc.start()
    yield None
    tracemalloc.stop()


def test_an_hour_of_everything_is_within_its_bound(traced: object) -> None:
    """A point of each pod every ten seconds, as the kubelet tells them."""
    one, memory, part = recorded_sweep(2), Fold(), 100  # tracing all of it takes minutes
    before = tracemalloc.get_traced_memory()[0]
    for i in range(361):
        memory.fold(many(one, APPLICATIONS // part, EXECUTORS, one.at + 10 * i), interval=10)
    gc.collect()
    held = part * (tracemalloc.get_traced_memory()[0] - before) / 1e6
    assert len(memory.series("spark-jobs", "stream-0")["stream-0-exec-1"]) > 300, "it is a whole hour"
    assert held < HOUR_MB, f"{held:.0f} MB"


def test_series_that_are_full_are_within_the_bound_too(traced: object) -> None:
    kept = []
    for _ in range(40):
        series = Series()
        for i in range(CAPACITY * 3):
            series.append(Figures(10.0 * i))
        kept.append(series)
    held = PODS / len(kept) * tracemalloc.get_traced_memory()[0] / 1e6
    assert held < HOUR_MB, f"{held:.0f} MB"
