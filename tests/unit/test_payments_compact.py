"""Compaction without Spark: what is chosen, what becomes of the log, and that a death at any call loses and doubles nothing."""

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.lake.stream_log import QueryLog

sys.path.append(str(Path(__file__).resolve().parents[2] / "jobs"))
import payments_compact
from payments_compact import TABLES, Log, Overtaken, Unfit, compact, divided, folders_of, orphans
from payments_store import late_runs

MINUTE = 60_000
GRACE = 60 * MINUTE
Row = tuple[Any, ...]


class Killed(Exception):
    pass


class Memory:
    """The lake in memory: text for the log, rows for data. Dies at the call to `dies_at`, when it is set, before or after the call's effect."""

    def __init__(self) -> None:
        self.texts: dict[str, tuple[str, int]] = {}  # and version
        self.data: dict[str, tuple[list[Row], int]] = {}  # and time
        self.now = 1000 * GRACE
        self.calls, self.dies_at, self.late = 0, -1, False
        self.meanwhile: Callable[[], None] = lambda: None

    def clock(self) -> int:
        return self.now

    def _changing(self, change: Callable[[], None]) -> None:
        self.calls += 1
        if self.calls == self.dies_at:
            if self.late:
                change()
            raise Killed
        change()

    def read(self, name: str) -> str | None:
        return self.texts.get(name, (None, 0))[0]

    def read_version(self, name: str) -> tuple[str | None, str | None]:
        text, version = self.texts.get(name, (None, None))
        return text, version and str(version)

    def replace(self, name: str, text: str, version: str | None) -> bool:
        self.meanwhile()
        if self.read_version(name)[1] != version:
            return False
        self._changing(lambda: self.texts.__setitem__(name, (text, int(version or 0) + 1)))
        return True

    def names(self, folder: str) -> list[str]:
        return [n.rpartition("/")[2] for n in self.texts if n.rpartition("/")[0] == folder]

    def newest(self, folder: str) -> int | None:
        return max((int(n[:20]) for n in self.names(folder) if n[:20].isdigit()), default=None)

    def listing(self, folder: str) -> list[tuple[str, int, int]]:
        return sorted((p, 10 * len(rows), at) for p, (rows, at) in self.data.items() if p.startswith(f"{folder.rstrip('/')}/"))

    def rows(self, name: str) -> int:
        return len(self.data[name][0])

    def delete(self, names: list[str], folders: list[str]) -> None:
        assert folders == folders_of(names)
        for name in names:
            self._changing(lambda n=name: (self.texts.pop(n, None), self.data.pop(n, None)))  # type: ignore[misc,arg-type]

    def write(self, path: str, rows: list[Row]) -> None:
        self._changing(lambda: self.data.__setitem__(path, (rows, self.now)))

    def merge(self, table: str, paths: list[str], folder: str, parts: int) -> list[dict[str, Any]]:
        rows = [r for p in paths for r in self.data[p][0]]
        if table == "figures":
            sums: Counter[Row] = Counter()
            for key, n in rows:
                sums[key] += n
            rows = list(sums.items())
        elif table == "alerts":
            rows = list(dict(sorted(rows)).items())  # the newest of each
        for part in range(parts):
            self.write(f"{folder}part-{part}.parquet", sorted(rows)[part::parts])
        return [{"path": path, "bytes": size} for path, size, _ in self.listing(folder)]


def batch(lake: Memory, n: int, dates: tuple[str, ...] = ("2026-05-01",)) -> None:
    """The queries' batch n, with one event and one figure a date, and an alert that is there twice as it grows."""
    for query, tables in (("bronze", ("bronze",)), ("silver", ("silver", "figures")), ("gold", ("alerts",))):
        files: dict[str, Any] = {}
        for table in tables:
            for date in dates[:1] if table == "alerts" else dates:
                path = f"{table}/batch={n:020d}-aaaaaaaa/date={date}/part-0.parquet"
                rows: dict[str, list[Row]] = {"figures": [("minute", 1)], "alerts": [(f"alert {n // 2}", n)]}
                lake.data[path] = (rows.get(table, [(n, date)]), lake.now)
                files.setdefault(table, []).append({"path": path, "bytes": 10})
        counts = {"records": len(dates)} | ({"silver": len(dates), "dead": 0, "late": 0} if query == "silver" else {})
        entry = {"format": 1, "query": query, "batch": n, "committed": lake.now, "offsets": {"0": [10 * n, 10 * n + 9], **({"1": [n, n]} if n > 2 else {})},
                 "files": files, "counts": counts, "high_water": 1000 + n, "late_after": 60, "silver": n}  # fmt: skip
        lake.texts[f"_log/{query}/{n:020d}.json"] = (json.dumps(entry), 1)


def lake_of(batches: int) -> Memory:
    lake = Memory()
    for n in range(batches):
        batch(lake, n, ("2026-05-01",) if n < 8 else ("2026-05-01", "2026-05-02"))
    return lake


def run(lake: Memory, **options: Any) -> list[str]:
    args = Namespace(**({"min_batches": 4, "keep": 2, "target_mib": 1, "grace_minutes": 60} | options))
    return [compact(lake, lake.merge, query, args, lake.clock) for query in TABLES]


def read(lake: Memory, query: str) -> QueryLog:
    """As the product's reader does: the compacted state, and every entry after it."""
    compacted = json.loads(lake.read(f"_log/{query}/compacted.json") or "null")
    after = compacted["through"] if compacted else -1
    names = sorted(n for n in lake.names(f"_log/{query}") if n[:20].isdigit() and int(n[:20]) > after)
    return QueryLog(query, compacted, [json.loads(lake.read(f"_log/{query}/{n}") or "") for n in names])


def view(lake: Memory) -> dict[str, Any]:
    """What a reader sees; every file that the log names must be there."""
    logs = {q: read(lake, q) for q in TABLES}
    rows = {
        t: [r for f in logs[q].files(t) for r in lake.data[f][0]]
        for q, t in (("bronze", "bronze"), ("silver", "silver"), ("silver", "figures"), ("gold", "alerts"))
    }
    return {"bronze": sorted(rows["bronze"]), "silver": sorted(rows["silver"]), "figures": sum(n for _, n in rows["figures"]), "alerts": dict(sorted(rows["alerts"])),
            "logs": {q: (log.counts(), log.offsets(), log.last() and log.last()[0]) for q, log in logs.items()}}  # type: ignore[index] # fmt: skip


def test_old_batches_become_a_file_a_date_and_the_view_stays() -> None:
    lake = lake_of(12)
    before = view(lake)
    said = run(lake)
    assert view(lake) == before
    assert said[0].startswith("bronze: batches 0 to 9 put together: 12 files are now 2 with those before")
    log = read(lake, "silver")
    assert log.compacted
    assert (log.compacted["through"], [e["batch"] for e in log.entries]) == (9, [10, 11])
    assert [(f["path"].split("/")[-2], f["rows"], f["bytes"]) for f in log.compacted["files"]["silver"]] == [
        ("date=2026-05-01", 10, 100),
        ("date=2026-05-02", 2, 20),
    ]
    assert sum(len(lake.data[f["path"]][0]) for f in log.compacted["files"]["figures"]) == 2, "partial sums are summed"
    assert (log.compacted["offsets"], log.compacted["high_water"]) == ({"0": [0, 99], "1": [3, 9]}, 1009)


def test_a_long_backlog_is_put_together_in_rounds_each_with_its_own_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments_compact, "ROUND", 10)
    lake, commits = lake_of(57), list[int]()
    before, replace = view(lake), lake.replace

    def noted(name: str, text: str, version: str | None) -> bool:
        if name == "_log/bronze/compacted.json":
            commits.append(json.loads(text)["through"])
        return replace(name, text, version)

    lake.replace = noted  # type: ignore[method-assign]
    said = run(lake)
    assert said[0].startswith("bronze: batches 0 to 54 put together in 6 rounds: ")
    assert commits == [9, 19, 29, 39, 49, 54], "the oldest first, and all but the newest two"
    assert view(lake) == before
    lake.now += GRACE + 1
    run(lake)
    assert set(lake.data) == {f for q in TABLES for t in TABLES[q] for f in read(lake, q).files(t)}, "what a round made and the next replaced goes too"
    assert view(lake) == before
    monkeypatch.setattr(payments_compact, "ROUND", 2)
    assert run(lake_of(12))[0].startswith("bronze: batches 0 to 7 put together in 2 rounds"), "four at a time, as --min-batches says"


def test_it_is_kept_how_late_an_event_may_be_from_which_batch_on() -> None:
    lake = lake_of(6)
    for n in (4, 5, 6, 7, 8):
        batch(lake, n)
        name = f"_log/silver/{n:020d}.json"
        lake.texts[name] = (json.dumps(json.loads(lake.read(name) or "") | {"late_after": 60 if n < 6 else 90.5}), 1)
    run(lake)
    assert (read(lake, "silver").compacted or {})["late_after"] == [[0, 60], [6, 90.5]]
    for n in (9, 10, 11, 12):
        batch(lake, n)
    run(lake)
    assert (read(lake, "silver").compacted or {})["late_after"] == [[0, 60], [6, 90.5], [9, 60]]


def test_of_batches_that_were_put_together_by_an_older_homelake_it_is_not_known() -> None:
    assert late_runs([{"through": 6}, {"batch": 7, "late_after": 60}, {"batch": 8, "late_after": 60}]) == [[7, 60]]


def test_what_the_alerts_have_not_looked_through_is_left() -> None:
    lake = lake_of(12)
    for n in range(6, 12):
        del lake.texts[f"_log/gold/{n:020d}.json"]
    before = view(lake)
    run(lake)
    assert [(read(lake, q).compacted or {})["through"] for q in TABLES] == [9, 5, 3]
    assert view(lake) == before


def test_of_an_alert_that_has_grown_one_row_is_left() -> None:
    lake = lake_of(12)
    run(lake)
    (file,) = read(lake, "gold").compacted["files"]["alerts"]  # type: ignore[index]
    assert lake.data[file["path"]][0] == [(f"alert {n}", 2 * n + 1) for n in range(5)]


def test_too_few_batches_are_left_and_nothing_is_written() -> None:
    lake = lake_of(5)
    before = dict(lake.texts), dict(lake.data)
    assert "3 batches to put together, which are too few (--min-batches 4)" in run(lake)[0]
    assert (lake.texts, lake.data) == before
    assert run(Memory())[1].startswith("silver: 0 batches")


def test_what_was_replaced_goes_after_the_grace_and_only_then() -> None:
    lake = lake_of(12)
    old = [p for p in lake.data if "/batch=" in p and int(p.split("batch=")[1][:20]) < 10]
    run(lake)
    lake.now += GRACE
    run(lake)
    assert set(old) <= set(lake.data), "not before it is over"
    lake.now += 1
    before = view(lake)
    run(lake)
    assert not set(old) & set(lake.data)
    assert sorted(lake.names("_log/silver")) == [f"{10:020d}.json", f"{11:020d}.json", "compacted.json"]
    assert view(lake) == before
    for query in TABLES:
        assert read(lake, query).compacted["replaced"] == []  # type: ignore[index]
    changes = lake.calls
    run(lake)
    assert lake.calls == changes, "then there is nothing to do"


def test_old_files_that_were_replaced_just_now_stay() -> None:
    lake = lake_of(12)
    lake.now += 10 * GRACE
    run(lake)
    old = set(lake.data)
    lake.now += MINUTE
    for n in range(12, 24):
        batch(lake, n)
    run(lake)
    assert old <= set(lake.data), "whoever has read the log before may still open them"
    lake.now += GRACE + 1
    run(lake)
    assert min(lake.names("_log/silver")) == f"{22:020d}.json", "then what both have replaced goes, entries too"
    assert set(lake.data) == {f for q in TABLES for t in TABLES[q] for f in read(lake, q).files(t)}


def test_compacting_every_hour_still_removes_what_the_hours_before_replaced() -> None:
    lake = lake_of(0)
    for hour in range(5):
        for n in range(10):
            batch(lake, 10 * hour + n)
        run(lake)
        lake.now += GRACE + 1
    assert not [p for p in lake.data if "/batch=" in p and int(p.split("batch=")[1][:20]) < 38]
    assert min(lake.names("_log/silver")) == f"{38:020d}.json", "the entries too"
    assert len([p for p in lake.data if p.startswith("silver/compacted/")]) == 2, "the last, and the one before it in its grace"
    assert view(lake)["silver"] == [(n, "2026-05-01") for n in range(50)]


@pytest.mark.parametrize("late", [False, True], ids=["before the call", "after the call"])
def test_killed_at_any_call_the_next_run_goes_on(late: bool) -> None:
    at = 0
    while True:
        at += 1
        lake = lake_of(12)
        run(lake)
        for n in range(12, 20):
            batch(lake, n, ("2026-05-01", "2026-05-02"))
        lake.now += GRACE + 1
        before, lake.calls, lake.dies_at, lake.late = view(lake), 0, at, late
        try:
            run(lake)
            break  # it lived through all of its calls
        except Killed:
            assert view(lake) == before
        lake.dies_at = -1
        lake.now += MINUTE
        run(lake)
        assert view(lake) == before
        for n in range(20, 30):
            batch(lake, n)
        # One run so that what was replaced is past its grace, one to remove it.
        for _ in range(3):
            lake.now += GRACE + 1
            run(lake)
        named = {f for q in TABLES for t in TABLES[q] for f in read(lake, q).files(t)}
        assert set(lake.data) == named, f"killed at call {at}: nothing is left behind"
        assert Counter(view(lake)["silver"]) == Counter([(n, "2026-05-01") for n in range(30)] + [(n, "2026-05-02") for n in range(8, 20)])
    assert at > 40


def test_what_a_killed_attempt_of_the_stream_left_goes_but_never_what_is_written_now() -> None:
    lake = lake_of(6)
    for n in (3, 6):
        lake.data[f"silver/batch={n:020d}-bbbbbbbb/date=2026-05-01/part-0.parquet"] = ([(n, "x")], lake.now - 10 * GRACE)
    lake.data[f"silver/batch={4:020d}-bbbbbbbb/date=2026-05-01/part-0.parquet"] = ([(4, "x")], lake.now - GRACE)
    lake.data[f"silver/compacted/{9:020d}-bbbbbbbb/date=2026-05-01/part-0.parquet"] = ([(9, "x")], lake.now - 10 * GRACE)
    run(lake, min_batches=100)
    left = [p for p in lake.data if "bbbbbbbb" in p]
    assert [p.split("-b")[0][-1] for p in left] == ["6", "4", "9"], "batch 6 is still to be committed, 4 is young, and a compaction through 9 too"
    assert orphans(Log("silver", {"through": 9}), [(left[2], 1, 0)], 1) == [left[2]]


def test_who_was_overtaken_commits_nothing() -> None:
    lake, other = lake_of(12), lake_of(12)
    run(other)
    theirs = other.texts["_log/bronze/compacted.json"]
    lake.meanwhile = lambda: lake.texts.__setitem__("_log/bronze/compacted.json", theirs)
    with pytest.raises(Overtaken, match="another compaction of bronze has committed meanwhile"):
        run(lake)
    assert lake.texts["_log/bronze/compacted.json"] == theirs


def lost_row(lake: Memory) -> None:
    path = next(p for p in lake.data if p.startswith("bronze/"))
    lake.data[path] = ([], 0)


def doubled_row(lake: Memory) -> None:
    path = next(p for p in lake.data if p.startswith("silver/"))
    lake.data[path] = (lake.data[path][0] * 2, 0)


def changed(**values: Any) -> Callable[[Memory], None]:
    def change(lake: Memory) -> None:
        name = f"_log/bronze/{3:020d}.json"
        lake.texts[name] = (json.dumps(json.loads(lake.texts[name][0]) | values), 1)

    return change


@pytest.mark.parametrize(("fault", "cause"), [
    (lost_row, "the files of bronze hold 11 rows, and its batches counted 12: run ./lake audit"),
    (doubled_row, "the files of silver hold 13 rows, and its batches counted 12: run ./lake audit"),
    (lambda lake: lake.texts.pop(f"_log/bronze/{3:020d}.json"), "batch 3 of bronze is missing before 4"),
    (changed(format=2), "has the form 2, and 1 is known"),
    (changed(files={"other": []}), "a table other that is not known"),
    (lambda lake: lake.texts.__setitem__(f"_log/bronze/{3:020d}.json", ("{half", 1)), f"{3:020d}.json in the log is no JSON object"),
])  # fmt: skip
def test_what_contradicts_itself_is_not_replaced(fault: Callable[[Memory], None], cause: str) -> None:
    lake = lake_of(12)
    fault(lake)
    with pytest.raises(Unfit, match=cause):
        run(lake)
    query = "silver" if "silver" in cause else "bronze"
    assert f"_log/{query}/compacted.json" not in lake.texts
    assert [p for p in lake.data if "/batch=" in p] == list(lake_of(12).data)


def test_large_files_stay_and_small_ones_are_put_to_what_is_new() -> None:
    def file(name: str, size: int, date: str = "2026-05-01") -> dict[str, Any]:
        return {"path": f"silver/x/date={date}/{name}", "bytes": size}

    large, small, elsewhere, fresh = file("large", 60), file("small", 40), file("elsewhere", 1, "2026-04-30"), file("fresh", 5)
    assert divided("silver", [large, small, elsewhere], [fresh], 100) == ([large, elsewhere], {"2026-05-01": [fresh, small]})
    assert divided("figures", [large, elsewhere], [fresh], 100) == ([elsewhere], {"2026-05-01": [fresh, large]})


def test_as_many_files_as_the_target_asks_for() -> None:
    lake = lake_of(12)
    run(lake, target_mib=50 / 1024 / 1024)
    log = read(lake, "bronze")
    assert [len(lake.data[f][0]) for f in log.files("bronze")[:2]] == [5, 5]


def test_folders_that_may_be_empty_now_are_those_that_were_written_as_a_whole() -> None:
    batch, own = f"silver/batch={3:020d}-aaaaaaaa", f"dead/compacted/{9:020d}-bbbbbbbb"
    paths = [f"{batch}/date=2026-05-01/x.parquet", f"{batch}/date=2026-05-02/x.parquet", f"{own}/date=2026-05-02/y.parquet", f"_log/silver/{3:020d}.json"]
    assert folders_of(paths) == [f"{own}/date=2026-05-02", batch]
