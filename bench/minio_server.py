"""A MinIO of the benchmark's own on loopback, and what it says of itself: requests it answered, versions it keeps."""

import contextlib
import os
import re
import secrets
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from include.adapters.binaries import Binaries
from include.lake.lake import Lake
from lab.run import end

_SAMPLE = re.compile(r'^minio_api_requests_total\{.*?name="(?P<name>[^"]+)".*?type="s3".*?\} (?P<count>\S+)$', re.M)


def requests_in(metrics: str) -> Counter[str]:
    """S3 requests by name, out of MinIO's metrics in Prometheus' text form."""
    return Counter({m["name"]: int(float(m["count"])) for m in _SAMPLE.finditer(metrics)})


@dataclass(frozen=True)
class Kept:
    """What a bucket keeps under a prefix: what a reader sees, and what is hidden behind it but still takes room."""

    objects: int
    live: int  # bytes
    noncurrent: int
    markers: int
    wasted: int  # bytes of noncurrent versions and of uploads that nobody completed


class MinioOnLoopback:
    """A running MinIO with a versioned object-lock bucket."""

    bucket = "bench"

    def __init__(self, program: Path, folder: Path, region: str, *, durable: bool) -> None:
        self.folder, self.region, self.access, self.secret = folder, region, "bench-root", secrets.token_urlsafe(20)
        with socket.socket() as free, socket.socket() as free_too:
            free.bind(("127.0.0.1", 0))
            free_too.bind(("127.0.0.1", 0))
            address, console = (f"127.0.0.1:{s.getsockname()[1]}" for s in (free, free_too))
        self.endpoint = f"http://{address}"
        settings = {"MINIO_ROOT_USER": self.access, "MINIO_ROOT_PASSWORD": self.secret, "MINIO_SITE_REGION": region, "MINIO_UPDATE": "off",
                    "MINIO_PROMETHEUS_AUTH_TYPE": "public", "MINIO_FS_OSYNC": "on" if durable else "off"}  # fmt: skip
        self.log = folder / "minio.log"
        self._command = [program, "server", "--address", address, "--console-address", console, str(folder / "data")]
        self._environment = os.environ | settings
        self._start()
        # Uploads as aws-sdk-java makes them: no checksum trailer that the peer would not send.
        self.s3: Any = boto3.client("s3", endpoint_url=self.endpoint, region_name=region, aws_access_key_id=self.access, aws_secret_access_key=self.secret,
                                    config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, request_checksum_calculation="when_required"))  # fmt: skip
        self._wait()
        self.s3.create_bucket(Bucket=self.bucket, ObjectLockEnabledForBucket=True)

    def _start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    def restart(self, after: float) -> None:
        """End it at once, and start it again after so many seconds."""
        self.process.kill()
        self.process.wait()
        time.sleep(after)
        self._start()
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self.s3.list_buckets()
                return
            except (ClientError, BotoCoreError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"Unable to start MinIO: {self.log.read_text()[-300:]}") from None
                time.sleep(0.2)

    def requests(self) -> Counter[str]:
        """How many S3 requests MinIO has answered since its start, by name: MinIO's own count."""
        answer = requests.get(f"{self.endpoint}/minio/metrics/v3/api/requests", timeout=10)
        answer.raise_for_status()
        return requests_in(answer.text)

    def kept(self, prefix: str) -> Kept:
        """What it keeps under a prefix."""
        versions, markers = self._versions(prefix)
        live = [v["Size"] for v in versions if v["IsLatest"]]
        old = [v["Size"] for v in versions if not v["IsLatest"]]
        uploads = self.s3.list_multipart_uploads(Bucket=self.bucket, Prefix=prefix).get("Uploads", [])
        parts = [p["Size"] for u in uploads for p in self.s3.list_parts(Bucket=self.bucket, Key=u["Key"], UploadId=u["UploadId"]).get("Parts", [])]
        return Kept(len(live), sum(live), len(old), len(markers), sum(old) + sum(parts))

    def _versions(self, prefix: str) -> tuple[list[Any], list[Any]]:
        pages = list(self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix))
        return [v for p in pages for v in p.get("Versions", [])], [m for p in pages for m in p.get("DeleteMarkers", [])]

    def sizes(self, prefix: str, suffix: str) -> list[int]:
        """The sizes of the objects that a reader sees."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [o["Size"] for p in pages for o in p.get("Contents", []) if o["Key"].endswith(suffix)]

    def erase(self, prefix: str) -> None:
        """Remove every version under a prefix, so that later runs find the disk as the first one did."""
        versions, markers = self._versions(prefix)
        every = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in versions + markers]
        for i in range(0, len(every), 1000):
            self.s3.delete_objects(Bucket=self.bucket, Delete={"Objects": every[i : i + 1000], "Quiet": True})

    def close(self) -> None:
        """End it."""
        end(self.process.pid)


@contextlib.contextmanager
def minio_on_loopback(lake: Lake, say: Any, *, durable: bool | None = None) -> Iterator[MinioOnLoopback]:
    """The MinIO that the lake declares (its program, region and, unless said otherwise, durability), for as long as the block lasts."""
    program, _ = Binaries(say).fetch(lake.minio_binary.source, os.uname().machine)
    with tempfile.TemporaryDirectory(prefix="homelake-bench-") as folder:
        lasting = lake.spec.minio.durable_writes if durable is None else durable
        server = MinioOnLoopback(program, Path(folder), lake.spec.minio.region, durable=lasting)
        try:
            yield server
        finally:
            server.close()
