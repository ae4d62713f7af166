"""The audit of the stream: its tables filled from the lake and from Kafka, and judged."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from include.adapters.audit_day import read_day
from include.adapters.audit_tables import Tables
from include.adapters.records import Records
from include.adapters.stream_log import StreamLog
from include.connections import Connections
from include.lake.audit import COMPACTED_MARKS, GRACE, SCHEMA, WAITS, WAITS_FOR_MICRO_BATCH, AuditReport, audit, bounds, marks, span
from include.lake.errors import LakeError
from include.lake.spec.streams import Payments
from include.lake.stream_log import LOGS, QUERIES, TABLES, QueryLog


class NothingThere(LakeError):
    """There is nothing to audit on that day."""


def run_audit(payments: Payments, connections: Connections, say: Callable[[str], None], day: date | None = None, seen: "Seen | None" = None) -> AuditReport:
    """Audit the stream as it is now, or as it was `seen`; with a day, the partition of that day and what it is held against, and nothing else is read.

    Raises LakeError when lake or Kafka cannot be read, or no batch is committed yet; NothingThere for a day without an event or a record, unless
    Kafka holds what the lake lacks for long.
    """
    seen = look(payments, connections) if seen is None else seen
    log, logs, records = seen.place, seen.logs, seen.records
    silver, bronze = logs["silver"], logs["bronze"]
    say(f"reading {f'{day} of ' if day else ''}{payments.path} through batch {silver.last()[0]} of silver")  # type: ignore[index]
    with Tables.opened(connections("lake_s3"), f"{log.bucket}/{log.prefix}") as tables:
        for sql in SCHEMA:
            tables.query(sql)
        _read(tables, {table: logs[query] for table, query in TABLES.items()}, day)
        if day and not seen.waiting and tables.query("select not exists (from bronze) and not exists (from silver)")[0][0]:
            raise NothingThere("audit", payments.path, f"it has nothing of {day}", "Name a day (UTC) of which there are events or records")
        say(f"counting the records of {payments.topic} that Kafka holds")
        tables.fill("begins", list(silver.begins().items()))
        tables.fill("marks", marks(silver.entries, silver.compacted))
        _marks_of_compacted(tables, silver, day)
        tables.fill("settled", [(silver.high_water() - GRACE * 1000,)])
        tables.fill("waiting", seen.waiting)
        # Kafka's first offsets are asked for right before it is read: retention goes on while the tables are.
        _count(tables, records, bounds(bronze.offsets(), silver.offsets(), records.first(sorted(bronze.offsets()))), day)
        return audit(payments.path, tables.query, day)


@dataclass(frozen=True)
class Seen:
    """The stream at one moment: its logs, where they are, and what Kafka has held for too long without a query having read it. Serves several audits."""

    place: StreamLog
    logs: Mapping[str, QueryLog]
    records: Records
    waiting: list[tuple[str, int, int, int]]

    def touched(self, since: float) -> set[date]:
        """The days (UTC) whose partitions got files since a time (ms)."""
        return set[date]().union(*(log.touched(since) for log in self.logs.values()))


def look(payments: Payments, connections: Connections) -> Seen:
    """Read the logs, and ask Kafka what lies beyond them. Raises LakeError when either cannot be read, or no batch is committed yet."""
    began, place = time.time() * 1000, StreamLog(connections("lake_s3"), payments.path)
    # Each before what it is made of: what the latter has beyond it is then only what came in between.
    logs = {query: place.read(query) for query in reversed(LOGS)}
    if logs["silver"].last() is None or logs["bronze"].last() is None:
        raise LakeError("audit", payments.path, "the stream has not committed a batch yet", "./lake stream status shows how far it is")
    records = Records(connections("kafka_default"), payments.topic)
    return Seen(place, logs, records, _waiting(payments, records, logs, began))


def _waiting(payments: Payments, records: Records, logs: Mapping[str, QueryLog], now: float) -> list[tuple[str, int, int, int]]:
    """What is in Kafka for too long without a query having read it: the query, partition, first offset and how many."""
    longest = WAITS_FOR_MICRO_BATCH if payments.micro_batch else WAITS
    return [(query, partition, first, n) for query in QUERIES for partition, (first, n, came) in records.unread(logs[query].offsets()).items()
            if now - came > longest]  # fmt: skip


def _read(tables: Tables, logs: Mapping[str, QueryLog], day: date | None) -> None:
    if day:
        read_day(tables, {table: found.by_day(table) for table, found in logs.items()}, day)
        return
    for table, found in logs.items():
        tables.read(table, found.entries_of(table))


def _marks_of_compacted(tables: Tables, silver: QueryLog, day: date | None) -> None:
    """Fill in the marks of what was put together; not of what was before compaction kept how late an event may be."""
    state = silver.compacted or {}
    tables.fill("allowed", [(batch, int(seconds * 1000)) for batch, seconds in state.get("late_after", ())])
    tables.query(f"insert into newest select batch, max(ts) from silver where batch <= {state.get('through', -1)} group by 1")
    last = tables.query("select max(batch) from newest")[0][0]
    if last is None or not state.get("late_after"):
        return
    if day:  # every row of these batches is in compacted files
        files = {f["path"] for f in state["files"]["silver"]}
        for later, found in silver.by_day("silver").items():
            if later > day:
                sql = f"insert into newest select batch, max(ts) from source where batch <= {last} group by 1"
                tables.gather("silver", [f for f in found if f["path"] in files], ("batch", "ts"), sql, ("batch", last))
    tables.query(COMPACTED_MARKS)


def _count(tables: Tables, records: Records, limits: list[tuple[int, int, int]], day: date | None) -> None:
    """Fill in the bounds, and what Kafka holds within them. Of a day: the records that came on it, by Kafka's time, as bronze is divided."""
    within = span(day) if day else None
    until = {p: last for p, _, last in limits}
    if within:
        partitions = sorted(until)
        since, after = records.since(partitions, within[0]), records.since(partitions, within[1])
        # Times may be a little out of order: what bronze has of the day may lie behind the first record of the next one.
        newest = dict(tables.query('select partition, max("offset") from bronze group by 1'))
        limits = [(p, last + 1 if since[p] is None else max(first, since[p] or 0), last) for p, first, last in limits]
        until = {p: last if (end := after[p]) is None else min(last, max(end - 1, newest.get(p, -1))) for p, last in until.items()}
    tables.fill("bounds", limits)
    tables.fill("counted", list(records.count({p: (first, until[p]) for p, first, _ in limits}, within).items()))
