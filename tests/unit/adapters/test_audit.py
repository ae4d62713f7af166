"""The audit over files as the stream writes them, on a local disk in MinIO's place, and with a topic in memory in Kafka's."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from include.adapters import audit as adapter
from include.adapters.audit import run_audit
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

    def __init__(self, connection: Connection, topic: str) -> None:
        assert (connection.id, topic) == ("kafka_default", "payments")

    def first(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)

    def count(self, limits: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        return {p: sum(n != self.marked for n in range(a, b + 1)) for p, (a, b) in limits.items()}


class Written:
    """A stream of two batches: 6 events of one account, a repetition, a dead letter; and one record more in bronze than silver has."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.entries = folder, {q: [self._entry(0), self._entry(1)] for q in ("bronze", "silver", "gold")}
        first = [self._event(n, n) for n in (1, 2, 3)]
        second = [self._event(n, n + 1, batch=1) for n in (4, 5, 6)]
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
        for query, last in (("bronze", 9), ("silver", 8)):
            self.entries[query][0]["offsets"], self.entries[query][1]["offsets"] = {"0": [0, 3]}, {"0": [4, last]}

    def _entry(self, batch: int) -> dict[str, Any]:
        return {"format": 1, "batch": batch, "committed": START, "files": {}, "counts": {}, "late_after": 60, "high_water": START + batch * SECOND}

    def _event(self, seq: int, offset: int, batch: int = 0) -> dict[str, Any]:
        postings = [{"account": a, "amount": n, "currency": "EUR"} for a, n in (("A1", -seq), ("M1", seq))]
        return {"id": f"e{seq}", "account": "A1", "seq": seq, "ts": START + seq * SECOND, "type": "purchase", "status": "approved", "amount": seq, "currency": "EUR",
                "postings": postings, "late": False, "partition": 0, "offset": offset, "timestamp": START, "batch": batch}  # fmt: skip

    def write(self, table: str, batch: int, rows: list[dict[str, Any]]) -> None:
        """A file, named in the log."""
        name = f"{table}/batch={batch:020d}-0badcafe/date=2026-05-01/part-0.parquet"
        file = self.folder / "datalake/payments" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, SCHEMAS[table]), file)
        entry = self.entries[QUERY.get(table, "silver")][batch]
        entry["files"][table] = [{"path": name, "bytes": file.stat().st_size}]

    def file(self, table: str, batch: int) -> Path:
        named: str = self.entries[QUERY.get(table, "silver")][batch]["files"][table][0]["path"]
        return self.folder / "datalake/payments" / named


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    made = Written(tmp_path)
    monkeypatch.setattr(adapter, "_filesystem", lambda connection: SubTreeFileSystem(str(tmp_path), LocalFileSystem()))
    monkeypatch.setattr(adapter, "Records", Topic)
    monkeypatch.setattr(StreamLog, "read", lambda self, query: QueryLog(query, None, made.entries[query]))
    return made


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
        "judged": 6,
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


def test_a_day_without_an_event_is_no_clean_one(written: Written) -> None:
    assert run(date(2026, 5, 1)).counts["judged"] == 6
    with pytest.raises(LakeError, match=r"Unable to audit s3a://datalake/payments/: it has no event of 2026-05-02\. Name a day of event time, in UTC"):
        run(date(2026, 5, 2))


def test_before_the_first_batch_there_is_nothing_to_audit(written: Written) -> None:
    written.entries["silver"] = []
    with pytest.raises(LakeError, match="the stream has not committed a batch yet"):
        run()
