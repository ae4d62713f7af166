"""The bounded course of figures."""

import itertools
import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.metrics.series import COLUMNS, Series
from include.lake.metrics.view import Figures


def test_columns_are_the_figures_fields() -> None:
    series = Series()
    assert series.append(Figures(10, cpu=0.5, tasks=2))
    assert series.append(Figures(20, memory=3))
    told = series.as_json()
    assert list(told) == list(COLUMNS) == [f.name for f in fields(Figures)]
    assert (told["at"], told["cpu"], told["memory"], told["tasks"]) == ([10, 20], [0.5, None], [None, 3], [2, None])
    json.dumps(told, allow_nan=False)


def test_the_same_moment_twice_is_one_point() -> None:
    series = Series()
    assert [series.append(Figures(at, cpu=at)) for at in (10, 10, 9, 20)] == [True, False, False, True]
    assert series.column("cpu") == [10, 20]
    assert series.last == 20


def test_a_copy_stays_as_it_is() -> None:
    series = Series()
    series.append(Figures(1))
    copy = series.copy()
    series.append(Figures(2))
    assert (copy.column("at"), series.column("at")) == ([1], [1, 2])


@given(st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=600), st.integers(0, 64))
def test_it_stays_bounded_and_keeps_the_first_point_and_the_last(gaps: list[float], capacity: int) -> None:
    series, at, seen = Series(capacity), 0.0, []
    for gap in gaps:
        at += gap
        seen.append(at)
        assert series.append(Figures(at, cpu=-at))
        assert len(series) <= series.capacity
        kept = [t for t in series.column("at") if t is not None]
        assert (kept[0], kept[-1]) == (seen[0], at)
        assert kept == sorted(set(kept)) and set(kept) <= set(seen), "points that were seen, in their order"
        assert [None if c is None else -c for c in series.column("cpu")] == kept, "columns stay together"


@pytest.mark.parametrize("hours", [3, 24, 24 * 30])
def test_after_long_the_whole_is_evenly_covered_and_the_latest_in_full(hours: int) -> None:
    series = Series()
    last = hours * 3600
    for at in range(0, last + 1, 10):
        series.append(Figures(at))
    kept = [t for t in series.column("at") if t is not None]
    assert (kept[0], kept[-1]) == (0, last)
    gaps = [b - a for a, b in itertools.pairwise(kept)]
    assert max(gaps) <= last / series.capacity * 8, "no part of the job is missing"
    assert gaps[-100:] == [10] * 100, "the last quarter of an hour is as it was sampled"
