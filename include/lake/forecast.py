"""How fast something grows, and when it will be full: a robust line through a history that is thinned as it ages."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from statistics import median

HISTORY = "homelake_usage"  # the Airflow variable that keeps it
HOUR, DAY = 3600, 86400  # seconds
FINE = 2 * DAY  # so long one point an hour is kept; beyond that one a day
MOST = 400  # points: two days of hours, and most of a year
WINDOW = 30 * DAY  # what the line is laid through: a lake changes its habits
ENOUGH = 6 * HOUR  # a shorter history says nothing of a day
FAR = 10 * 365 * DAY  # beyond this no date is named


@dataclass(frozen=True)
class Point:
    """What was found at one time (seconds since 1970), by name."""

    at: int
    values: Mapping[str, int]


History = tuple[Point, ...]  # in the order of time


@dataclass(frozen=True)
class Forecast:
    """Growth a day, and when it will be full. `per_day` is None when the history does not suffice; `note` says so."""

    per_day: float | None = None
    full: datetime | None = None
    note: str = ""


def remember(history: History, point: Point) -> History:
    """The history with one more point, thinned: of each hour, and further back of each day, the first stays. The newest always does."""
    kept: dict[tuple[int, int], Point] = {}
    for old in sorted((p for p in history if p.at < point.at), key=lambda p: p.at):
        width = HOUR if point.at - old.at <= FINE else DAY
        kept.setdefault((width, old.at // width), old)
    return (*kept.values(), point)[-MOST:]


def to_json(history: History) -> str:
    """As text, a column for each name, so that a year fits into a small database's text field."""
    names = sorted({n for p in history for n in p.values})
    return json.dumps({"at": [p.at for p in history], "of": {n: [p.values.get(n) for p in history] for n in names}}, separators=(",", ":"))


def from_json(text: str | None) -> History:
    """A history out of its text; empty without one. Raises ValueError when it is something else."""
    if not text:
        return ()
    try:
        found = json.loads(text)
        columns = {str(n): list(column) for n, column in found["of"].items()}
        times = [int(t) for t in found["at"]]
        if any(len(column) != len(times) for column in columns.values()):
            raise ValueError("its columns are not of one length")
        return tuple(Point(t, {n: int(c[i]) for n, c in columns.items() if c[i] is not None}) for i, t in enumerate(times))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no history: {error}") from None


def forecast(history: History, name: str, limit: int | None) -> Forecast:
    """The growth of one name over the last WINDOW, and when it reaches `limit` at that pace, counted from the newest value."""
    series = [(p.at, p.values[name]) for p in history if name in p.values]
    series = [(t, v) for t, v in series if t >= series[-1][0] - WINDOW]
    span = series[-1][0] - series[0][0] if series else 0
    if len(series) < 3 or span < ENOUGH:
        return Forecast(note=f"not enough history: {span / HOUR:.1f} h of {ENOUGH // HOUR} h")
    per_second = slope(series)
    assert per_second is not None
    at, value = series[-1]
    if limit is None:
        return Forecast(per_second * DAY, note="no limit")
    if value >= limit:
        return Forecast(per_second * DAY, datetime.fromtimestamp(at, UTC), "full")
    if per_second <= 0:
        return Forecast(per_second * DAY, note="it does not grow")
    left = (limit - value) / per_second
    if left > FAR:
        return Forecast(per_second * DAY, note="not within ten years")
    return Forecast(per_second * DAY, datetime.fromtimestamp(at, UTC) + timedelta(seconds=left))


def slope(series: Iterable[tuple[float, float]]) -> float | None:
    """The Theil–Sen slope: the median of the slopes of all pairs. A burst, or up to a quarter of wrong values, does not tilt it.

    None when there are no two different times.
    """
    slopes = [(b - a) / (t - s) for (s, a), (t, b) in combinations(series, 2) if t != s]
    return median(slopes) if slopes else None
