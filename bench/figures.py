"""How long it takes to say how full a lake is (`./lake usage`, the task `figures`), for few objects and for many.

A MinIO with the lake's program is started on loopback. Three of its buckets get 10, 1,000 and 20,000 objects; of each a fifth is
overwritten and a fiftieth deleted, so that there are noncurrent versions and delete markers, whose bytes no counter has. Once the
scanner has counted them, in turn:

  asking       what `./lake usage` asks of MinIO and of the filesystem (here without SSH), for that one bucket
  the command  a process of its own that does this and prints it, Python's start and all: what a person waits for
  listing      every version of the bucket listed and summed up, which is what the counters avoid

10 objects are listed whole; of a larger bucket 1,000 versions are, however many there are. So the step is between 10 and 1,000, and
there must be none after that.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from bench.minio_server import MinioOnLoopback, minio_on_loopback
from bench.report import ROOT, Aim, circumstances, compare, number, options, ratio, say
from include.adapters.host.ssh import Result
from include.adapters.host.usage import Volumes
from include.adapters.minio import MinioServer
from include.connections import Connection, from_environment
from include.lake.figures import Thresholds, report
from include.lake.lake import load_lake
from include.lake.secret import Secret
from include.lake.usage import measure
from include.usage_table import lines, verdicts

ASKING, COMMAND, LISTING = "asking, seconds", "the command, seconds", "listing, seconds"
MOST_MORE = 0.25  # seconds that 20,000 objects may take longer than 10
SAME = Aim(most=1.3)


def main(argv: list[str]) -> None:
    """Run it and print its table."""
    parser = options(__doc__ or "", 7)
    parser.add_argument("--objects", type=int, default=20_000, metavar="N", help="how many the largest bucket has (default: 20,000)")
    parser.add_argument("--look", help=argparse.SUPPRESS)  # one look, as the command: this program calls itself
    parser.add_argument("--data", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.look:
        return show(args.look, args.data)
    # The scanner shall have counted soon; how long that takes is not what is measured.
    os.environ |= {"MINIO_SCANNER_SPEED": "fastest", "MINIO_SCANNER_CYCLE": "5s"}
    sizes = {f"{n:,} objects": n for n in (10, 1000, args.objects)}
    lake = load_lake()
    with minio_on_loopback(lake, say, durable=False) as server:
        buckets = {name: f"with-{n}" for name, n in sizes.items()}
        for name, bucket in buckets.items():
            fill(server, bucket, sizes[name])
        wait(server, {bucket: sizes[name] for name, bucket in buckets.items()})
        found = time_all(server, buckets, args.runs)
    few, some, many = sizes
    print(f"\nHow full a bucket is, {args.runs} runs of each in turn after one warm-up\n")
    print(compare(found, few, {(COMMAND, many): SAME}))
    asked = found[ASKING]
    more, steps = median(m - f for m, f in zip(asked[many], asked[few], strict=True)), ratio(asked[many], asked[some]) or 0.0
    print(f"\nAsking for {many} takes {number(more)} s longer than for {few} ({Aim(most=MOST_MORE).judge(more)})")
    print(f"and {steps:.2f}× as long as for {some} ({SAME.judge(steps)}).")
    print("\nHow it was measured\n")
    print(circumstances(f"MinIO {lake.minio_binary.source}, http, loopback, FS_OSYNC off"))
    return None


def fill(server: MinioOnLoopback, bucket: str, objects: int) -> None:
    """Write the objects, overwrite a fifth of them, delete a fiftieth."""
    say(f"writing {objects:,} objects")
    server.s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)

    def put(number: int) -> None:
        server.s3.put_object(Bucket=bucket, Key=key(number), Body=b"x" * 100)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(objects)))
        list(pool.map(put, range(0, objects, 5)))
        list(pool.map(lambda n: server.s3.delete_object(Bucket=bucket, Key=key(n)), range(0, objects, 50)))


def key(number: int) -> str:
    """A name, as a partitioned table has them."""
    return f"day={number % 100:02d}/part-{number:06d}.parquet"


def wait(server: MinioOnLoopback, objects: dict[str, int]) -> None:
    """Until the scanner has counted every bucket."""
    client, deadline = minio(server), time.monotonic() + 600
    while {b: c.objects for b, c in client.counters().buckets.items() if b in objects} != objects:
        if time.monotonic() > deadline:
            raise SystemExit("Unable to compare: MinIO's scanner has not counted the buckets within 10 minutes")
        time.sleep(2)
    say("counted")


def connection(server: MinioOnLoopback) -> Connection:
    return Connection("minio_admin", "minio", server.endpoint, server.access, Secret(server.secret), None, {"region": server.region})


def minio(server: MinioOnLoopback) -> MinioServer:
    return MinioServer(connection(server))


class Here(Volumes):
    """The filesystem of this machine in the VM's place: its folder of data is made a mount point for the moment of the look."""

    def run(self, script: str, *args: str, **options: Any) -> Result:
        mounted = f'mount --bind "$1" "$1"\n{script}'
        done = subprocess.run(["unshare", "-rm", "bash", "-c", mounted, "bench", *args], capture_output=True, text=True, check=True)
        return Result(done.returncode, done.stdout, done.stderr)


def time_all(server: MinioOnLoopback, buckets: dict[str, str], runs: int) -> dict[str, dict[str, list[float]]]:
    """Every measure of every bucket, in turn."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    data, client = str(server.folder / "data"), minio(server)
    parts = {"minio": client, "host": Here(Connection("lake_host", "ssh"))}
    own = os.environ | {"AIRFLOW_CONN_MINIO_ADMIN": connection(server).as_json(), "PYTHONPATH": str(ROOT)}

    def ask(bucket: str) -> Callable[[], Any]:
        return lambda: whole(measure([bucket], data, parts.__getitem__))

    def command(bucket: str) -> Callable[[], Any]:
        program = [sys.executable, "-m", "bench.figures", "--look", bucket, "--data", data]
        return lambda: subprocess.run(program, env=own, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    def listing(bucket: str) -> Callable[[], Any]:
        return lambda: sum(v.size or 0 for v in client.s3().list_objects(bucket, recursive=True, include_version=True))

    for turn in range(runs + 1):
        for measured, make in ((ASKING, ask), (COMMAND, command), (LISTING, listing)):
            for name, bucket in buckets.items():
                call = make(bucket)
                began = time.perf_counter()
                call()
                if turn:
                    found[measured][name].append(time.perf_counter() - began)
        say(f"{f'run {turn} of {runs}' if turn else 'warm-up'} done")
    return found


def whole(usage: Any) -> None:
    """What failed to answer was quick for another reason."""
    if usage.errors or usage.volume is None or usage.buckets[0].noncurrent is None:
        raise SystemExit(f"Unable to compare: {[str(e) for e in usage.errors] or 'something is not known'}")


def show(bucket: str, data: str) -> None:
    """One look, printed."""
    parts = {"minio": MinioServer(from_environment(os.environ)("minio_admin")), "host": Here(Connection("lake_host", "ssh"))}
    found = measure([bucket], data, parts.__getitem__)
    whole(found)
    figures = report(found, None, Thresholds(0.8, 0.95, timedelta(seconds=5)), datetime.now(UTC))
    print(*lines(figures, 5), *verdicts(figures), json.dumps(figures.as_dict()), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
