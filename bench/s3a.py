"""The S3A profile of every Spark job (include/lake/s3a.py) against Hadoop's defaults, Spark's defaults, and boto3.

A MinIO with the lake's settings is started on loopback, with one versioned object-lock bucket. Three Sparks (local[2]) wait:
`hadoop` has only endpoint, region and credentials, and Hadoop's default FileOutputCommitter by name; `spark` has endpoint,
region and credentials, so what Spark 4.1 chooses by itself; `profile` is Homelake's. In turn each writes the same rows to a
path of its own and reads them back; then boto3 writes and reads objects of the same sizes, two at a time. After a warm-up:

  S3 requests      how many MinIO answered meanwhile, by its own metrics
  hidden versions  noncurrent versions and delete markers that are left under the path
  waste            bytes of noncurrent versions and of unfinished uploads, for each byte that a reader sees
  CPU seconds      of the writer and of MinIO together: unlike the time, it does not depend on how busy the machine is
  seconds, MiB/s   from the call of write (or read) to its return, commit and all, without Spark's start

At the end `hadoop` and `profile` each overwrite and append twice to one path, as a job does that runs every day.
"""

import contextlib
import os
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from boto3.s3.transfer import TransferConfig

from bench.minio_server import MinioOnLoopback, minio_on_loopback
from bench.report import Aim, circumstances, compare, options, say, versions
from bench.spark import Spark, cpu_of, spark
from include.lake.lake import load_lake
from include.lake.s3a import PREFIX, s3a_profile
from lab.run import sh

MIB = 1 << 20
HADOOP, SPARK, PROFILE, RAW = "hadoop", "spark", "profile", "boto3"
SHAPES = {"small": (200, "200 files of 32 KiB"), "large": (4, "512 MiB in 4 files")}
REQUESTS, HIDDEN, WASTE, CPU, SECONDS, RATE = "S3 requests", "hidden versions", "waste", "CPU seconds", "seconds", "MiB/s"
READ_REQUESTS, READ_RATE = "reading: S3 requests", "reading: MiB/s"
AIMS = {(REQUESTS, PROFILE): Aim(most=1 / 3), (RATE, PROFILE): Aim(least=1.7)}
MOST_WASTE = 0.15
BARE = ("endpoint", "endpoint.region", "path.style.access", "aws.credentials.provider")
# Spark chooses the magic committer by itself since 4.1 when its cloud classes are there, so Hadoop's default is asked for by name.
FILE_COMMITTER = {
    "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": "org.apache.hadoop.mapreduce.lib.output.FileOutputCommitterFactory",
    "spark.sql.sources.commitProtocolClass": "org.apache.spark.sql.execution.datasources.SQLHadoopMapReduceCommitProtocol",
    "spark.sql.parquet.output.committer.class": "org.apache.parquet.hadoop.ParquetOutputCommitter",
}


def main(argv: list[str]) -> None:
    """Run it and print its tables."""
    parser = options(__doc__ or "", 5)
    parser.add_argument("--shape", choices=SHAPES, action="append", help="only this amount of data (default: both)")
    parser.add_argument("--with", dest="more", action="append", default=[], metavar="KEY=VALUE",
                        help="add a Spark `tried`: the profile with this setting of S3A on top (multipart.size=32M); - as VALUE takes one away")  # fmt: skip
    parser.add_argument("--by-name", action="store_true", help="also print the S3 requests by name")
    args = parser.parse_args(argv)
    lake = load_lake()
    with minio_on_loopback(lake, say) as server, contextlib.ExitStack() as stack:
        peers = {name: stack.enter_context(spark(server, conf)) for name, conf in configurations(server, args.more).items()}
        for shape in args.shape or SHAPES:
            peers[PROFILE].ask(make=shape, to=f"{server.folder}/{shape}")
            measures, names = measure(server, peers, shape, args.runs)
            print(f"\n{SHAPES[shape][1]}, {args.runs} runs of each in turn after one warm-up\n")
            print(compare(measures, HADOOP, AIMS))
            waste = max(measures[WASTE][PROFILE])
            print(f"\nWaste of the profile: {waste:.3f} of what a reader sees (aim: under {MOST_WASTE}: {'met' if waste < MOST_WASTE else 'MISSED'})")
            if args.by_name:
                print(by_name(names))
        print("\nOne path, written again and again\n")
        for name in (HADOOP, PROFILE):
            print(f"- {name}: {again(peers[name], f's3a://{server.bucket}/again-{name}', f'{server.folder}/{shape}')}")
        print("\nHow it was measured\n")
        about = peers[PROFILE].about
        print(circumstances(f"MinIO {lake.minio_binary.source}, FS_OSYNC {'on' if lake.spec.minio.durable_writes else 'off'}, http, loopback",
                            f"Spark {about['spark']} local[2], Hadoop {about['hadoop']}, Java {about['java']}, {versions('boto3')}"))  # fmt: skip


def configurations(server: MinioOnLoopback, more: list[str]) -> dict[str, dict[str, str]]:
    """The configuration of each Spark."""
    profile = s3a_profile(server.endpoint, server.region)
    bare = {PREFIX + k: profile[PREFIX + k] for k in BARE}
    found = {HADOOP: bare | FILE_COMMITTER, SPARK: bare, PROFILE: profile}
    return found | ({"tried": changed(profile, more)} if more else {})


def changed(profile: Mapping[str, str], more: list[str]) -> dict[str, str]:
    """The profile with settings added, replaced, or taken away (`KEY=-`)."""
    conf = dict(profile)
    for item in more:
        key, _, value = item.partition("=")
        key = key if key.startswith("spark.") else PREFIX + key
        if value == "-":
            conf.pop(key, None)
        else:
            conf[key] = value
    return conf


def measure(server: MinioOnLoopback, peers: Mapping[str, Spark], shape: str, runs: int) -> tuple[dict[str, Any], dict[str, Counter[str]]]:
    """Let every peer write and read in turn. Returns the runs by measure and peer, and the requests of the last write by name."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    names: dict[str, Counter[str]] = {}
    files, title = SHAPES[shape]
    raw = Raw(server)

    def work(peer: str) -> float:
        return cpu_of(server.process.pid) + (time.process_time() if peer == RAW else peers[peer].cpu())

    for turn in range(runs + 1):
        for peer in (*peers, RAW):
            prefix = f"{shape}-{peer}-{turn}/"
            sh("sync")
            begun, worked = server.requests(), work(peer)
            if peer == RAW:
                seconds = raw.write(prefix)
            else:
                seconds = peers[peer].ask(write=f"{server.folder}/{shape}", to=f"s3a://{server.bucket}/{prefix}out", files=files if shape == "small" else 0)[
                    "seconds"
                ]
            worked, written = work(peer) - worked, server.requests()
            read = raw.read(prefix) if peer == RAW else peers[peer].ask(read=f"s3a://{server.bucket}/{prefix}out")["seconds"]
            names[peer], reads = written - begun, (server.requests() - written).total()
            kept, sizes = server.kept(prefix), server.sizes(prefix, "" if peer == RAW else ".parquet")
            if len(sizes) != files:
                raise SystemExit(f"Unable to compare: {peer} left {len(sizes)} files, not {files}")
            raw.sizes = sizes
            server.erase(prefix)
            figures = {REQUESTS: names[peer].total(), HIDDEN: kept.noncurrent + kept.markers, WASTE: kept.wasted / kept.live, CPU: worked, SECONDS: seconds,
                       RATE: sum(sizes) / MIB / seconds, READ_REQUESTS: reads, READ_RATE: sum(sizes) / MIB / read}  # fmt: skip
            for key, value in figures.items():
                if turn:
                    found[key][peer].append(value)
        say(f"{title}: {f'run {turn} of {runs}' if turn else 'warm-up'} done")
    return found, names


class Raw:
    """boto3: what writing and reading the same objects costs at least. Two at a time, as the two cores of Spark do."""

    def __init__(self, server: MinioOnLoopback) -> None:
        self._server, self.sizes = server, [0]

    def write(self, prefix: str) -> float:
        """Write an object of each size. Returns the seconds."""
        for size in set(self.sizes):
            path = self._server.folder / f"raw-{size}"
            if not path.exists():
                path.write_bytes(os.urandom(size))
        whole = TransferConfig(multipart_threshold=64 * MIB, multipart_chunksize=64 * MIB, use_threads=False)

        def put(numbered: tuple[int, int]) -> None:
            number, size = numbered
            self._server.s3.upload_file(str(self._server.folder / f"raw-{size}"), self._server.bucket, f"{prefix}{number}", Config=whole)

        return self._each(put, list(enumerate(self.sizes)))

    def read(self, prefix: str) -> float:
        """Read them all. Returns the seconds."""

        def get(number: int) -> None:
            for _ in self._server.s3.get_object(Bucket=self._server.bucket, Key=f"{prefix}{number}")["Body"].iter_chunks(MIB):
                pass

        return self._each(get, list(range(len(self.sizes))))

    def _each(self, call: Any, items: list[Any]) -> float:
        began = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(call, items))
        return time.monotonic() - began


def again(writer: Spark, target: str, source: str) -> str:
    """Overwrite twice, append twice; what a reader then finds. The first failure ends it."""
    for number, mode in enumerate(("overwrite", "overwrite", "append", "append"), 1):
        answer = writer.try_to(write=source, to=target, mode=mode)
        if "error" in answer:
            return f"write {number} ({mode}) failed: {answer['error'][:300]}"
    rows, whole = writer.ask(count=target)["rows"], writer.ask(count=source)["rows"]
    return f"overwrite, overwrite, append, append: {rows:,} rows read back, {3 * whole:,} expected" + ("" if rows == 3 * whole else ": WRONG")


def by_name(names: Mapping[str, Counter[str]]) -> str:
    """The S3 requests of one run by name, most frequent first."""
    total = sum(names.values(), Counter[str]())
    lines = [f"  {n:28}" + "".join(f"{c[n]:>10,}" for c in names.values()) for n, _ in total.most_common()]
    return "\n".join([f"\n  {'one write, by name':28}" + "".join(f"{p:>10}" for p in names), *lines])
