"""The log of the payment stream (docs/adr/0013) against Spark's own file sink, Delta Lake and Apache Iceberg, on a locked bucket.

A MinIO with the lake's settings is started on loopback, with one versioned object-lock bucket; one Spark (local[2], the S3A profile, what the
stream's job sets) has the jars of all. In turn each sink takes the same payments in the same micro batches into a table of its own, divided by date:

  own log    what jobs/payments_stream.py does with a batch of bronze: files, then one entry of the log
  file sink  Spark's Parquet sink, `_spark_metadata`
  delta      Delta Lake with its S3SingleDriverLogStore: one driver may write
  iceberg    Iceberg in a Hadoop catalogue: no other service, a rename commits, so one driver may write
  iceberg, catalogue  Iceberg in a JDBC catalogue (SQLite, beside Spark): the catalogue commits
  nothing    no table at all: Spark, the source and the checkpoint, which all the others have too

  seconds    of a batch, from its trigger to its end: the median of a run, the first batch apart
  requests   S3 requests of a batch, by MinIO's own count, those of the checkpoint (a bucket without versions) and of the table's beginning among them
  left       objects, noncurrent versions, delete markers and bytes under the table at the end, for a batch

Last, a data file is put beside the others that no commit names, as a killed batch leaves one. Two readers without Spark, catalogue or a format's
library count the rows: one takes every Parquet file, the other those that the table's log names.
"""

import argparse
import tempfile
from collections import defaultdict
from dataclasses import astuple
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.jars import jars
from bench.minio_server import Kept, MinioOnLoopback, minio_on_loopback
from bench.report import circumstances, compare, number, options, say, table
from bench.spark import Spark, spark
from bench.tables_reader import READERS, Table
from include.lake.lake import Lake, load_lake
from include.lake.s3a import s3a_profile
from simulator.epoch import Chain, finish, make
from simulator.ndjson import keys, values
from simulator.population import population
from simulator.stream import Stream

WRITER = Path(__file__).with_name("tables_writer.py")
OWN, NOTHING, HADOOP, JDBC = "own log", "nothing", "iceberg", "iceberg, catalogue"
# A peer: the sink and the reader that it has, the Iceberg catalogue, and the jars it adds to the image.
PEERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    OWN: (OWN, "", ()),
    "file sink": ("file sink", "", ()),
    "delta": ("delta", "", ("delta-", "unitycatalog-")),
    HADOOP: ("iceberg", "hadoop", ("iceberg-",)),
    JDBC: ("iceberg", "jdbc", ("iceberg-", "sqlite-")),
    NOTHING: (NOTHING, "", ()),
}
SECONDS, REQUESTS = "seconds a batch", "S3 requests a batch"
# As jobs/payments_store.py and jobs/payments_stream.py set it.
JOB = {
    "spark.sql.session.timeZone": "UTC", "spark.sql.adaptive.enabled": "false", "spark.sql.shuffle.partitions": "2",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false", "spark.hadoop.fs.s3a.performance.flags": "create,delete,mkdir",
    "spark.sql.streaming.checkpointFileManagerClass": "org.apache.spark.internal.io.cloud.AbortableStreamBasedCheckpointFileManager",
    "spark.sql.streaming.noDataMicroBatches.enabled": "false", "spark.sql.codegen.cache.maxEntries": "500",
    "spark.sql.optimizer.excludedRules": "org.apache.spark.sql.catalyst.optimizer.ConstantFolding",
    "spark.sql.streaming.numRecentProgressUpdates": "10000",
}  # fmt: skip


def main(argv: list[str]) -> None:
    """Run it and print its tables."""
    parser = options(__doc__ or "", 3)
    parser.add_argument("--batches", type=int, default=30, metavar="N", help="batches of a run (default: 30)")
    parser.add_argument("--rows", type=int, default=2000, metavar="N", help="payments of a batch (default: 2,000)")
    parser.add_argument("--only", choices=PEERS, action="append", help="only this one beside the own log; may be given again")
    parser.add_argument("--by-name", action="store_true", help="also print the S3 requests by name")
    args = parser.parse_args(argv)
    lake, peers = load_lake(), [p for p in PEERS if not args.only or p in (OWN, *args.only)]
    with minio_on_loopback(lake, say) as server, tempfile.TemporaryDirectory(prefix="homelake-bench-tables-") as folder:
        server.s3.create_bucket(Bucket="checkpoints")
        batches(Path(folder) / "all", args.batches, args.rows)
        batches(Path(folder) / "few", 3, args.rows)
        with spark(server, settings(server, lake, Path(folder)), WRITER) as session:
            for peer in peers:
                write(session, server, peer, f"warm{peers.index(peer)}", Path(folder) / "few")
            found, kept = measured(session, server, peers, Path(folder) / "all", args)
            read = {p: readers(server, prefix(p, f"r{args.runs - 1}n{peers.index(p)}"), PEERS[p][0]) for p in peers if p != NOTHING}
        print(f"\n{args.batches} batches of {args.rows:,} payments, {args.runs} runs of each in turn after a warm-up of 3 batches\n")
        print(compare(found, OWN))
        print("\nLeft on the locked bucket for each batch, median of the runs; what the jars add\n")
        print(left(kept, args.batches))
        print(f"\nReaders without Spark and catalogue, {args.batches * args.rows:,} rows committed, a data file of a killed batch beside them\n")
        print(table(["", "every Parquet file", "by the table's log", "requests to read the log"], [[p, *(number(v) for v in r)] for p, r in read.items()]))
        print("\nHow it was measured\n")
        osync = "on" if lake.spec.minio.durable_writes else "off"
        print(circumstances(f"MinIO {lake.minio_binary.source}, FS_OSYNC {osync}, http, loopback", f"Spark {session.about['spark']} local[2], Java {session.about['java']}, "
                            f"{', '.join(j.stem for j in added('delta-spark', 'iceberg-spark', 'sqlite'))}",
                            f"again: python -m bench tables --runs={args.runs} --batches={args.batches} --rows={args.rows}"))  # fmt: skip


def measured(session: Spark, server: MinioOnLoopback, peers: list[str], source: Path, args: argparse.Namespace) -> tuple[Any, dict[str, list[Kept]]]:
    """Seconds and requests of a batch, and what is kept, by peer and run."""
    found: dict[str, dict[str, list[float]]] = {m: defaultdict(list) for m in (SECONDS, REQUESTS)}
    kept: dict[str, list[Kept]] = defaultdict(list)
    for run in range(args.runs):
        for peer in peers:
            name, before = f"r{run}n{peers.index(peer)}", server.requests()
            seconds = write(session, server, peer, name, source)
            if len(seconds) != args.batches:
                raise SystemExit(f"Unable to measure {peer}: it made {len(seconds)} batches of {args.batches}")
            asked = server.requests() - before
            found[REQUESTS][peer].append(asked.total() / args.batches)
            found[SECONDS][peer].append(median(seconds[1:] or seconds))
            if peer != NOTHING:
                kept[peer].append(server.kept(prefix(peer, name)))
            say(f"run {run + 1} of {args.runs}, {peer}: {found[SECONDS][peer][-1]:.2f} s and {found[REQUESTS][peer][-1]:.1f} requests a batch")
            if args.by_name:
                say(", ".join(f"{n} {c / args.batches:.1f}" for n, c in asked.most_common()))
    return found, kept


def write(session: Spark, server: MinioOnLoopback, peer: str, name: str, source: Path) -> list[float]:
    """Write the batches of a folder; the seconds of each."""
    sink, catalogue, _ = PEERS[peer]
    to, checkpoint = f"s3a://{server.bucket}/{prefix(peer, name)}", f"s3a://checkpoints/{prefix(peer, name)}"
    return list(session.ask(stream=sink, of=source.as_uri(), to=to, table=f"{catalogue}.bench.{name}", checkpoint=checkpoint)["seconds"])


def prefix(peer: str, name: str) -> str:
    """Where a table lies in the bucket. Iceberg's catalogues say so themselves."""
    sink, catalogue, _ = PEERS[peer]
    return f"{catalogue}/bench/{name}/" if catalogue else f"{sink.replace(' ', '-')}/{name}/"


def settings(server: MinioOnLoopback, lake: Lake, folder: Path) -> dict[str, str]:
    """Spark's configuration: the lake's profile, the job's settings, and the two formats as their documentation wants them."""
    catalogue = "spark.sql.catalog."
    return s3a_profile(server.endpoint, lake.spec.minio.region) | JOB | {
        "spark.jars": ",".join(str(j) for j in added("")),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        f"{catalogue}spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.delta.logStore.s3a.impl": "io.delta.storage.S3SingleDriverLogStore",
        "spark.databricks.delta.snapshotPartitions": "2",  # 50 by default, each a task at every commit
        f"{catalogue}hadoop": "org.apache.iceberg.spark.SparkCatalog", f"{catalogue}hadoop.type": "hadoop",
        f"{catalogue}hadoop.warehouse": f"s3a://{server.bucket}/hadoop",
        f"{catalogue}jdbc": "org.apache.iceberg.spark.SparkCatalog", f"{catalogue}jdbc.type": "jdbc",
        f"{catalogue}jdbc.uri": f"jdbc:sqlite:{folder / 'catalogue.db'}", f"{catalogue}jdbc.warehouse": f"s3a://{server.bucket}/jdbc",
        f"{catalogue}jdbc.io-impl": "org.apache.iceberg.hadoop.HadoopFileIO",
    }  # fmt: skip


def added(*names: str) -> list[Path]:
    """The jars whose names begin so."""
    return sorted(j for j in jars("tables", "the jars of Delta Lake and Iceberg (75 MB)").glob("*.jar") if j.name.startswith(names))


def batches(folder: Path, count: int, rows: int) -> None:
    """Payments as Kafka's source gives them, one Parquet file a batch."""
    stream = Stream(rate=rows * 1.5 + 50, flat=True)  # their number is by chance; the first of them are taken
    people, chain = population(stream.seed, stream.accounts), Chain(stream)
    folder.mkdir()
    for batch in range(count):
        made, counts = make(stream, chain.next)
        events = finish(stream, counts.epoch, made, counts, chain.advance(counts))
        key, value = (c(stream.seed, people, events)[:rows] for c in (keys, values))
        if len(key) < rows:
            raise SystemExit(f"Unable to make a batch: {len(key)} payments instead of {rows}")
        offsets = np.arange(batch * rows, (batch + 1) * rows)
        columns = {"partition": pa.array(np.zeros(rows, np.int32)), "offset": pa.array(offsets), "key": key, "value": value.cast(pa.binary()),
                   "timestamp": pa.array(1_777_626_000_000_000 + offsets * 100, pa.timestamp("us", "UTC"))}  # fmt: skip
        pq.write_table(pa.table(columns), folder / f"{batch:05d}.parquet")


def readers(server: MinioOnLoopback, under: str, kind: str) -> tuple[int, int, int]:
    """Rows that a reader of all files sees, rows that a reader of the log sees, and the log reader's requests until it knows the files."""
    there = Table(server, under)
    there.plant()
    before = sum(server.requests().values())
    named = READERS[kind](there)
    asked = sum(server.requests().values()) - before
    return there.rows(there.data()), there.rows(named), asked


def left(kept: dict[str, list[Kept]], batches: int) -> str:
    """The table of what is kept for a batch, and of the jars."""
    rows = []
    for peer, runs in kept.items():
        objects, live, noncurrent, markers, wasted = (median(v) / batches for v in zip(*(astuple(k) for k in runs), strict=True))
        size = sum(j.stat().st_size for j in added(*PEERS[peer][2])) if PEERS[peer][2] else 0
        rows.append([peer, *(number(v) for v in (objects, noncurrent, markers, live / 1024, wasted / 1024)), number(round(size / 1e6, 1))])
    return table(["", "objects", "noncurrent versions", "delete markers", "KiB a reader sees", "KiB hidden", "jars, MB"], rows)
