"""The audit over files as the stream writes them, on a local disk in MinIO's place, and with a topic in memory in Kafka's."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from include.adapters import audit as adapter
from include.adapters import audit_day, audit_tables
from include.adapters.audit import NothingThere, run_audit
from include.adapters.stream_log import StreamLog
from include.connections import Connection
from include.lake.audit import AuditReport
from include.lake.errors import LakeError
from include.lake.secret import Secret
from include.lake.spec.streams import Payments
from include.lake.stream_log import QueryLog

START, SECOND = 1_777_626_000_000, 1000  # 2026-05-01
POSTINGS = pa.list_(pa.struct([("account", pa.string()), ("amount", pa.int64()), ("currency", pa.string())]))
SCHEMAS = {
    "bronze": pa.schema([("partition", pa.int32()), ("offset", pa.int64()), ("timestamp", pa.int64()), ("key", pa.string()), ("value", pa.binary())]),
    "silver": pa.schema([("id", pa.string()), ("account", pa.string()), ("seq", pa.int64()), ("ts", pa.int64()), ("type", pa.string()),
                         ("status", pa.string()), ("reason", pa.string()), ("amount", pa.int64()), ("currency", pa.string()), ("postings", POSTINGS),
                         ("late", pa.bool_()), ("partition", pa.int32()), ("offset", pa.int64()), ("timestamp", pa.int64()), ("batch", pa.int64())]),
    "dead": pa.schema([("partition", pa.int32()), ("offset", pa.int64()), ("value", pa.binary()), ("cause", pa.string())]),
    "alerts": pa.schema([("id", pa.string()), ("events", pa.list_(pa.string())), ("batch", pa.int64())]),
    "figures": pa.schema([("minute", pa.int64()), ("currency", pa.string()), ("type", pa.string()), ("status", pa.string()), ("events", pa.int64()),
                          ("amount", pa.int64()), ("late", pa.int64()), ("batch", pa.int64())]),
}  # fmt: skip
QUERY = {"bronze": "bronze", "alerts": "gold"}  # of a table, when it is not silver
CONNECTIONS = {
    "lake_s3": Connection("lake_s3", "aws", "", "root", Secret("hunter2"), None, {"endpoint_url": "http://127.0.0.1:9"}),
    "kafka_default": Connection("kafka_default", "kafka", extra={"bootstrap.servers": "127.0.0.1:9"}),
}


class Topic:
    """Of one partition: 9 records at offsets 0 to 9, a transaction's mark among them."""

    marked = 4
    beyond: Mapping[int, tuple[int, int, int]] = {}  # what is unread, by partition, whatever was read
    times: Mapping[int, int] = {}  # by offset, when Kafka took the record (ms); START where nothing is said

    def __init__(self, connection: Connection, topic: str) -> None:
        assert (connection.id, topic) == ("kafka_default", "payments")

    def first(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)

    def unread(self, read: Mapping[int, int]) -> dict[int, tuple[int, int, int]]:
        return {p: found for p, found in self.beyond.items() if found[0] >= read.get(p, 0)}

    def since(self, partitions: Sequence[int], time_ms: int) -> dict[int, int | None]:
        return dict.fromkeys(partitions, next((n for n in range(10) if n != self.marked and self.times.get(n, START) >= time_ms), None))

    def count(self, limits: Mapping[int, tuple[int, int]], within: tuple[int, int] | None = None) -> dict[int, int]:
        begin, end = within or (0, 1 << 62)
        return {p: sum(n != self.marked and begin <= self.times.get(n, START) < end for n in range(a, b + 1)) for p, (a, b) in limits.items()}


class Written:
    """The files and the log of a stream of two batches; `fill` writes what is in them."""

    def __init__(self, folder: Path) -> None:
        self.compacted: dict[str, dict[str, Any]] = {}
        self.folder, self.entries = folder, {q: [self._entry(0), self._entry(1)] for q in ("bronze", "silver", "gold")}
        for query, last in (("bronze", 9), ("silver", 8)):
            self.entries[query][0]["offsets"], self.entries[query][1]["offsets"] = {"0": [0, 3]}, {"0": [4, last]}

    def fill(self) -> None:
        """6 events of one account, a repetition, a dead letter; and one record more in bronze than silver has."""
        first = [self.event(n, n) for n in (1, 2, 3)]
        second = [self.event(n, n + 1, batch=1) for n in (4, 5, 6)]
        said = [(e["offset"], json.dumps({"id": e["id"], "amount": e["amount"]}).encode()) for e in first + second]
        said += [(0, b"\xff\xfe"), (8, said[1][1]), (9, b'{"id": "next"}')]
        self.write("bronze", 0, [{"partition": 0, "offset": n, "timestamp": START, "key": "A1", "value": v} for n, v in said if n <= 3])
        self.write("bronze", 1, [{"partition": 0, "offset": n, "timestamp": START, "key": "A1", "value": v} for n, v in said if n > 3])
        self.write("dead", 0, [{"partition": 0, "offset": 0, "value": b"\xff\xfe", "cause": "it is not UTF-8"}])
        for batch, events in enumerate((first, second)):
            self.write("silver", batch, events)
            amount = sum(e["amount"] for e in events)
            self.write("figures", batch, [{"minute": START, "currency": "EUR", "type": "purchase", "status": "approved", "events": len(events), "amount": amount,
                                           "late": 0, "batch": batch}])  # fmt: skip
        self.write("alerts", 0, [{"id": "a", "events": ["e1", "e2"], "batch": 0}])

    def _entry(self, batch: int) -> dict[str, Any]:
        return {"format": 1, "batch": batch, "committed": START, "files": {}, "counts": {}, "late_after": 60, "high_water": START + batch * SECOND}

    def event(self, seq: int, offset: int, batch: int = 0, *, account: str = "A1", ts: int = 0, came: int = START) -> dict[str, Any]:
        postings = [{"account": a, "amount": n, "currency": "EUR"} for a, n in ((account, -seq), ("M1", seq))]
        return {"id": f"{'e' if account == 'A1' else account + '-'}{seq}", "account": account, "seq": seq, "ts": ts or START + seq * SECOND, "type": "purchase",
                "status": "approved", "amount": seq, "currency": "EUR", "postings": postings, "late": False, "partition": 0, "offset": offset, "timestamp": came,
                "batch": batch}  # fmt: skip

    def write(self, table: str, batch: int, rows: list[dict[str, Any]], day: str = "2026-05-01") -> None:
        """A file, named in the log."""
        entry = self.entries[QUERY.get(table, "silver")][batch]
        named = entry["files"].setdefault(table, [])
        name = f"{table}/batch={batch:020d}-0badcafe/date={day}/part-{len(named)}.parquet"
        file = self.folder / "datalake/payments" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, SCHEMAS[table]), file)
        named.append({"path": name, "bytes": file.stat().st_size})

    def file(self, table: str, batch: int) -> Path:
        named: str = self.entries[QUERY.get(table, "silver")][batch]["files"][table][0]["path"]
        return self.folder / "datalake/payments" / named


@pytest.fixture
def stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Nothing in it yet."""
    made = Written(tmp_path)
    monkeypatch.setattr(audit_tables, "filesystem", lambda connection: SubTreeFileSystem(str(tmp_path), LocalFileSystem()))
    monkeypatch.setattr(adapter, "Records", Topic)
    monkeypatch.setattr(StreamLog, "read", lambda self, query: QueryLog(query, made.compacted.get(query), made.entries[query]))
    return made


@pytest.fixture
def written(stream: Written) -> Written:
    """A day of it."""
    stream.fill()
    return stream


def run(day: date | None = None) -> AuditReport:
    return run_audit(Payments(), CONNECTIONS.__getitem__, lambda text: None, day)


def test_a_stream_in_order_is_clean(written: Written) -> None:
    found = run()
    assert found.failed == ()
    assert {n: c for n, c in found.counts.items() if c} == {
        "records": 8,
        "events": 6,
        "dead": 1,
        "repeated": 1,
        "ahead": 1,
        "accounts": 1,
        "alerts": 1,
    }


def test_files_that_the_log_does_not_name_do_not_count(written: Written) -> None:
    orphan = written.file("silver", 1).parents[1] / "date=2026-05-01/part-1.parquet"
    orphan.write_bytes(written.file("silver", 1).read_bytes())
    assert run().failed == ()


@pytest.mark.parametrize(("query", "table", "first"), [
    ("bronze", "bronze", ("partition", 0, 8, 4)),
    ("silver", "dead", (0, 0, None)),
    ("silver", "silver", (0, 1, "e1")),
])  # fmt: skip
def test_a_file_that_the_log_does_not_name_any_more_is_found_by_its_keys(written: Written, query: str, table: str, first: tuple[Any, ...]) -> None:
    del written.entries[query][1 if table == "bronze" else 0]["files"][table]
    found = run()
    assert found.failed
    assert first in [key for f in found.failed for key in f.first]


def test_a_record_that_kafka_has_and_bronze_has_not_is_found(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Topic, "marked", -1)
    assert [f.check for f in run().failed] == ["every committed record of Kafka is in bronze"]


def test_a_file_that_is_gone_or_damaged_is_told(written: Written) -> None:
    told = r"Unable to read the table silver below s3://datalake/payments/: .*bring its version before back"
    written.file("silver", 1).write_bytes(b"PAR1 and no more")
    with pytest.raises(LakeError, match=told):
        run()
    written.file("silver", 0).unlink()
    with pytest.raises(LakeError, match=told):
        run()


def test_a_day_with_nothing_is_no_clean_one(written: Written) -> None:
    assert run(date(2026, 5, 1)).counts["events"] == 6
    with pytest.raises(NothingThere, match=r"Unable to audit s3a://datalake/payments/: it has nothing of 2026-05-02\. Name a day \(UTC\)"):
        run(date(2026, 5, 2))


def test_the_tables_are_for_nobody_else_and_go_away(written: Written, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []
    fill = audit_tables.Tables.fill

    def look(self: audit_tables.Tables, *args: Any) -> None:
        seen.extend(p.stat().st_mode & 0o777 for p in (tmp_path / "tmp").iterdir())
        fill(self, *args)

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(audit_tables.Tables, "fill", look)
    assert run().failed == ()
    assert set(seen) == {0o700}
    assert list((tmp_path / "tmp").iterdir()) == []


WAITING = "Kafka holds nothing that the lake lacks for long"


def test_what_kafka_holds_for_long_and_no_query_has_read_is_found(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    now = round(time.time() * 1000)
    monkeypatch.setattr(Topic, "beyond", {0: (9, 40, now - 11 * 60 * SECOND), 1: (0, 7, now - 9 * 60 * SECOND)})  # bronze has read 9, silver has not
    (found,) = run().failed
    assert (found.check, found.first) == (WAITING, (("silver", "partition", 0, 40, "offsets from", 9),))
    monkeypatch.setattr(Topic, "beyond", {1: (0, 7, now - 11 * 60 * SECOND)})
    assert [row[:3] for f in run(date(2026, 5, 1)).failed for row in f.first] == [("bronze", "partition", 1), ("silver", "partition", 1)]
    assert [f.check for f in run(date(2026, 5, 2)).failed] == [WAITING], "a day of which the lake has nothing is no reason to say nothing"
    assert run_audit(Payments(micro_batch="0 3 * * *"), CONNECTIONS.__getitem__, lambda text: None).failed == ()


def test_what_kafka_still_has_is_asked_right_before_it_is_counted(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def noted(owner: Any, name: str) -> None:
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args: (asked.append(name), real(*args))[1])

    for owner, name in ((Topic, "first"), (Topic, "count"), (audit_tables.Tables, "read")):
        noted(owner, name)
    assert run().failed == ()
    assert asked == ["read"] * 5 + ["first", "count"]


# A day at a time

D1, D2, D3 = date(2026, 5, 1), date(2026, 5, 2), date(2026, 5, 3)
HOUR = 3600 * SECOND
NIGHT = START - START % (24 * HOUR) + 24 * HOUR  # when D2 begins


@pytest.fixture
def days(stream: Written, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Three days. One event of D1 came on D2; one of D2 came once more on D3, and an alert of D2 names one of D3. A2 pays on D1 and on D3."""
    events = {
        D1: [stream.event(1, 0), stream.event(1, 1, account="A2"), stream.event(2, 2, ts=NIGHT - SECOND, came=NIGHT + SECOND)],
        D2: [stream.event(3, 3, ts=NIGHT + HOUR, came=NIGHT + HOUR), stream.event(4, 6, 1, ts=NIGHT + 24 * HOUR - 1, came=NIGHT + 24 * HOUR - 1)],
        D3: [
            stream.event(5, 8, 1, ts=NIGHT + 25 * HOUR, came=NIGHT + 25 * HOUR),
            stream.event(2, 9, 1, account="A2", ts=NIGHT + 26 * HOUR, came=NIGHT + 26 * HOUR),
        ],
    }
    records = [(e["offset"], e["timestamp"], json.dumps({"id": e["id"], "ts": e["ts"]}).encode()) for day in events.values() for e in day]
    records += [(5, NIGHT + HOUR, b"{"), (7, NIGHT + 24 * HOUR, json.dumps({"id": "e4", "ts": NIGHT + 24 * HOUR - 1}).encode())]
    monkeypatch.setattr(Topic, "times", {n: t for n, t, _ in records})
    for day, found in events.items():
        for batch in (0, 1):
            if rows := [e for e in found if e["batch"] == batch]:
                stream.write("silver", batch, rows, f"{day}")
                stream.write("figures", batch, [{"minute": e["ts"] - e["ts"] % 60_000, "currency": "EUR", "type": "purchase", "status": "approved", "events": 1,
                                                 "amount": e["amount"], "late": 0, "batch": batch} for e in rows], f"{day}")  # fmt: skip
            begin = NIGHT + (day.day - 2) * 24 * HOUR
            came = [r for r in records if (r[0] > 3) is (batch == 1) and begin <= r[1] < begin + 24 * HOUR]
            if came:
                stream.write("bronze", batch, [{"partition": 0, "offset": n, "timestamp": t, "key": "A1", "value": v} for n, t, v in came], f"{day}")
    stream.write("dead", 1, [{"partition": 0, "offset": 5, "value": b"{", "cause": "it is not the JSON of an event"}], f"{D2}")
    stream.write("alerts", 0, [{"id": "a", "events": ["e4", "e5"], "batch": 0}], f"{D2}")
    for entry in (stream.entries["bronze"][1], stream.entries["silver"][1]):
        entry |= {"offsets": {"0": [4, 9]}, "high_water": NIGHT + 26 * HOUR}
    return stream


def told(report: AuditReport) -> dict[str, int]:
    return {n: report.counts[n] for n in ("records", "events", "dead", "repeated", "accounts", "alerts")}


def test_every_row_is_judged_on_one_day(days: Written) -> None:
    found = {day: run(day) for day in (None, D1, D2, D3)}
    assert [f.check for r in found.values() for f in r.failed] == []
    assert told(found[None]) == {"records": 9, "events": 7, "dead": 1, "repeated": 1, "accounts": 2, "alerts": 1}
    assert told(found[D1]) == {"records": 2, "events": 3, "dead": 0, "repeated": 0, "accounts": 2, "alerts": 0}
    assert told(found[D2]) == {"records": 4, "events": 2, "dead": 1, "repeated": 0, "accounts": 1, "alerts": 1}
    assert told(found[D3]) == {"records": 3, "events": 2, "dead": 0, "repeated": 1, "accounts": 2, "alerts": 0}


def test_an_event_of_the_year_58398_is_found_and_other_days_are_still_judged(days: Written) -> None:
    """A stream before times had bounds took it: microseconds, where milliseconds belong."""
    spoilt = days.event(6, 10, 1, ts=START * 1000, came=NIGHT + 2 * HOUR)
    record = {"partition": 0, "offset": 10, "timestamp": NIGHT + 2 * HOUR, "key": "A1", "value": json.dumps({"id": "e6", "ts": START * 1000}).encode()}
    days.write("silver", 1, [spoilt], "+58298-05-12")
    days.write("bronze", 1, [record], f"{D2}")
    for query in ("bronze", "silver"):
        days.entries[query][1]["offsets"] = {"0": [4, 10]}
    assert [f.check for f in run(D1).failed] == []
    assert "every amount and every time is one that the stream takes" in [f.check for f in run().failed]
    assert EVENT not in [f.check for f in run(D2).failed]


def test_the_days_that_got_files_are_those_of_batches_since_then(days: Written) -> None:
    def found(since: int) -> set[date]:
        return adapter.look(Payments(), CONNECTIONS.__getitem__).touched(since)

    days.write("silver", 1, [days.event(6, 10, 1)], "+58298-05-12")
    for entries in days.entries.values():
        entries[0]["committed"], entries[1]["committed"] = NIGHT, NIGHT + HOUR
    assert found(NIGHT) == {D1, D2, D3}
    assert found(NIGHT + 1) == {D2, D3}
    assert found(NIGHT + 2 * HOUR) == set()
    compacted = {"format": 1, "through": 1, "at": NIGHT + 2 * HOUR, "counts": {}, "offsets": {}, "files": {"silver": [
        {"path": f"silver/compacted/{n:020d}-0badcafe/date={day}/part-0.parquet", "bytes": 1} for n, day in ((0, D1), (1, D2))]}}  # fmt: skip
    days.compacted["silver"], days.entries["silver"] = compacted, []
    assert found(NIGHT + 2 * HOUR) == {D2}, "what had been put together before has no new rows"
    assert found(NIGHT + 3 * HOUR) == set()


def named(stream: Written, table: str, day: date) -> list[Path]:
    return [stream.folder / "datalake/payments" / f["path"] for e in stream.entries[QUERY.get(table, "silver")] for f in e["files"].get(table, ())
            if f"date={day}" in f["path"]]  # fmt: skip


def test_no_other_day_is_opened_than_what_is_held_against(days: Written) -> None:
    for table, other in (("bronze", D1), ("figures", D1), ("figures", D3), ("bronze", D3)):
        for file in named(days, table, other):
            file.unlink()
    assert run(D2).failed == ()
    for file in named(days, "silver", D1):
        file.unlink()
    with pytest.raises(LakeError, match="Unable to read the table silver"):
        run(D2)


def lose(stream: Written, table: str, day: date, column: str, value: Any) -> None:
    """A row of a file is gone."""
    for entry in stream.entries[QUERY.get(table, "silver")]:
        for file in (f for f in entry["files"].get(table, ()) if f"date={day}" in f["path"]):
            where = stream.folder / "datalake/payments" / file["path"]
            rows = [r for r in pq.ParquetFile(where).read().to_pylist() if r[column] != value]
            pq.write_table(pa.Table.from_pylist(rows, SCHEMAS[table]), where)
            file["bytes"] = where.stat().st_size


IN_BRONZE, IN_KAFKA = "silver and dead letters hold nothing that bronze has not", "every committed record of Kafka is in bronze"
EVENT, GAP = "each record of bronze is an event, a dead letter, or the repetition of an event before it", "no account's numbers have a gap"


@pytest.mark.parametrize(("table", "at", "column", "value", "found"), [
    ("silver", D1, "id", "e2", {D1: ["the figures add up to silver"], D2: [EVENT, GAP]}),  # it came on D2, and the account goes on there
    ("silver", D2, "id", "e3", {D1: [], D2: [EVENT, GAP, "the figures add up to silver"], D3: []}),
    ("silver", D2, "id", "e4", {D2: [EVENT, "the figures add up to silver", "every alert names events that are in silver"], D3: [EVENT, GAP]}),
    ("silver", D3, "id", "e5", {D2: ["every alert names events that are in silver"], D3: [EVENT, "the figures add up to silver"]}),
    ("bronze", D2, "offset", 2, {D1: [IN_BRONZE], D2: [IN_KAFKA], D3: []}),
    ("bronze", D3, "offset", 9, {D2: [], D3: [IN_KAFKA, IN_BRONZE]}),
])  # fmt: skip
def test_what_is_lost_at_midnight_is_found_on_its_day(days: Written, table: str, at: date, column: str, value: Any, found: dict[date, list[str]]) -> None:
    lose(days, table, at, column, value)
    assert run().failed
    assert {day: [f.check for f in run(day).failed] for day in found} == found


def compact(stream: Written) -> None:
    """Both batches of silver are put together: what is left of their entries."""
    entries, stream.entries["silver"] = stream.entries["silver"], []
    files = {t: [f for e in entries for f in e["files"].get(t, ())] for t in ("silver", "dead", "figures")}
    stream.compacted["silver"] = {
        "format": 1,
        "through": 1,
        "files": files,
        "counts": {},
        "offsets": {"0": [0, 9]},
        "high_water": NIGHT + 26 * HOUR,
        "late_after": [[0, 60.0]],
    }


def change(stream: Written, day: date, was: int, **values: Any) -> None:
    """All rows of silver of a day and batch."""
    (entry,) = [f for f in stream.compacted["silver"]["files"]["silver"] if f"batch={was:020d}" in f["path"] and f"date={day}" in f["path"]]
    where = stream.folder / "datalake/payments" / entry["path"]
    pq.write_table(pa.Table.from_pylist([r | values for r in pq.ParquetFile(where).read().to_pylist()], SCHEMAS["silver"]), where)
    entry["bytes"] = where.stat().st_size


LATE = "late events are marked, and no others"


def test_marks_of_compacted_batches_are_judged(days: Written) -> None:
    compact(days)
    found = {day: run(day) for day in (None, D1, D2, D3)}
    assert [(f.check, f.first) for r in found.values() for f in r.failed] == []
    assert [r.counts["unmarked"] for r in found.values()] == [0] * 4
    change(days, D1, 0, batch=1)  # as if it had come with batch 1, after the events of D2 in batch 0
    assert {day: LATE in [f.check for f in run(day).failed] for day in (None, D1, D2, D3)} == {None: True, D1: True, D2: False, D3: False}
    change(days, D1, 0, late=True)
    assert [LATE in [f.check for f in run(day).failed] for day in (None, D1)] == [False, False], "the figures are another matter"


def test_of_batches_that_an_older_homelake_put_together_they_are_told_as_not_known(days: Written) -> None:
    compact(days)
    del days.compacted["silver"]["late_after"]
    report = run()
    assert (report.failed, report.counts["unmarked"]) == ((), 7)


def test_the_numbers_before_are_looked_for_so_far_back_only(days: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_day, "BACK", 1)
    report = run(D3)
    assert (report.failed, report.counts["unjoined"]) == ((), 1), "A2 has no event on D2"


def test_before_the_first_batch_there_is_nothing_to_audit(written: Written) -> None:
    written.entries["silver"] = []
    with pytest.raises(LakeError, match="the stream has not committed a batch yet"):
        run()
