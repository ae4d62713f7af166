"""What it costs a Spark job that somebody looks at it.

The lake on the lab that HOMELAKE_LAB names (demo, unless set) must be as declared: `./lake apply` makes it so. A job does a fixed amount of work on it,
shuffles of 4,000,000 rows whose result it writes to the lake, and times them itself. In turn, after a warm-up:

  nobody     no collector runs
  unwatched  the collector of the dashboard, every 30 s
  watched    the same while somebody looks, every 2 s

The collector runs on this machine, as the lab does, so it takes its CPU from the same cores; on a real site it takes none from the cluster's.
"""

import re
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from bench.report import Aim, circumstances, compare, options, say, versions
from include.adapters.clients import Clients
from include.adapters.metrics.collector import Asked, Collector
from include.adapters.metrics.sources import Sources
from include.adapters.spark import SparkApplications
from include.lake.lake import load_lake
from include.lake.metrics.fold import Sweep
from include.lake.s3a import s3a_profile
from include.lake.spark import Job, application
from include.settings import command_line_connections

NOBODY, UNWATCHED, WATCHED = "nobody", "unwatched", "watched"
JOB = """
import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

spark = SparkSession.builder.getOrCreate()


def turn():
    rows = spark.range(0, 4_000_000, numPartitions=8).withColumn("k", F.hash("id") % 1000).groupBy("k").agg(F.sum("id").alias("s"))
    rows.repartition(2).write.mode("overwrite").parquet(sys.argv[1])


turn()
began = time.monotonic()
for _ in range(int(sys.argv[2])):
    turn()
print(f"took {time.monotonic() - began:.3f} s", flush=True)
spark.stop()
"""


def main(argv: list[str]) -> None:
    """Run it and print its table."""
    parser = options(__doc__ or "", 4)
    parser.add_argument("--turns", type=int, default=15, metavar="N", help="how much work the job does: shuffles (default: 15)")
    args = parser.parse_args(argv)
    lake, said = load_lake(), list[str]()
    clients = Clients(command_line_connections(), said.append)
    applications = SparkApplications(clients.kubernetes, lake.spec.kubernetes.namespace, said.append)
    profile = s3a_profile(clients.connections("minio_admin").host.rstrip("/"), lake.spec.minio.region)

    def seconds() -> float:
        name = f"bench-{uuid.uuid4().hex[:8]}"
        said.clear()
        applications.submit(
            application(Job("rounds.py", (f"s3a://datalake/test-bench/{name}/", str(args.turns))), lake.where, profile), name, {"rounds.py": JOB}
        )
        try:
            applications.wait(name)
        finally:
            applications.delete(name)
        found = re.search(r"took ([\d.]+) s", "\n".join(said))
        assert found, said[-20:]
        return float(found[1])

    taken, costs = defaultdict[str, list[float]](list), defaultdict[str, list[Cost]](list)
    try:
        for turn in range(args.runs + 1):
            for how in (NOBODY, UNWATCHED, WATCHED):
                with looked_at(how, Sources(clients.kubernetes, (lake.spec.kubernetes.namespace,))) as cost:
                    value = seconds()
                if turn:
                    taken[how].append(value)
                    costs[how].append(cost)
                say(f"{f'run {turn} of {args.runs}' if turn else 'warm-up'}: {how} {value:.1f} s")
    finally:
        clients.close()
    print(f"\nSeconds that a job takes for {args.turns} shuffles and writes, {args.runs} runs of each in turn after one warm-up\n")
    print(compare({"job": dict(taken)}, NOBODY, {("job", WATCHED): Aim(most=1.05)}))
    print()
    for how in (UNWATCHED, WATCHED):
        runs = costs[how]
        sweeps = sum(c.sweeps for c in runs)
        cpu = sum(c.cpu for c in runs) - sum(c.cpu for c in costs[NOBODY])
        print(
            f"{how}: {sweeps} sweeps, one every {sum(c.seconds for c in runs) / sweeps:.1f} s, {1000 * cpu / sweeps:.0f} ms of CPU and {runs[-1].calls} calls each"
        )
    print("\nHow it was measured\n")
    print(circumstances("the lab", versions("kubernetes")))


@dataclass
class Cost:
    """What a collector did during a run. `cpu`: seconds of this whole process, the waiting for the job among them; `calls`: of its last sweep."""

    seconds: float = 0.0
    cpu: float = 0.0
    sweeps: int = 0
    calls: int = 0


class Counted:
    """The sources of a collector, and how often they were asked."""

    def __init__(self, sources: Asked, cost: Cost) -> None:
        self._sources, self._cost, self.log = sources, cost, sources.log

    def gather(self) -> Sweep:
        """One sweep."""
        made = self._sources.gather()
        self._cost.sweeps, self._cost.calls = self._cost.sweeps + 1, made.calls
        return made


@contextmanager
def looked_at(how: str, sources: Asked) -> Iterator[Cost]:
    """A collector for as long as the block lasts, and what it cost."""
    cost, began, used = Cost(), time.monotonic(), time.process_time()
    looking = Collector(Counted(sources, cost))
    if how != NOBODY:
        looking.start()
    try:
        with looking.watch() if how == WATCHED else nullcontext():
            yield cost
    finally:
        looking.stop(5)
        cost.seconds, cost.cpu = time.monotonic() - began, time.process_time() - used
