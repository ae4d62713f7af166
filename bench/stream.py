"""The stream of payments (jobs/payments_stream.py) as it is shipped, against the same program with the default settings of Spark, Hadoop and Kafka's
client. What is no setting is the same for both: how files are written, and that a batch is committed by one line.

A Kafka broker and a MinIO with the lake's settings are started on loopback, with one versioned object-lock bucket; Spark runs in one process
with two cores. In turn each of the two:

  rows/s      takes a topic of invented payments into the lake (--once), whole batches from the second on: rows of bronze and silver a second
  requests    S3 requests that MinIO answered meanwhile, for a million records
  versions    noncurrent versions and delete markers left below the path, for a million records
  latency     while the simulator sends at a rate: from Kafka's time stamp of a record to the line of the log that makes its batch count

Everything is on one machine: broker, simulator, MinIO and Spark share its cores. With --lab, instead: the delay in the stream that runs in the lab
(`./lake stream start --simulate`), of the records of the last --seconds.
"""

import argparse
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import numpy as np
import pyarrow.parquet as pq
from pyarrow import BufferReader

from bench.report import Aim, circumstances, compare, options, say, table, versions
from bench.stream_site import StreamSite, stream_site
from include.lake.lake import load_lake
from include.settings import site_facts

DEFAULT, SHIPPED = "defaults", "as shipped"
ROWS, REQUESTS, VERSIONS = "rows/s", "S3 requests, a million records", "versions left, a million records"
# What Spark 4.1 and Hadoop 3.4 do when nothing is said; the job sets only what it was not given.
DEFAULTS = {
    "spark.sql.streaming.checkpointFileManagerClass": "org.apache.spark.sql.execution.streaming.checkpointing.FileContextBasedCheckpointFileManager",
    "spark.sql.streaming.noDataMicroBatches.enabled": "true",
    "spark.sql.shuffle.partitions": "200",
    "spark.sql.adaptive.enabled": "true",
    "spark.scheduler.mode": "FIFO",
    "spark.sql.optimizer.excludedRules": "",
    "spark.sql.codegen.cache.maxEntries": "100",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "true",
    "spark.hadoop.fs.s3a.performance.flags": "",
}
WARM = 25  # seconds of the simulator that pass until the stream is under way
CONF: dict[str, dict[str, str]] = {DEFAULT: DEFAULTS, SHIPPED: {}}


def main(argv: list[str]) -> None:
    """Run it and print its tables."""
    parser = options(__doc__ or "", 2)
    parser.add_argument("--records", type=int, default=300_000, metavar="N", help="payments in the topic for rows/s, about (default: 300,000; 0: no rows/s)")
    parser.add_argument("--batch", type=int, default=50_000, metavar="N", help="records of a batch at most (default: 50,000)")
    parser.add_argument("--rates", type=int, nargs="*", default=[1000, 10_000], metavar="N", help="payments a second for the latency (default: 1000 10000)")
    parser.add_argument("--seconds", type=int, default=40, metavar="N", help="how long each rate is kept (default: 40)")
    parser.add_argument("--lab", action="store_true", help="the stream that runs in the lab, with its MinIO on the VM")
    args = parser.parse_args(argv)
    if args.lab:
        in_lab(args.seconds)
        return
    with tempfile.TemporaryDirectory(prefix="homelake-bench-kafka-") as folder, stream_site(say, Path(folder)) as site:
        if args.records:
            print(f"\nThroughput, {args.runs} runs of each in turn\n")
            print(compare(throughput(filled(site, args.records), args), DEFAULT, {(ROWS, SHIPPED): Aim(least=3)}))
        for rate in args.rates:
            print(f"\nSeconds from Kafka to the lake at {rate:,} payments a second, for {args.seconds} s (trigger 1 s)\n")
            print(compare(latency(site, rate, args), DEFAULT))
        print("\nHow it was measured\n")
        lake = load_lake()
        print(circumstances(f"MinIO {lake.minio_binary.source}, FS_OSYNC {'on' if lake.spec.minio.durable_writes else 'off'}, http, loopback",
                            f"Spark 4.1.1 local[2], {versions('confluent-kafka')}"))  # fmt: skip


def kafka(site: StreamSite, peer: str) -> tuple[str, ...]:
    """Kafka's client as the peer has it."""
    if peer != DEFAULT:
        return ()
    file = site.server.folder / "kafka.properties"
    file.write_text("fetch.max.wait.ms=500\n")
    return "--kafka-config", str(file)


def filled(site: StreamSite, records: int) -> StreamSite:
    """The site with a topic that holds about so many payments."""
    site.topic = "bulk"
    done = site.simulate("--speed-up=max", "--rate=10000", f"--duration={max(1, records // 10_000)}", "--workers=2")
    if done.wait():
        raise SystemExit(f"Unable to fill the topic: {done.stderr.read().decode() if done.stderr else ''}")
    return site


def throughput(site: StreamSite, args: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Rows a second, requests and versions, by peer."""
    measures: dict[str, dict[str, list[float]]] = {m: defaultdict(list) for m in (ROWS, REQUESTS, VERSIONS)}
    for run in range(args.runs):
        for peer, conf in CONF.items():
            mine = site.beside(f"bulk-{run}-{peer.split()[0]}")
            before = sum(site.server.requests().values())
            finish(mine, mine.start("--once", f"--max-records={args.batch}", *kafka(mine, peer), conf=conf))
            requests = sum(site.server.requests().values()) - before
            logs = {q: mine.entries(q) for q in ("bronze", "silver")}
            records = sum(e["counts"]["records"] for e in logs["bronze"])
            rows = sum(e["counts"]["records"] for log in logs.values() for e in log[1:])
            begun, ended = max(log[0]["committed"] for log in logs.values()), max(log[-1]["committed"] for log in logs.values())
            kept = mine.server.kept(f"{mine.prefix}/")
            for measure, value in (
                (ROWS, rows / (ended - begun) * 1000),
                (REQUESTS, requests / records * 1e6),
                (VERSIONS, (kept.noncurrent + kept.markers) / records * 1e6),
            ):
                measures[measure][peer].append(value)
            say(f"{peer}: {records:,} records, {measures[ROWS][peer][-1]:,.0f} rows/s, {requests:,} requests")
    return measures


def latency(site: StreamSite, rate: int, args: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """The delay of bronze and silver records at a rate: p50, p95, p99 in seconds, of each run."""
    measures: dict[str, dict[str, list[float]]] = {f"{q} p{p}": defaultdict(list) for q in ("bronze", "silver") for p in (50, 95, 99)}
    for run in range(args.runs):
        for peer, conf in CONF.items():
            mine = site.beside(f"live-{rate}-{run}-{peer.split()[0]}")
            mine.topic, stop = mine.prefix, mine.server.folder / f"stop-{mine.prefix}"
            begun = (time.time() + WARM) * 1000
            source = mine.simulate(f"--rate={rate}", f"--duration={args.seconds + WARM}", "--epoch=0.2")
            time.sleep(3)  # the topic has to be there
            process = mine.start("--trigger=1", f"--stop-file={stop}", *kafka(mine, peer), conf=conf)
            source.wait()
            ended = time.time() * 1000
            until_read(mine, process)
            stop.touch()
            finish(mine, process)
            for query in ("bronze", "silver"):
                delays = delays_of(mine, query, begun, ended)
                for p in (50, 95, 99):
                    measures[f"{query} p{p}"][peer].append(float(np.percentile(delays, p)))
            say(f"{peer} at {rate:,}: silver p50 {measures['silver p50'][peer][-1]:.1f} s")
    return measures


def in_lab(seconds: int) -> None:
    """The delay in the lab's stream."""
    facts, payments = site_facts(), load_lake().spec.payments
    if payments is None or "S3_ENDPOINT" not in facts:
        raise SystemExit(
            "Unable to measure the lab's stream: none is declared, or there is no lab. ./lake stream declare; ./lake apply; ./lake stream start --simulate"
        )
    bucket, _, prefix = payments.path.removeprefix("s3a://").partition("/")
    keys = {"aws_access_key_id": facts["S3_ROOT_USER"], "aws_secret_access_key": facts["S3_ROOT_PASSWORD"]}
    s3 = boto3.client("s3", endpoint_url=facts["S3_ENDPOINT"], region_name=facts["S3_REGION"], **keys)
    site = StreamSite(SimpleNamespace(s3=s3, bucket=bucket, folder=Path(tempfile.gettempdir())), None, prefix.strip("/"))  # type: ignore[arg-type]
    committed = min(site.entries(q)[-1]["committed"] for q in ("bronze", "silver"))
    rows = []
    for query in ("bronze", "silver"):
        delays = delays_of(site, query, committed - seconds * 1000, committed - 15_000)  # the newest may still be under way
        rows.append([query, f"{len(delays):,}", *(f"{np.percentile(delays, p):.2f}" for p in (50, 95, 99))])
    print(table(["", "records", "p50 s", "p95 s", "p99 s"], rows))


def finish(site: StreamSite, process: "subprocess.Popen[bytes]", seconds: float = 1200) -> None:
    """Wait until a stream has ended in order."""
    try:
        code: int | None = process.wait(seconds)
    except subprocess.TimeoutExpired:
        code = None
    if code != 0:
        site.kill(process)
        raise SystemExit(f"Unable to run the stream: it ended with {code}:\n{site.log.read_text()[-2000:]}")


def until_read(site: StreamSite, process: "subprocess.Popen[bytes]", seconds: float = 600) -> None:
    """Until silver has read what bronze has, and neither gets more."""
    deadline, before = time.monotonic() + seconds, -1
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(5)
        ends = [{p: last for e in site.entries(q) for p, (_, last) in e["offsets"].items()} for q in ("bronze", "silver")]
        total = sum(ends[0].values())
        if ends[0] == ends[1] and total == before:
            return
        before = total


def delays_of(site: StreamSite, query: str, begun: float, ended: float) -> "np.ndarray[Any, Any]":
    """Seconds from Kafka's time stamp to the commit, of the records that came between these moments (ms)."""
    found = []
    for entry in site.entries(query):
        for file in entry["files"].get(query, ()):
            body = site.server.s3.get_object(Bucket=site.server.bucket, Key=f"{site.prefix}/{file['path']}")["Body"].read()
            stamps = pq.read_table(BufferReader(body), columns=["timestamp"])["timestamp"].to_numpy()
            stamps = stamps[(stamps >= begun) & (stamps <= ended)]
            found.append((entry["committed"] - stamps) / 1000)
    return np.concatenate(found)
