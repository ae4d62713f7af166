"""The audit's tables, filled from the lake and from Kafka, and its SQL answered by DuckDB, in this process."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from include.adapters.stream_log import StreamLog
from include.connections import Connection, Connections
from include.lake.audit import GRACE, AuditReport, audit, bounds, marks
from include.lake.errors import LakeError
from include.lake.spec.streams import Payments
from include.lake.stream_log import LOGS, TABLES, QueryLog

ID = "try(json_extract_string(try(decode(value)), '$.id')) as id"
COLUMNS = {
    "bronze": f'partition, "offset", {ID}',
    "silver": 'id, account, seq, ts, type, status, amount, currency, postings, late, partition, "offset", batch',
    "dead": 'partition, "offset"',
    "figures": "minute, currency, type, status, events, amount, late",
    "alerts": "id, events",
}
EMPTY = {
    "bronze": 'partition int, "offset" bigint, id varchar',
    "silver": "id varchar, account varchar, seq bigint, ts bigint, type varchar, status varchar, amount bigint, currency varchar, "
    'postings struct(account varchar, amount bigint, currency varchar)[], late boolean, partition int, "offset" bigint, batch bigint',
    "dead": 'partition int, "offset" bigint',
    "figures": "minute bigint, currency varchar, type varchar, status varchar, events bigint, amount bigint, late bigint",
    "alerts": "id varchar, events varchar[]",
}
QUIET = 30.0  # seconds without a record from Kafka, after which it is given up
AT_ONCE, SLICE = 10_000, 0.5  # records a call; and its seconds, which librdkafka waits out whenever there are fewer


def run_audit(payments: Payments, connections: Connections, say: Callable[[str], None], day: date | None = None) -> AuditReport:
    """Audit the stream as it is now; with a day, of the events only that day's. Raises LakeError when there is nothing to audit, or lake or Kafka cannot be read."""
    log = StreamLog(connections("lake_s3"), payments.path)
    # Each before what it is made of: what the latter has beyond it is then only what came in between.
    logs = {query: log.read(query) for query in reversed(LOGS)}
    silver, bronze = logs["silver"], logs["bronze"]
    if silver.last() is None or bronze.last() is None:
        raise LakeError("audit", payments.path, "the stream has not committed a batch yet", "./lake stream status shows how far it is")
    records = Records(connections("kafka_default"), payments.topic)
    limits = bounds(bronze.offsets(), silver.offsets(), records.first(sorted(bronze.offsets())))
    say(f"reading {payments.path} through batch {silver.last()[0]} of silver")  # type: ignore[index]
    opened = Tables(connections("lake_s3"), log, {table: logs[query] for table, query in TABLES.items()})
    say(f"counting the records of {payments.topic} that Kafka holds")
    opened.fill("bounds", "partition int, first bigint, last bigint", limits)
    opened.fill("counted", "partition int, n bigint", list(records.count({p: (a, b) for p, a, b in limits}).items()))
    opened.fill("marks", "batch bigint, below bigint", marks(silver.entries, silver.compacted))
    opened.query(f"create table settled as select coalesce(max(ts), 0) - {GRACE * 1000} as ts from silver")
    report = audit(payments.path, opened.query, day)
    if day and not report.counts["judged"]:
        raise LakeError("audit", payments.path, f"it has no event of {day}", "Name a day of event time, in UTC")
    return report


class Tables:
    """The stream's tables in memory."""

    def __init__(self, connection: Connection, log: StreamLog, logs: Mapping[str, QueryLog]) -> None:
        import duckdb  # loaded by an audit only
        from pyarrow.dataset import dataset
        from pyarrow.lib import ArrowException

        self._db = duckdb.connect(":memory:")
        source = _filesystem(connection)
        for table, columns in COLUMNS.items():
            self.query(f"create table {table} ({EMPTY[table]})")
            if files := [f"{log.bucket}/{log.prefix}{f}" for f in logs[table].files(table)]:
                try:
                    self._db.register("source", dataset(files, filesystem=source, format="parquet"))
                    self.query(f"insert into {table} select {columns} from source")
                except (OSError, ArrowException, duckdb.Error) as error:
                    raise _unread(f"{log.bucket}/{log.prefix}", table, error) from None
                self._db.unregister("source")

    def fill(self, table: str, columns: str, rows: Sequence[tuple[int, ...]]) -> None:
        """Make a table of these rows."""
        self.query(f"create table {table} ({columns})")
        if rows:
            self._db.executemany(f"insert into {table} values ({', '.join('?' * len(rows[0]))})", rows)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        return list(self._db.execute(sql).fetchall())


def _unread(where: str, table: str, error: Exception) -> LakeError:
    cause = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return LakeError("read", f"the table {table} below s3://{where}", cause,
                     "When a file that the log names is gone or damaged: bring its version before back, or a backup; else run it again")  # fmt: skip


def _filesystem(c: Connection) -> Any:
    from pyarrow.fs import S3FileSystem

    url = urlsplit(c.option("endpoint_url"))
    more = {"tls_ca_file_path": c.option("verify")} if c.option("verify") else {}
    return S3FileSystem(access_key=c.login, secret_key=c.password.reveal(), endpoint_override=url.netloc, scheme=url.scheme or "https",
                        region=c.option("region_name") or None, connect_timeout=10, request_timeout=60, **more)  # fmt: skip


class Records:
    """A topic's committed records, counted by reading them: transaction markers take offsets, so offsets do not count them."""

    def __init__(self, connection: Connection, topic: str) -> None:
        from include.adapters.kafka import options  # librdkafka is loaded by an audit only

        self._options, self._topic = options(connection), topic

    def _consumer(self) -> Any:
        from confluent_kafka import Consumer

        return Consumer({**self._options, "group.id": "homelake-audit", "enable.auto.commit": False, "isolation.level": "read_committed",
                         "enable.partition.eof": True, "auto.offset.reset": "error", "log_level": 0})  # fmt: skip

    def first(self, partitions: Sequence[int]) -> dict[int, int]:
        """The first offset that Kafka still has of each partition."""
        from confluent_kafka import KafkaException, TopicPartition

        consumer = self._consumer()
        try:
            return {p: int(consumer.get_watermark_offsets(TopicPartition(self._topic, p), timeout=10)[0]) for p in partitions}
        except KafkaException as error:
            raise self._error(error.args[0].str()) from None
        finally:
            consumer.close()

    def count(self, limits: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        """How many committed records each partition holds from the first to the last of these offsets. Raises LakeError when not all can be read."""
        from confluent_kafka import KafkaError, TopicPartition

        found, left = dict.fromkeys(limits, 0), {p for p, (a, b) in limits.items() if b >= a}
        consumer = self._consumer()
        try:
            consumer.assign([TopicPartition(self._topic, p, limits[p][0]) for p in left])
            heard = time.monotonic()
            while left:
                messages = consumer.consume(AT_ONCE, timeout=SLICE)
                if messages:
                    heard = time.monotonic()
                elif time.monotonic() - heard > QUIET:
                    raise self._error(f"no record came within {QUIET:.0f} s")
                for message in messages:
                    problem, partition = message.error(), message.partition()
                    if problem and problem.code() == KafkaError._AUTO_OFFSET_RESET:
                        raise self._error("Kafka removed some of them meanwhile, as its retention says", "Run it again")
                    if problem and problem.code() != KafkaError._PARTITION_EOF:
                        raise self._error(problem.str())
                    inside = not problem and message.offset() <= limits[partition][1]
                    found[partition] += inside and partition in left
                    if not inside and partition in left:
                        left.discard(partition)
                        consumer.incremental_unassign([TopicPartition(self._topic, partition)])
            return found
        finally:
            consumer.close()

    def _error(self, cause: str, remedy: str = "Check the connection 'kafka_default', and ./lake plan") -> LakeError:
        return LakeError("count", f"the records of topic {self._topic} in Kafka at {self._options['bootstrap.servers']}", cause, remedy)
