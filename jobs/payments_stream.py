"""Payments from Kafka into the lake, exactly once: as received, then typed, without duplicates, late ones marked, malformed ones apart.

    payments_stream.py --bootstrap HOST:PORT --topic payments --path s3a://datalake/payments/ --checkpoint s3a://checkpoints/payments/

Two queries read the topic. Each batch writes its files to folders of its own, and then one line to the log `_log/QUERY/BATCH.json`: the
commit. Files that the log does not name do not count, so a killed batch leaves nothing that anyone would read. The line is written with
"only if it is not there", so of two drivers that run by mistake one is stopped. Form of log and tables: docs/reference/payments.md.
Alerts of fraud follow what silver commits, beside the batches: payments_alerts.py.

It runs until the file /tmp/homelake-stop appears, then ends at a batch boundary; with --once it takes what is there and ends.
Exit codes: 0 ended in order, 2 it cannot run as declared (a restart does not help), 3 the lake or Kafka refused (a restart may help).
"""

import argparse
import json
import re
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import payments_store
from payments_alerts import Alerts
from payments_events import judged, left_out, once, too_old
from payments_files import ParquetFiles, observed
from payments_kafka import kafka_options, topic_id
from payments_log import Query, agree, follow
from payments_store import REFUSED, Store, Unfit, failed, same_code, session

ROWS_A_FILE = 25_000
# What the stream relies on beside payments_store.CONF, each with its reason in docs/explanation/stream.md.
CONF = {
    "spark.sql.streaming.checkpointFileManagerClass": "org.apache.spark.internal.io.cloud.AbortableStreamBasedCheckpointFileManager",
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",
    "spark.sql.streaming.stateStore.maintenanceInterval": "60s",
    "spark.scheduler.mode": "FAIR",
    "spark.sql.optimizer.excludedRules": "org.apache.spark.sql.catalyst.optimizer.ConstantFolding",
    "spark.sql.codegen.cache.maxEntries": "500",
}
# Of Spark's errors of the state store those that say that it was written for something else.
OTHER_STATE = re.compile(
    r"STATE_STORE_(KEY|VALUE)_SCHEMA_NOT_COMPATIBLE|(KEY|VALUE)_ROW_FORMAT_VALIDATION_FAILURE|STATE_STORE_INVALID_(PROVIDER|CONFIG_AFTER_RESTART)"
)


class Payments:
    """What the two queries write."""

    def __init__(self, spark, files, args):
        from pyspark.sql import functions as f

        self.spark, self.args, self.f = spark, args, f
        self._files, self._pool = files, ThreadPoolExecutor(2)

    def _topic(self, reader, **options):
        """The topic's committed records, as a stream or not."""
        options = {
            "kafka.bootstrap.servers": self.args.bootstrap,
            "failOnDataLoss": "true",
            "kafka.isolation.level": "read_committed",
            # A batch often ends in Kafka's mark of a transaction. Spark asks for it as for a record, and that waits for the client's fetch of what
            # is not there yet: half a second for each partition by default.
            "kafka.fetch.max.wait.ms": "20",
            **options,
            **kafka_options(self.args.kafka_config),
        }
        return reader.format("kafka").options(**options).load().selectExpr("partition", "offset", "timestamp", "cast(key as string) key", "value")

    def records(self):
        """All of them, as they come."""
        return self._topic(self.spark.readStream, subscribe=self.args.topic, startingOffsets="earliest", maxOffsetsPerTrigger=str(self.args.max_records))

    def _behind(self, query, number, entry):
        """The records of a batch that Spark left out as too old to be compared, read once more, and how many; most batches have none."""
        if not (lost := left_out(self.spark, query.name)):
            return None, 0
        offsets, topic = {int(p): ends for p, ends in entry["offsets"].items()}, self.args.topic
        starts, ends = ({topic: {p: n[i] + i for p, n in offsets.items()}} for i in (0, 1))
        read = self._topic(self.spark.read, assign=json.dumps({topic: list(offsets)}), startingOffsets=json.dumps(starts), endingOffsets=json.dumps(ends))
        rows = too_old(judged(read), query.remembered(number)).persist()
        if (found := rows.count()) != lost:
            rows.unpersist()
            raise RuntimeError(f"of batch {number} Spark left out {lost} records as too old, and {found} such are in Kafka")
        return rows, found

    def _put(self, rows, table, number, entry):
        """Write rows into a folder of this attempt alone, and name the files in the entry."""
        folder = f"{table}/batch={number:020d}-{uuid.uuid4().hex[:8]}/"
        if files := self._files.write(rows, folder, "date"):
            entry["files"][table] = files

    def bronze(self, query):
        """The writer of what was received."""
        f = self.f

        def write(rows, number, entry):
            rows = rows.select("partition", "offset", f.unix_millis("timestamp").alias("timestamp"), "key", "value", f.to_date("timestamp").alias("date"))
            rows = rows.observe("counts", f.count("*")).coalesce(parts_of(entry))
            self._put(rows, "bronze", number, entry)
            entry["counts"] = {"records": observed(rows, "counts")[0]}

        return query.run(self.args.topic, write)

    def silver(self, query):
        """The writer of events, of what is none, and of figures."""
        from pyspark import inheritable_thread_target

        f = self.f

        def write(rows, number, entry):
            rows, old = rows.persist(), None
            try:
                late = f.col("event.ts") < same_code(query.high_water - int(self.args.late_after * 1000))
                good = f.col("cause").isNull()
                counts = f.count(f.when(good, 1)), f.count(f.when(~good, 1)), f.count(f.when(good & late, 1)), f.max(f.when(good, f.col("event.ts")))
                told = [f.unix_millis("timestamp").alias("timestamp"), same_code(number).alias("batch")]
                kept = ["event.*", late.alias("late"), "partition", "offset", *told, f.to_date(f.timestamp_millis("event.ts")).alias("date")]
                typed = rows.observe("counts", *counts).where(good).select(*kept).drop("broken").coalesce(parts_of(entry))
                self._put(typed, "silver", number, entry)
                events, dead, behind, newest = observed(typed, "counts")
                old, lost = self._behind(query, number, entry)
                entry["counts"] = {"records": events + dead + lost, "silver": events, "dead": dead + lost, "late": behind}
                writes = []
                if events:
                    sums = rows.where(good).select("event.*", late.alias("late")).coalesce(1)  # one partition needs no exchange
                    sums = sums.groupBy(f.expr("ts - ts % 60000").alias("minute"), "currency", "type", "status")
                    sums = sums.agg(f.count("*").alias("events"), f.sum("amount").alias("amount"), f.count(f.when(f.col("late"), 1)).alias("late"))
                    writes.append((sums.withColumn("batch", same_code(number)).withColumn("date", f.to_date(f.timestamp_millis("minute"))), "figures"))
                if dead or lost:
                    columns = "partition", "offset", *told, "key", "value", "cause", f.to_date("timestamp").alias("date")
                    bad = rows.where(~good).select(*columns)
                    bad = bad.unionByName(old.select(*columns)) if lost else bad
                    writes.append((bad.coalesce(1), "dead"))
                put = inheritable_thread_target(self._put)  # else these writes are of no query, pool or job group to Spark
                for done in [self._pool.submit(put, *w, number, entry) for w in writes]:
                    done.result()
                query.high_water = max(query.high_water, newest or 0)
            finally:
                for held in (rows, old):
                    if held:
                        held.unpersist()

        return query.run(self.args.topic, write)


def parts_of(entry):
    """Files for a batch, by its offsets: some are of Kafka's marks of transactions, and no records."""
    return max(1, sum(last - first + 1 for first, last in entry["offsets"].values()) // ROWS_A_FILE)


def explained(error):
    """Exit code and sentence for what ended a query."""
    text = str(error)
    if unfit := re.search(r"\bUnfit: (.+)", text):  # raised in a batch, so it comes back through the JVM
        return 2, unfit[1].rstrip(".")
    for mark, code, cause in (
        ("XMinioAdminBucketQuotaExceeded", 3, f"{REFUSED['XMinioAdminBucketQuotaExceeded']}; the stream goes on where it was, nothing is lost"),
        ("STREAM_FAILED_ON_DATA_LOSS", 2, "Kafka has removed records that were not read yet: its retention is shorter than the stream stood still"),
        ("KAFKA_DATA_LOSS", 2, "Kafka has removed records that were not read yet: its retention is shorter than the stream stood still"),
        ("UnknownTopicOrPartition", 3, "the topic is not there. Run ./lake apply, which makes it"),
    ):
        if mark in text:
            return code, cause
    # Most of what fails in the state store is the lake away or refusing, which a restart may mend.
    if OTHER_STATE.search(text) and not any(mark in text for mark in REFUSED):
        return 2, "the state in the checkpoint is of another form than this program's. Declare a new checkpoint and a new path"
    return 3, payments_store.explained(error)


def main():
    """Run the stream. Returns the exit code."""
    args, spark = parsed(), None
    try:
        spark = session("payments-stream", CONF, args.path)
        return stream(spark, args)
    except Unfit as error:
        return failed(f"run the stream of {args.topic}", error, 2)
    except Exception as error:
        code, cause = explained(error)
        return failed(f"go on with the stream of {args.topic}", cause, code)
    finally:
        if spark:
            spark.stop()


def stream(spark, args):
    """Start both queries, with the alerts beside them, and see them through. Returns the exit code."""
    lake, checkpoint = Store(spark, args.path), Store(spark, args.checkpoint)
    agree(checkpoint, args, topic_id(spark, args))
    queries = [Query(name, lake, checkpoint, args.late_after) for name in ("bronze", "silver")]
    files = ParquetFiles(spark, lake)
    payments, alerts = Payments(spark, files, args), Alerts(spark, lake, checkpoint, files, args.alerts_every)
    trigger = {"availableNow": True} if args.once else {"processingTime": f"{args.trigger * 1000:.0f} milliseconds"}
    for query, rows, writer in (
        (queries[0], payments.records(), payments.bronze),
        (queries[1], once(judged(payments.records()), args.duplicates_within), payments.silver),
    ):
        place = f"{args.checkpoint}{query.name}"
        query.writer = rows.writeStream.queryName(query.name).option("checkpointLocation", place).foreachBatch(writer(query)).trigger(**trigger)
        spark.sparkContext.setLocalProperty("spark.scheduler.pool", query.name)
        query.start()
    alerts.begin()
    print(f"The stream of {args.topic} runs: {args.bootstrap} to {args.path}", flush=True)
    follow(queries, alerts, Path(args.stop_file))
    alerts.end()
    print("The stream has ended at a batch boundary", flush=True)
    return 0


def parsed():
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bootstrap", "topic", "path", "checkpoint"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--trigger", type=float, default=2, help="seconds from one batch to the next")
    parser.add_argument("--duplicates-within", type=int, default=900, help="seconds of Kafka's time within which a record seen twice is kept once")
    parser.add_argument("--late-after", type=float, default=60, help="seconds of event time behind the newest event, after which one is marked as late")
    parser.add_argument("--max-records", type=int, default=100_000, help="most records in a batch")
    parser.add_argument("--alerts-every", type=float, default=30, help="seconds from one look for fraud to the next")
    parser.add_argument("--kafka-config", help="a file of Kafka client properties, for TLS and SASL")
    parser.add_argument("--stop-file", default="/tmp/homelake-stop", help="end at a batch boundary once this file is there")
    parser.add_argument("--once", action="store_true", help="take what is there, then end")
    args = parser.parse_args()
    for name in ("path", "checkpoint"):
        if not getattr(args, name).endswith("/"):
            parser.error(f"--{name} must end in /")
    return args


if __name__ == "__main__":
    sys.exit(main())
