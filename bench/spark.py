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
from bench.spark_home import spark_conf, spark_environment

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


@contextlib.contextmanager
def spark(server: MinioOnLoopback, conf: Mapping[str, str], writer: Path = WRITER) -> Iterator[Spark]:
    """A Spark with a configuration, for as long as the block lasts. `writer` is the program that answers."""
    local = {"spark.driver.memory": "1500m", "spark.ui.showConsoleProgress": "false", "spark.sql.files.maxPartitionBytes": "160m"}
    env = spark_environment(server) | {"BENCH_SPARK_CONF": json.dumps(spark_conf(server.folder, local | dict(conf)))}
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
