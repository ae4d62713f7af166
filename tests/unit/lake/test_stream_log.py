"""How far the stream is: sums, files and lag out of its log, and a log that must not be believed."""

from datetime import date
from typing import Any

import pytest

from include.lake.errors import LakeError
from include.lake.stream_log import QueryLog, behind


def entry(batch: int, committed: int, records: int = 10, **offsets: list[int]) -> dict[str, Any]:
    files = {"silver": [{"path": f"silver/batch={batch}/a.parquet", "bytes": 1}], "dead": [{"path": f"dead/batch={batch}/a.parquet", "bytes": 1}]}
    return {"format": 1, "query": "silver", "batch": batch, "committed": committed, "offsets": {k[1:]: v for k, v in offsets.items()}, "files": files,
            "counts": {"records": records, "silver": records - 1}}  # fmt: skip


COMPACTED = {"format": 1, "through": 6, "at": 1, "files": {"silver": [{"path": "silver/compacted/x.parquet", "bytes": 9, "rows": 90}]},
             "counts": {"records": 100, "silver": 99}, "offsets": {"0": [0, 49], "1": [0, 49]}}  # fmt: skip


def test_what_was_compacted_and_what_came_after_are_one_view() -> None:
    log = QueryLog("silver", COMPACTED, [entry(7, 1000, p0=[50, 59]), entry(8, 3000, p0=[60, 62], p2=[0, 6])])
    assert log.files("silver") == ["silver/compacted/x.parquet", "silver/batch=7/a.parquet", "silver/batch=8/a.parquet"]
    assert log.counts() == {"records": 120, "silver": 117}
    assert log.offsets() == {0: 63, 1: 50, 2: 7}
    assert log.last() == (8, 3000)
    assert behind(log.offsets(), {0: 70, 1: 50, 2: 0, 3: 4}) == 11


def test_the_rate_is_that_of_the_last_minute() -> None:
    entries = [entry(n, n * 2000, records=n) for n in range(60)]
    recent = [e for e in entries if e["committed"] >= 59 * 2000 - 60_000]
    assert QueryLog("silver", None, entries).rate() == sum(e["counts"]["records"] for e in recent[1:]) / 60
    assert QueryLog("silver", None, [entry(0, 0), entry(1, 200_000, records=50)]).rate() == 50 / 200, "after a rest: since the commit before"
    assert QueryLog("silver", None, [entry(0, 0)]).rate() is None
    assert QueryLog("silver", None, [entry(0, 5), entry(1, 5)]).rate() is None


@pytest.mark.parametrize(("text", "day"), [("2026-05-01", date(2026, 5, 1)), ("+58398-05-12", date.max), ("-4713-11-24", date.min), ("0000-06-01", date.min)])
def test_a_file_is_of_a_day_of_the_calendar_whatever_its_year(text: str, day: date) -> None:
    files = {"silver": [{"path": f"silver/batch=7/date={text}/a.parquet", "bytes": 1}]}
    log = QueryLog("silver", None, [entry(0, 0) | {"files": files}])
    assert log.by_day("silver") == {day: files["silver"]}


def test_before_the_first_batch_and_after_all_were_compacted() -> None:
    assert QueryLog("silver", None, []).last() is None
    assert QueryLog("silver", None, []).counts() == {}
    assert QueryLog("silver", COMPACTED, []).last() == (6, None)


@pytest.mark.parametrize(
    ("compacted", "entries", "cause"),
    [
        (None, [entry(1, 0)], "batch 0 is missing before 1"),
        (None, [entry(0, 0), entry(2, 0)], "batch 1 is missing before 2"),
        (COMPACTED, [entry(8, 0)], "batch 7 is missing before 8"),
        (None, [entry(0, 0) | {"format": 2}], "it has the form 2, and 1 is known"),
        (COMPACTED | {"format": 3}, [], "it has the form 3, and 1 is known"),
    ],
)
def test_a_log_that_must_not_be_believed(compacted: Any, entries: Any, cause: str) -> None:
    with pytest.raises(LakeError, match=cause):
        QueryLog("silver", compacted, entries)
