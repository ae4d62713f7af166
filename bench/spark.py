"""A Spark that waits for requests, in a process of its own, from the jars that the lake's Spark image is made of."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from bench.minio_server import MinioOnLoopback
from lab.cache import built, fingerprint
from lab.k8s.build import SPARK, lay_out_spark

WRITER = Path(__file__).parent / "spark_writer.py"


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and its children so far."""
    process = psutil.Process(pid)
    return sum(t.user + t.system for t in (p.cpu_times() for p in (process, *process.children(recursive=True))))


class Spark:
    """Requests to a running bench.spark_writer. `about` has the versions."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log
        self.about = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"Unable to run Spark: it ended. Its log ends with:\n{self._log.read_text()[-2000:]}")
        return dict(json.loads(line))

    def cpu(self) -> float:
        """CPU seconds of its processes so far."""
        return cpu_of(self._process.pid)

    def try_to(self, **request: Any) -> dict[str, Any]:
        """Ask for something. The answer may hold an error."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Ask for something that must succeed."""
        answer = self.try_to(**request)
        if "error" in answer:
            raise SystemExit(f"Unable to {next(iter(request))} with Spark: {answer['error']}")
        return answer


def spark_home() -> Path:
    """A SPARK_HOME as the lake's Spark image has it; made once."""
    key = fingerprint(files=[p for p in SPARK.iterdir() if p.is_file()])
    return built("spark-home", key, lambda folder: lay_out_spark(folder / "spark"), "a SPARK_HOME (about a minute)") / "spark"


@contextlib.contextmanager
def spark(server: MinioOnLoopback, conf: Mapping[str, str], writer: Path = WRITER) -> Iterator[Spark]:
    """A Spark with a configuration, for as long as the block lasts. `writer` is the program that answers."""
    home = spark_home()
    local = {"spark.driver.memory": "1500m", "spark.ui.enabled": "false", "spark.log.level": "ERROR", "spark.ui.showConsoleProgress": "false", "spark.driver.host": "127.0.0.1",
             "spark.driver.bindAddress": "127.0.0.1", "spark.sql.files.maxPartitionBytes": "160m", "spark.local.dir": str(server.folder),
             "spark.hadoop.hadoop.tmp.dir": str(server.folder / "tmp"), "spark.driver.extraJavaOptions": f"-Djava.io.tmpdir={server.folder}"}  # fmt: skip
    paths = [str(home / "python"), str(next((home / "python/lib").glob("py4j-*-src.zip")))]
    env = os.environ | {"SPARK_HOME": str(home), "PYTHONPATH": ":".join(paths), "BENCH_SPARK_CONF": json.dumps(local | conf),
                        "AWS_ACCESS_KEY_ID": server.access, "AWS_SECRET_ACCESS_KEY": server.secret}  # fmt: skip
    logfile = server.folder / "spark.log"
    with open(logfile, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, writer], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
    try:
        yield Spark(process, logfile)
    finally:
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its JVM may still be trying to reach the store
