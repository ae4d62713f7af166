"""How full things are: thresholds, texts, and what is JSON-ready of it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.errors import Unreachable
from include.lake.figures import Mark, Thresholds, point, report
from include.lake.forecast import Point
from include.lake.units import Size
from include.lake.usage import BucketUsage, Counted, KeyAge, Noncurrent, Usage, Volume

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GIB = 2**30
LIMITS = Thresholds(0.8, 0.95, timedelta(minutes=1))
VOLUME = Volume(100 * GIB, 400 * GIB, 1000, 9000, 2, 12 * 2**20, NOW - timedelta(days=2))


def bucket(size: int, quota: int | None = 100 * GIB) -> BucketUsage:
    return BucketUsage("datalake", Size(quota) if quota else None, Counted(size, 10, 18, 3), Noncurrent(5, 50, exact=False))


def usage(size: int, quota: int | None = 100 * GIB) -> Usage:
    return Usage(NOW - timedelta(seconds=40), (bucket(size, quota),), VOLUME)


@pytest.mark.parametrize(("gib", "mark"), [(79, Mark.OK), (80, Mark.WARN), (94, Mark.WARN), (95, Mark.FAIL), (120, Mark.FAIL)])
def test_thresholds_are_met_at_the_declared_share(gib: int, mark: Mark) -> None:
    found = report(usage(gib * GIB), (), LIMITS, NOW)
    assert found.levels[0].mark is mark
    assert bool(found.warnings) is (mark is Mark.WARN)
    assert bool(found.failures) is (mark is Mark.FAIL)


@given(st.integers(0, 2**50), st.one_of(st.none(), st.integers(1, 2**50)))
def test_a_level_without_a_limit_is_never_full(used: int, limit: int | None) -> None:
    mark = LIMITS.mark(used, limit)
    assert mark is (Mark.OK if limit is None or used / limit < 0.8 else Mark.WARN if used / limit < 0.95 else Mark.FAIL)


def test_volume_and_inodes_are_levels_of_their_own() -> None:
    full = replace(usage(1), volume=replace(VOLUME, free=1 * GIB, inodes_free=100))
    found = report(full, (), LIMITS, NOW)
    assert [(level.name, level.mark) for level in found.levels] == [("bucket/datalake", Mark.OK), ("volume", Mark.FAIL), ("inodes", Mark.WARN)]
    assert found.failures == ("volume is 99.0% full: 100 GiB of 101 GiB",)
    assert found.warnings == ("inodes is 90.9% full: 1,000 of 1,100",)


def test_a_warning_says_when_it_is_full() -> None:
    history = tuple(Point(int((NOW - timedelta(hours=h)).timestamp()), {"bucket/datalake": (85 * 24 - h) * GIB // 24}) for h in range(48, -1, -1))
    found = report(usage(85 * GIB), history, LIMITS, NOW)
    assert found.warnings == ("bucket/datalake is 85.0% full: 85 GiB of 100 GiB, full on 2026-03-16 at 1 GiB a day",)
    assert report(usage(85 * GIB), (), LIMITS, NOW).warnings == ("bucket/datalake is 85.0% full: 85 GiB of 100 GiB",)


def test_without_a_history_nothing_is_said_of_growth() -> None:
    (bucket, *_) = report(usage(1), None, LIMITS, NOW).levels
    assert (bucket.forecast.per_day, bucket.forecast.note) == (None, "")


def test_counters_that_stand_still_are_told() -> None:
    old = replace(usage(1), counted_at=NOW - timedelta(hours=3))
    (text,) = report(old, (), LIMITS, NOW).warnings
    assert text == "MinIO's scanner has counted nothing since 2026-03-01 09:00:00 UTC: quotas are as late as that"
    assert not report(old, (), replace(LIMITS, cycle=timedelta(hours=1)), NOW).warnings, "with a slow scanner that is as declared"


def test_what_the_history_gets() -> None:
    assert point(usage(7), NOW) == Point(int(NOW.timestamp()), {"bucket/datalake": 7, "volume": 100 * GIB, "inodes": 1000})
    assert point(Usage(errors=(Unreachable("it", "gone"),)), NOW).values == {}
    assert point(Usage(NOW, (replace(bucket(7), counted=None),)), NOW).values == {}, "not counted is not zero"


def test_it_is_json_ready_and_whole() -> None:
    error = Unreachable("MinIO", "connection refused")
    keys = (KeyAge("spark-user", NOW - timedelta(days=9)), KeyAge("reader", None))
    found = report(replace(usage(96 * GIB), keys=keys, errors=(error,)), (), LIMITS, NOW).as_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["counters_age_seconds"] == 40
    assert found["levels"][0] | {"note": ""} == {"name": "bucket/datalake", "used": 96 * GIB, "limit": 100 * GIB, "share": 0.96, "mark": "fail",
                                                "per_day": None, "full": None, "note": ""}  # fmt: skip
    assert found["buckets"] == [{"name": "datalake", "quota": 100 * GIB, "bytes": 96 * GIB, "objects": 10, "delete_markers": 3,
                                 "noncurrent": {"count": 5, "size": 50, "exact": False}}]  # fmt: skip
    assert found["uploads"] == {"count": 2, "bytes": 12 * 2**20, "oldest": "2026-02-27T12:00:00+00:00"}
    assert found["keys"] == [{"name": "spark-user", "created": NOW.timestamp() - 9 * 86400}, {"name": "reader", "created": None}]
    assert found["errors"] == [{"text": "Unable to reach MinIO: connection refused.", "unreachable": True}]
    assert len(found["failures"]) == 1


def test_what_is_not_known_is_null() -> None:
    found = report(Usage(None, (BucketUsage("new", None, None, None),)), (), LIMITS, NOW).as_dict()
    assert (found["counted_at"], found["counters_age_seconds"], found["levels"], found["uploads"]) == (None, None, [], None)
    assert found["buckets"] == [{"name": "new", "quota": None, "bytes": None, "objects": None, "delete_markers": None, "noncurrent": None}]
