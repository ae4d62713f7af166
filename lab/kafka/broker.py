"""One broker on loopback, for tests and benchmarks: KRaft, everything in one folder, and it can be killed and started again."""

import os
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Self

from lab.errors import LabError
from lab.kafka import jars, properties
from lab.run import sh


class Broker:
    """A broker and what it keeps. As a context it is started, and ended with the block."""

    def __init__(self, folder: Path, memory: str = "512m") -> None:
        self.folder, self._memory = folder, memory
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            self.port, controller = one.getsockname()[1], other.getsockname()[1]
        self._properties = folder / "server.properties"
        self._properties.touch(mode=0o600)
        self._properties.write_text(self.settings(controller))
        self._classes = f"{jars()}/*"
        # Given in one word: every 64th id begins with a dash.
        # Given in one word below: every 64th begins with a dash.
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        sh(
            "java",
            "-cp",
            self._classes,
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            f"--cluster-id={cluster}",
            "-c",
            self._properties,
            *self.format_options(),
        )

    def settings(self, controller: int) -> str:
        """The content of its server.properties."""
        return properties(self.address, controller, self.folder / "data")

    def format_options(self) -> list[str]:
        """What is written into its storage at the beginning."""
        return []

    def __enter__(self) -> Self:
        """Start it; what was half started is ended."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self.port}"

    def start(self, wait: float = 120) -> None:
        """Start it, and wait until it answers."""
        options = [f"-Xmx{self._memory}", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-XX:+UseSerialGC"]
        with open(self.folder / "broker.log", "ab") as log:
            self._process = subprocess.Popen(["java", *options, "-cp", self._classes, "kafka.Kafka", str(self._properties)], stdout=log, stderr=log,
                                             cwd=self.folder, env=dict(os.environ, LC_ALL="C.UTF-8"))  # fmt: skip
        deadline = time.monotonic() + wait
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LabError("start", "the Kafka broker", f"it does not answer on port {self.port}", f"Its output is in {self.folder / 'broker.log'}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it at once, as a power cut would end it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it in order; at once when it takes too long."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(30)
                self._process = None
            except subprocess.TimeoutExpired:
                self.kill()
