"""The stream's three neighbours on loopback: a Kafka broker, a MinIO, and Spark with the lake's own profile; and the simulator that feeds them."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from bench.minio_server import MinioOnLoopback, minio_on_loopback
from bench.spark_home import spark_environment, spark_submit
from include.adapters.audit import run_audit
from include.adapters.stream_log import StreamLog
from include.connections import Connection
from include.lake.audit import AuditReport
from include.lake.lake import load_lake
from include.lake.s3a import s3a_profile
from include.lake.secret import Secret
from include.lake.spec.streams import Payments
from include.lake.stream_log import TABLES
from lab.kafka.broker import Broker
from lab.site import ROOT


class StreamSite:
    """Where a stream runs. Everything in it can be killed and started again."""

    topic = "payments"

    def __init__(self, server: MinioOnLoopback, broker: Broker, prefix: str = "payments", java: str = "") -> None:
        self.server, self.broker, self.prefix, self.java = server, broker, prefix, java
        self.path, self.checkpoint = f"s3a://{server.bucket}/{prefix}/", f"s3a://checkpoints/{prefix}/"
        self.log = server.folder / f"stream-{prefix}.log"
        self.sources, self.streams = list[subprocess.Popen[bytes]](), list[subprocess.Popen[bytes]]()
        with contextlib.suppress(server.s3.exceptions.BucketAlreadyOwnedByYou):
            server.s3.create_bucket(Bucket="checkpoints")

    def beside(self, prefix: str, topic: str = "") -> Self:
        """The same neighbours, with a path and a checkpoint of its own; the same topic unless another is named. Its streams end with those of this one."""
        made = type(self)(self.server, self.broker, prefix, self.java)
        made.topic, made.streams = topic or self.topic, self.streams
        return made

    @property
    def connections(self) -> Mapping[str, Connection]:
        """Lake and Kafka as the product's own connections, by their ids."""
        keys = self.server.access, Secret(self.server.secret)
        where = {"endpoint_url": self.server.endpoint, "region_name": self.server.region}
        kafka = {"bootstrap.servers": self.broker.address}
        return {"lake_s3": Connection("lake_s3", "aws", "", *keys, None, where), "kafka_default": Connection("kafka_default", "kafka", extra=kafka)}

    def audit(self) -> AuditReport:
        """The product's own audit of the stream."""
        return run_audit(Payments(topic=self.topic, path=self.path), self.connections.__getitem__, print)

    def simulate(self, *options: str) -> "subprocess.Popen[bytes]":
        """`python -m simulator` into the topic."""
        command = [sys.executable, "-m", "simulator", "--kafka", self.broker.address, "--topic", self.topic, "--quiet", "--resume", *options]
        self.sources.append(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}))
        return self.sources[-1]

    def start(self, *options: str, conf: Mapping[str, str] | None = None, job: str = "payments_stream.py") -> "subprocess.Popen[bytes]":
        """The stream's job in a Spark of two cores in one process, in a process group of its own."""
        settings = s3a_profile(self.server.endpoint, load_lake().spec.minio.region) | {"spark.driver.memory": "1500m"} | dict(conf or {})
        arguments = ["--bootstrap", self.broker.address, "--topic", self.topic, "--path", self.path, "--checkpoint", self.checkpoint, *options]
        command = spark_submit(self.server.folder, settings, ROOT / "jobs" / job, *arguments)
        with open(self.log, "ab") as log:
            self.streams.append(
                subprocess.Popen(command, env=spark_environment(self.server, self.java), cwd=self.server.folder, stdout=log, stderr=log, start_new_session=True)
            )
        return self.streams[-1]

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """End a stream at once, its JVM with it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """End at once whatever stream still runs, of this site and of those beside it."""
        for process in self.streams:
            if process.poll() is None:
                self.kill(process)

    def entries(self, query: str) -> list[dict[str, Any]]:
        """The stream's log, oldest first."""
        listed = self.server.s3.list_objects_v2(Bucket=self.server.bucket, Prefix=f"{self.prefix}/_log/{query}/").get("Contents", [])
        keys = [o["Key"] for o in listed if re.search(r"/\d{20}\.json$", o["Key"])]
        return [json.loads(self.server.s3.get_object(Bucket=self.server.bucket, Key=k)["Body"].read()) for k in keys]

    def body(self, name: str) -> bytes:
        """A file below the stream's path."""
        return bytes(self.server.s3.get_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{name}")["Body"].read())

    def table(self, name: str) -> pa.Table:
        """What a reader sees: the files that the log names."""
        files = StreamLog(self.connections["lake_s3"], self.path).read(TABLES[name]).files(name)
        return pa.concat_tables([pq.read_table(io.BytesIO(self.body(f))) for f in files])

    def batches(self) -> dict[str, int]:
        """How many batches of each query are committed."""
        return {q: len(self.entries(q)) for q in ("bronze", "silver")}

    def wait(self, process: "subprocess.Popen[bytes]", batches: int, seconds: float = 120) -> None:
        """Until the log of both queries has so many batches more than it had."""
        wanted = {q: n + batches for q, n in self.batches().items()}
        deadline = time.monotonic() + seconds
        while any(len(self.entries(q)) < n for q, n in wanted.items()):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self._stuck(process, seconds))
            time.sleep(0.2)

    def _stuck(self, process: "subprocess.Popen[bytes]", seconds: float) -> str:
        """What can be known of a stream that ended or hangs: its log, where its threads stand, and whether it was fed."""
        fed = [f"{s.poll()} {s.stderr.read().decode() if s.stderr and s.poll() is not None else ''}" for s in self.sources]
        counts = self.batches()
        said = self.log.read_text()
        if process.poll() is not None:
            return f"the stream ended with {process.poll()}; batches {counts}, simulators {fed}:\n{said[-3000:]}"
        os.killpg(process.pid, signal.SIGQUIT)  # a JVM answers with its threads
        time.sleep(3)
        threads = self.log.read_text()[len(said) :].split("\n\n")
        told = [t[:1500] for t in threads if re.match(r'"(stream execution|Executor task|Thread-\d)', t) and "at " in t]
        return "\n".join([f"no batch of the stream within {seconds:.0f} s; batches {counts}, simulators {fed}", *told, said[-1000:]])


@contextlib.contextmanager
def stream_site(say: Any, folder: Path, java: str = "") -> Iterator[StreamSite]:
    """A broker and a MinIO for as long as the block lasts. `java`: options of the streams' JVMs."""
    with minio_on_loopback(load_lake(), say) as server, Broker(folder) as broker:
        site = StreamSite(server, broker, java=java)
        try:
            yield site
        finally:
            site.close()
