"""One pod over the sweeps: rates, points, ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.metrics.pods import GRACE, PodTrack, out_of_memory, rate
from tests.unit.lake.metrics.made import T0, executor, pod, use

counters = st.none() | st.floats(0, 1e15)


@given(counters, counters, st.none() | st.floats(-1e6, 1e6))
def test_a_rate_is_never_negative(before: float | None, after: float | None, seconds: float | None) -> None:
    found = rate(before, after, seconds)
    assert found is None or found >= 0
    assert (found is None) == (before is None or after is None or seconds is None or seconds <= 0)


def test_a_counter_that_began_anew_counts_from_zero() -> None:
    assert (rate(100, 150, 10), rate(100, 30, 10)) == (5, 3)


@given(st.lists(st.tuples(st.floats(0.5, 60), counters, counters, st.floats(0, 1e6), st.floats(0, 1e12)), max_size=30))
def test_figures_are_never_negative_whatever_counters_do(steps: list[tuple[float, float | None, float | None, float, float]]) -> None:
    track, at = PodTrack(pod()), T0
    for gap, seconds, received, gc, shuffle in steps:
        at += gap
        track.update(use(track.fact, at, cpu_seconds=seconds, received=received, sent=received), executor(gc_seconds=gc, shuffle_read=shuffle), at)
        assert track.now is not None
        for value in (track.now.cpu, track.now.received, track.now.sent, track.now.shuffle_read, track.now.shuffle_written):
            assert value is None or value >= 0
        assert track.now.gc is None or 0 <= track.now.gc <= 1


def test_the_same_stamp_twice_is_one_point_with_the_kubelets_moment() -> None:
    track = PodTrack(pod())
    assert track.update(use(track.fact, T0 + 10, cpu=0.5, memory=5), None, T0 + 12)
    assert not track.update(use(track.fact, T0 + 10, cpu=0.5, memory=5), None, T0 + 14)
    assert track.now is not None
    assert (track.now.at, track.now.cpu, track.now.memory, len(track.series)) == (T0 + 10, 0.5, 5, 1)


def test_an_older_sample_is_no_news() -> None:
    track = PodTrack(pod())
    track.update(use(track.fact, T0 + 20, cpu=1), None, T0 + 20)
    assert not track.update(use(track.fact, T0 + 10, cpu=2), None, T0 + 22)
    assert track.now is not None
    assert (track.now.at, track.now.cpu) == (T0 + 20, 1)


def test_sparks_figures_are_fresh_between_the_kubelets_samples() -> None:
    track = PodTrack(pod())
    track.update(use(track.fact, T0 + 10, cpu=0.5), executor(running=1, heap=10.0), T0 + 10)
    track.update(use(track.fact, T0 + 10, cpu=0.5), executor(running=3, heap=20.0, direct=5.0, mapped=0.0), T0 + 12)
    assert track.now is not None
    assert (track.now.off_heap, track.now.spark_off_heap, track.now.direct, track.now.mapped) == (1e7, 0, 5, 0)
    assert (track.now.at, track.now.tasks, track.now.heap, len(track.series)) == (T0 + 10, 3, 20, 1)


def test_shares_and_rates_of_spark_are_between_points() -> None:
    track = PodTrack(pod())
    track.update(use(track.fact, T0 + 10), executor(gc_seconds=1, shuffle_read=100), T0 + 10)
    track.update(use(track.fact, T0 + 10), executor(gc_seconds=1.5, shuffle_read=150), T0 + 15)
    track.update(use(track.fact, T0 + 20), executor(gc_seconds=2, shuffle_read=200, shuffle_written=50), T0 + 20)
    assert track.now is not None
    assert (track.now.gc, track.now.shuffle_read, track.now.shuffle_written) == (0.1, 10, 5)


def test_the_network_has_its_own_moments() -> None:
    track = PodTrack(pod())
    for at, network_at, received in ((10, 5, 1000), (20, 5, 1000), (30, 25, 3000), (40, 25, 3000)):
        track.update(use(track.fact, T0 + at, received=received, sent=0, network_at=T0 + network_at), None, T0 + at)
    assert track.series.column("received") == [None, None, 100, 100], "2,000 bytes in the 20 s between its two readings"


def test_without_the_kubelet_spark_makes_the_points() -> None:
    track = PodTrack(pod())
    for at in range(0, 61, 2):
        track.update(None, executor(running=2), T0 + at)
    assert track.series.column("at") == [T0 + at for at in (32, 42, 52)], "the kubelet is waited for first"
    assert track.now is not None
    assert (track.now.cpu, track.now.memory, track.now.heap, track.now.tasks) == (None, None, 1e8, 2)


@pytest.mark.parametrize("apart", [-300, -20, 0, 20, 300])
def test_the_nodes_clock_may_be_another_than_the_collectors(apart: float) -> None:
    """The kubelet measures each 10 s, is away for a minute and a half, and comes back."""
    track = PodTrack(pod())
    for second in range(0, 300, 2):
        measured = None if second < 12 or 100 <= second < 190 else T0 + apart + second // 10 * 10 - 2
        told = None if measured is None else use(track.fact, measured, cpu=0.5, memory=7)
        fresh = track.update(told, executor(running=1), T0 + second)
        if fresh:
            assert track.now is not None
            assert (track.now.at, track.now.cpu, track.now.memory) == (measured, 0.5, 7)
    at, cpu = track.series.column("at"), track.series.column("cpu")
    assert len([v for v in cpu if v is not None]) == 9 + 11, "no sample of the kubelet is left out"
    alone = [moment for moment, value in zip(at, cpu, strict=True) if value is None and moment is not None]
    assert len(alone) == 7, "and while it is away Spark alone makes the points, by the node's clock"
    assert T0 + apart + 90 < min(alone) < max(alone) < T0 + apart + 190


def test_a_new_sample_counts_whatever_the_moment_of_sparks_points() -> None:
    track = PodTrack(pod())
    for at in range(0, 60, 2):
        track.update(None, executor(running=2), T0 + at)
    track.update(use(track.fact, T0 - 300, cpu=0.5, memory=7), executor(running=1), T0 + 60)
    assert track.now is not None
    assert (track.now.at, track.now.cpu, track.now.memory) == (T0 - 300, 0.5, 7), "the kubelet was never heard before, its clock not known"


@pytest.mark.parametrize(
    ("end", "true"),
    [
        ({"phase": "Failed", "reason": "OOMKilled", "exit_code": 137}, True),
        ({"phase": "Succeeded", "reason": "OOMKilled", "exit_code": 0}, True),
        ({"phase": "Failed", "reason": "Error", "exit_code": 137, "message": "OOM: killed process 7"}, True),
        ({"phase": "Failed", "reason": "Error", "exit_code": 52}, True),
        ({"phase": "Failed", "reason": "Error", "exit_code": 137}, False),
        ({"phase": "Failed", "reason": "Evicted", "exit_code": None}, False),
        ({"phase": "Succeeded", "reason": "", "exit_code": 0}, False),
        ({}, False),
    ],
)
def test_out_of_memory(end: dict[str, object], true: bool) -> None:
    assert out_of_memory(pod(**end)) is true


@pytest.mark.parametrize(
    ("end", "gone", "over", "after", "lost"),
    [
        ({}, None, None, 99, None),  # it runs
        ({"phase": "Succeeded", "ended": T0 + 50}, None, None, 51, False),
        ({"phase": "Failed", "ended": T0 + 50}, None, None, 51, None),  # its driver may still say that it wished so
        ({"phase": "Failed", "ended": T0 + 50}, None, None, 50 + GRACE + 1, True),
        ({"phase": "Failed", "ended": T0 + 50}, None, T0 + 51, 52, True),  # the application died of it
        ({"phase": "Failed", "ended": T0 + 50}, None, T0 + 50, 52, False),  # they ended together
        ({"phase": "Failed", "ended": T0 + 50}, None, T0 + 40, 52, False),  # it was told to go
        ({}, T0 + 50, None, 51, None),
        ({}, T0 + 50, None, 50 + GRACE + 1, True),  # deleted, and the application runs on
        ({}, T0 + 50, T0 + 52, 60, False),  # the driver tidies up as it ends
        ({}, T0 + 50, T0 + 90, 91, True),
        ({"phase": "Succeeded", "ended": T0 + 40}, T0 + 50, None, 99, False),  # ended well, then tidied away
    ],
)  # fmt: skip
def test_whether_an_executor_was_lost(end: dict[str, object], gone: float | None, over: float | None, after: float, lost: bool | None) -> None:
    track = PodTrack(pod(**end))
    track.gone = gone
    assert track.lost(T0 + after, over) is lost


def test_one_that_its_driver_ended_is_not_lost() -> None:
    track = PodTrack(pod())
    track.update(None, executor(active=False, removed="Executor killed by driver."), T0 + 40)
    track.gone = T0 + 50
    assert track.lost(T0 + 90, None) is False


def test_one_that_vanished_is_unknown_and_shows_no_figures() -> None:
    track = PodTrack(pod())
    track.update(use(track.fact, T0 + 10, cpu=1), None, T0 + 10)
    assert track.view().now is not None
    track.gone = T0 + 20
    view = track.view()
    assert (view.phase, view.reason, view.ended, view.now) == ("Unknown", "Deleted", T0 + 20, None)
    assert len(track.series) == 1, "its course stays"
