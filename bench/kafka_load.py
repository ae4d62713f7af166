"""The simulator beside Kafka's own load generator (org.apache.kafka.tools.ProducerPerformance), in turn into one broker on loopback.

Both send the same number of records, out of the same payments as JSON, to a topic of six partitions, with acks=all, idempotence, lz4 and the same
batches. The load generator draws each record from a file that is in its memory before it begins, and without a key; the simulator makes its records
meanwhile, keys and numbers them, and commits one transaction an epoch. So it is run a second time with transactions as well.

  records/s       as each counts them, from its first record to its last commit
  MB/s            bytes of values a second, likewise
  with its start  records a second of the whole process: Python's or Java's start too
  CPU seconds     of the process and its workers, for a million records; the broker's are not in it, and it shares the machine
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from bench.jars import jars
from bench.report import ROOT, say
from lab.kafka import jars as broker_jars
from lab.kafka.broker import Broker

PERF, PERF_TRANSACTIONS, SIMULATOR = "perf test", "perf test, transactions", "simulator"
RATE, BYTES, WHOLE, CPU = "records/s", "MB/s", "records/s with its start", "CPU seconds, a million records"
# As simulator/outputs/kafka.py sends.
PROPERTIES = ("acks=all", "enable.idempotence=true", "compression.type=lz4", "linger.ms=5", "batch.size=1000000", "buffer.memory=134217728")
EPOCH = 100_000  # payments
_SENT = re.compile(r"(?P<records>\d+) records sent, (?P<rate>[\d.]+) records/sec \([\d.]+ MB/sec\)")
_MADE = re.compile(r"(?P<records>[\d,]+) records, (?P<mib>[\d,.]+) MiB · (?P<rate>[\d,]+)/s")

Measures = dict[str, dict[str, list[float]]]


def last(pattern: re.Pattern[str], output: str) -> dict[str, float]:
    """The numbers of the last line that has this form. Raises SystemExit when none has: then nothing was measured."""
    found = list(pattern.finditer(output))
    if not found:
        raise SystemExit(f"Unable to measure a producer: it did not tell what it sent:\n{output[-2000:]}")
    return {name: float(value.replace(",", "")) for name, value in found[-1].groupdict().items()}


def loads(runs: int, records: int) -> Measures:
    """Send about so many records by each peer in turn, after one warm-up. By measure and peer."""
    measures: Measures = {m: defaultdict(list) for m in (RATE, BYTES, WHOLE, CPU)}
    with tempfile.TemporaryDirectory(prefix="homelake-bench-kafka-") as name, Broker(Path(name), "1g") as broker:
        folder = Path(name)
        payload = folder / "payload.ndjson"
        run(["simulator", "--ndjson", str(payload), "--rate=20000", "--flat", "--duration=1", "--malformed=0", "--speed-up=max"])
        mean = sum(map(len, payload.read_bytes().splitlines())) / payload.read_bytes().count(b"\n")
        for turn in range(runs + 1):
            epochs = max(1, (records if turn else EPOCH) // EPOCH)
            sent = _simulate(broker, f"simulator-{turn}", epochs)
            figures = {
                PERF: _perf(broker, folder, f"perf-{turn}", int(sent["records"]), mean),
                PERF_TRANSACTIONS: _perf(broker, folder, f"perf-transactions-{turn}", int(sent["records"]), mean, "--transaction-duration-ms=1000"),
                SIMULATOR: sent,
            }
            for peer, figure in figures.items() if turn else ():
                for measure in measures:
                    measures[measure][peer].append(figure[measure])
            say(f"{f'run {turn} of {runs}' if turn else 'warm-up'}: " + ", ".join(f"{peer} {f[RATE]:,.0f}/s" for peer, f in figures.items()))
            admin = _admin(broker)
            for gone in admin.delete_topics([f"{p}-{turn}" for p in ("simulator", "perf", "perf-transactions")]).values():
                gone.result(30)
    return measures


def _admin(broker: Broker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.address, "log_level": "0"})


def _simulate(broker: Broker, topic: str, epochs: int) -> dict[str, float]:
    options = ["--kafka", broker.address, "--topic", topic, f"--rate={EPOCH}", "--flat", f"--duration={epochs}", "--speed-up=max", "--workers=2"]
    output, seconds, cpu = run(["simulator", *options])
    told = last(_MADE, output)
    return figures_of(told["records"], told["rate"], told["mib"] * 2**20 / told["records"], seconds, cpu)


def _perf(broker: Broker, folder: Path, topic: str, records: int, mean: float, *more: str) -> dict[str, float]:
    admin = _admin(broker)
    admin.create_topics([NewTopic(topic, 6)])[topic].result(30)
    classes = f"{jars('kafka_tools', 'the load generator of Kafka (1 MB)')}/*:{broker_jars()}/*"
    command = ["java", "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classes, "org.apache.kafka.tools.ProducerPerformance", "--topic", topic,
               "--num-records", str(records), "--payload-file", str(folder / "payload.ndjson"), "--throughput", "-1", *more,
               "--producer-props", f"bootstrap.servers={broker.address}", *PROPERTIES]  # fmt: skip
    output, seconds, cpu = run(command)
    told = last(_SENT, output)
    return figures_of(told["records"], told["rate"], mean, seconds, cpu)


def figures_of(records: float, rate: float, size: float, seconds: float, cpu: float) -> dict[str, float]:
    """What a peer reached: records of so many bytes at a rate, the whole process in seconds of the clock and of the CPU."""
    return {"records": records, RATE: rate, BYTES: rate * size / 1e6, WHOLE: records / seconds, CPU: cpu / records * 1e6}


def run(command: list[str]) -> tuple[str, float, float]:
    """What a program says, its seconds, and CPU seconds with those of its children. A name alone is a module of Python."""
    words = command if command[0] == "java" else [sys.executable, "-m", *command]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(words, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"Unable to run {command[0]}: it ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return done.stdout, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
