"""Requested against used."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.metrics.waste import Meter, enough_cpu, enough_memory
from tests.unit.lake.metrics.made import GIB, T0, pod, use

MIB = 2**20


def test_requested_is_the_request_times_the_time_on_a_node() -> None:
    meter, one = Meter(), pod(started=T0, cpu_request=2.0, memory_request=GIB)
    meter.ran(one, T0 + 10)
    meter.ran(one, T0 + 30)
    meter.ran(one, T0 + 30)
    assert (meter.waste().core_seconds_requested, meter.waste().byte_seconds_requested) == (60, 30 * GIB)
    meter.ran(replace(one, ended=T0 + 45), T0 + 500)
    assert meter.waste().core_seconds_requested == 90, "up to its end, whenever that is seen"


def test_a_pod_that_waits_has_used_and_taken_nothing() -> None:
    meter = Meter()
    meter.ran(pod(started=None), T0 + 100)
    assert meter.waste() == Meter().waste()


def test_cpu_used_is_the_kubelets_counter_from_the_pods_start() -> None:
    meter, one = Meter(), pod(started=T0)
    meter.used(one, use(one, T0 + 100, cpu=0.5, cpu_seconds=40))  # Homelake looked late: the counter knows
    meter.used(one, use(one, T0 + 110, cpu=0.5, cpu_seconds=45))
    meter.used(one, use(one, T0 + 110, cpu=0.5, cpu_seconds=45))  # the same sample again
    assert meter.waste().core_seconds_used == 45
    meter.used(one, use(one, T0 + 120, cpu=0.2, cpu_seconds=2))  # its container began anew
    assert (meter.waste().core_seconds_used, meter.waste().peak_cpu) == (47, 0.5)


def test_without_the_counter_cpu_is_summed_from_samples() -> None:
    meter, one = Meter(), pod(started=T0)
    for at in (10, 20):
        meter.used(one, use(one, T0 + at, cpu=0.5))
    assert meter.waste().core_seconds_used == 10


def test_memory_used_is_the_area_under_the_samples() -> None:
    meter, one = Meter(), pod(started=T0)
    meter.used(one, use(one, T0 + 10, memory=100))  # 10 s of 100, as nothing is known of them
    meter.used(one, use(one, T0 + 20, memory=300))  # 10 s of 200 in the mean
    waste = meter.waste()
    assert (waste.byte_seconds_used, waste.peak_memory) == (3000, 300)


def test_sums_stay_when_pods_are_forgotten() -> None:
    meter, one = Meter(), pod(started=T0)
    meter.ran(one, T0 + 10)
    meter.used(one, use(one, T0 + 10, cpu=1, cpu_seconds=5, memory=1))
    before = meter.waste()
    meter.forget(one.uid)
    assert meter.waste() == before


def test_what_would_have_been_enough_by_role() -> None:
    meter, driver, one, two = Meter(), pod("driver"), pod("1"), pod("2")
    for i in range(1, 21):  # of forty samples of executors, two are a burst of 4 cores
        meter.used(one, use(one, T0 + 10 * i, cpu=0.5, memory=300 * MIB))
        meter.used(two, use(two, T0 + 10 * i, cpu=4 if i < 3 else 0.25, memory=200 * MIB))
    meter.used(driver, use(driver, T0 + 10, cpu=0.01, memory=64 * MIB))
    waste = meter.waste()
    assert waste.enough_cpu == {"driver": 0.1, "executor": 0.6}, "0.5 × 1.2: the burst is in the last twentieth"
    assert waste.enough_memory == {"driver": 128 * MIB, "executor": 384 * MIB}, "300 MiB × 1.15 is 345 MiB"
    assert (waste.peak_cpu, waste.peak_memory) == (4, 300 * MIB)


@pytest.mark.parametrize(("bins", "cores"), [({0: 5}, 0.1), ({50: 1}, 0.6), ({25: 1}, 0.3), ({26: 1}, 0.4), ({10: 95, 400: 5}, 0.2), ({10: 94, 400: 6}, 4.8)])
def test_enough_cpu(bins: dict[int, int], cores: float) -> None:
    assert enough_cpu(bins) == cores


@given(st.lists(st.floats(0, 64), min_size=1, max_size=200))
def test_enough_cpu_is_enough_for_nineteen_of_twenty_samples(samples: list[float]) -> None:
    meter, one = Meter(), pod()
    for i, cpu in enumerate(samples, 1):
        meter.used(one, use(one, T0 + i, cpu=cpu))
    enough = meter.waste().enough_cpu["executor"]
    assert sum(s <= enough for s in samples) >= 0.95 * len(samples) - 1e-9
    assert enough <= max(max(samples) * 1.2 + 0.112, 0.1)


@given(st.floats(0, 1e12))
def test_enough_memory_is_more_than_the_peak_in_steps_of_64_mib(peak: float) -> None:
    enough = enough_memory(peak)
    assert peak * 1.15 <= enough <= max(peak * 1.15 + 64 * MIB, 64 * MIB)
    assert enough % (64 * MIB) == 0


samples = st.lists(
    st.tuples(
        st.sampled_from("123"),
        st.floats(0, 100),
        st.none() | st.floats(0, 8),
        st.none() | st.floats(0, 1e6),
        st.none() | st.floats(0, 1e10),
        st.booleans(),
        st.booleans(),
    )
)


@given(samples)
def test_all_sums_only_grow(steps: list[tuple[str, float, float | None, float | None, float | None, bool, bool]]) -> None:
    meter, before, at = Meter(), Meter().waste(), T0
    for executor, gap, cpu, counter, memory, ended, forgotten in steps:
        at += gap
        one = pod(executor, ended=at - 20 if ended else None)
        meter.ran(one, at)
        meter.used(one, use(one, at, cpu=cpu, cpu_seconds=counter, memory=memory))
        if forgotten:
            meter.forget(one.uid)
        now = meter.waste()
        for name in ("core_seconds_requested", "core_seconds_used", "byte_seconds_requested", "byte_seconds_used"):
            assert getattr(now, name) >= getattr(before, name)
        assert (now.peak_cpu or 0) >= (before.peak_cpu or 0)
        assert (now.peak_memory or 0) >= (before.peak_memory or 0)
        before = now


def test_who_was_killed_for_want_of_memory_needed_more_than_its_limit() -> None:
    """Whatever the kubelet saw before, which measures every ten seconds."""
    meter, victim = Meter(), pod("1")
    meter.used(victim, use(victim, T0 + 10, memory=50e6))
    meter.killed_at("executor", GIB)
    assert meter.waste().enough_memory == {"executor": 1.5 * GIB}
    assert meter.waste().peak_memory == 50e6
