"""Growth and dates: a line that bursts do not tilt, a history that stays small, and honesty when there is too little of it."""

import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.forecast import DAY, ENOUGH, FINE, HOUR, MOST, WINDOW, Forecast, History, Point, forecast, from_json, remember, slope, to_json

NOW = 1_790_000_000
times = st.integers(NOW - 800 * DAY, NOW)
points = st.builds(Point, times, st.dictionaries(st.sampled_from(["volume", "inodes", "bucket/a"]), st.integers(0, 2**62), min_size=1))
histories = st.lists(points, max_size=60, unique_by=lambda p: p.at).map(lambda ps: tuple(sorted(ps, key=lambda p: p.at)))


def line(start: int, per_day: int, days: float, every: int = HOUR) -> History:
    """A history that grows steadily until NOW."""
    began = NOW - int(days * DAY)
    return tuple(Point(t, {"volume": start + per_day * (t - began) // DAY}) for t in range(began, NOW + 1, every))


# The line


@given(st.integers(-(10**9), 10**9), st.integers(-(10**6), 10**6), st.lists(st.integers(0, 10**6), min_size=2, max_size=30, unique=True))
def test_the_slope_of_a_line_is_its_own(start: int, pace: int, moments: list[int]) -> None:
    assert slope([(t, start + pace * t) for t in moments]) == pace


@given(st.integers(1, 1000), st.integers(20, 60), st.data())
def test_a_quarter_of_wrong_values_does_not_tilt_it(pace: int, count: int, data: st.DataObject) -> None:
    series = [(t, pace * t) for t in range(count)]
    for wrong in data.draw(st.lists(st.integers(0, count - 1), max_size=count // 4, unique=True)):
        series[wrong] = (wrong, data.draw(st.integers(-(10**9), 10**9)))
    found = slope(series)
    assert found is not None
    assert found == pytest.approx(pace, abs=1e-6)


def test_there_is_no_slope_without_two_times() -> None:
    assert slope([]) is slope([(1, 5)]) is slope([(1, 5), (1, 9)]) is None


# What it is good for


def test_growth_a_day_and_the_date() -> None:
    found = forecast(line(1000, 240, 10), "volume", 1000 + 240 * 20)
    assert found.per_day == pytest.approx(240, rel=0.01)
    assert found.full is not None
    assert (found.full - datetime.fromtimestamp(NOW, UTC)).total_seconds() / DAY == pytest.approx(10, rel=0.02)
    assert found.note == ""


def test_a_short_history_says_so_and_names_nothing() -> None:
    assert forecast((), "volume", 10) == Forecast(note="not enough history: 0.0 h of 6 h")
    assert forecast(line(0, 100, 5 / 24), "volume", 10) == Forecast(note="not enough history: 5.0 h of 6 h")
    two = (Point(NOW - DAY, {"volume": 1}), Point(NOW, {"volume": 2}))
    assert forecast(two, "volume", 10).per_day is None, "two points are no line"
    assert forecast(line(0, 100, 1), "bucket/new", 10) == Forecast(note="not enough history: 0.0 h of 6 h")
    assert forecast(line(0, 2400, ENOUGH / DAY), "volume", 10**9).per_day == pytest.approx(2400)


@pytest.mark.parametrize(
    ("history", "limit", "note"),
    [
        (line(1000, 0, 3), 2000, "it does not grow"),
        (line(10_000, -100, 3), 20_000, "it does not grow"),
        (line(0, 1000, 3), None, "no limit"),
        (line(0, 1000, 3), 3000, "full"),
        (line(0, 1, 30, DAY), 10**9, "not within ten years"),
    ],
)
def test_where_there_is_no_date_it_says_why(history: History, limit: int | None, note: str) -> None:
    found = forecast(history, "volume", limit)
    assert found.note == note
    assert (found.full is not None) == (note == "full")


def test_only_the_last_month_counts() -> None:
    """A lake that stood still for a year and grows since six weeks is full soon, not in ten years."""
    still, then = line(0, 0, 365, DAY), line(0, 100, 42, DAY)
    history = (*(p for p in still if p.at < then[0].at), *then)
    assert forecast(history, "volume", 10**6).per_day == pytest.approx(100)
    assert then[0].at < NOW - WINDOW


# The history


@given(histories, points)
def test_a_history_stays_small_in_order_and_has_the_newest(history: History, newest: Point) -> None:
    kept = remember(history, newest)
    assert kept[-1] == newest
    assert len(kept) <= MOST
    assert [p.at for p in kept] == sorted({p.at for p in kept})
    assert all(p in history for p in kept[:-1])


def test_points_of_a_year_and_a_half_at_ten_minutes() -> None:
    history: History = ()
    for at in range(NOW - 500 * DAY, NOW + 1, 4 * HOUR):
        history = remember(history, Point(at, {"volume": at}))
    for at in range(NOW, NOW + FINE, 600):
        history = remember(history, Point(at, {"volume": at}))
    hours = [p for p in history if history[-1].at - p.at <= FINE]
    assert 48 <= len(hours) <= 51
    assert len(history) == MOST
    days = [p.at // DAY for p in history if history[-1].at - p.at > FINE]
    assert len(days) == len(set(days))
    assert max(b - a for a, b in pairwise(days)) == 1
    assert len(to_json(history)) < 60_000, "a text column of 64 KB holds it, with several buckets"


def test_of_an_hour_its_first_point_stays_and_the_newest_is_always_there() -> None:
    start, history = NOW - NOW % HOUR, tuple[Point, ...]()
    for at in range(start, start + 2 * HOUR, 600):
        history = remember(history, Point(at, {"volume": at}))
    assert [p.at - start for p in history] == [0, HOUR, 2 * HOUR - 600]


@given(histories)
def test_a_history_comes_back_as_it_was(history: History) -> None:
    assert from_json(to_json(history)) == history


def test_no_text_is_no_history() -> None:
    assert from_json(None) == from_json("") == ()


@pytest.mark.parametrize(
    "text", ["x", "[]", "{}", "5", '{"at": [1], "of": {"a": []}}', '{"at": ["x"], "of": {}}', '{"at": [1], "of": {"a": ["x"]}}', '{"at": 1, "of": {}}']
)
def test_what_is_no_history_is_told(text: str) -> None:
    with pytest.raises(ValueError):
        from_json(text)


def test_its_form_is_columns() -> None:
    history = (Point(1, {"a": 5}), Point(2, {"a": 6, "b": 7}))
    assert json.loads(to_json(history)) == {"at": [1, 2], "of": {"a": [5, 6], "b": [None, 7]}}
