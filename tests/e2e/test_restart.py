"""MinIO restarted under load: what was asked for is either answered or not carried out, so that no client repeats what was done already."""

import threading
import time
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]
RESTARTS, CLIENTS = 3, 6
PREFIX = "test-restart/"


class Client(threading.Thread):
    """Completes one upload after the other, without retries, and keeps the keys of those that got no answer."""

    def __init__(self, site: Site, number: int) -> None:
        super().__init__(daemon=True)
        self.s3, self.number, self.stop = site.s3(), number, threading.Event()
        self.answered, self.unanswered = 0, set[str]()

    def run(self) -> None:
        count = 0
        while not self.stop.is_set():
            count += 1
            key = f"{PREFIX}{self.number}-{count}"
            try:
                parts, upload = self.begin(key)
            except (BotoCoreError, ClientError):
                time.sleep(0.1)  # it is restarting
                continue
            try:
                self.s3.complete_multipart_upload(Bucket="datalake", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
                self.answered += 1
            except (BotoCoreError, ClientError):
                self.unanswered.add(key)

    def begin(self, key: str) -> tuple[list[dict[str, Any]], str]:
        """An upload of one part, and its id."""
        upload = self.s3.create_multipart_upload(Bucket="datalake", Key=key)["UploadId"]
        part = self.s3.upload_part(Bucket="datalake", Key=key, UploadId=upload, PartNumber=1, Body=b"x" * 2000)
        return [{"PartNumber": 1, "ETag": part["ETag"]}], upload


def test_what_got_no_answer_was_not_done(converged: Site) -> None:
    """S3A repeats a commit that got no answer; had it been done, the repeated one finds no upload, and the job fails."""
    clients = [Client(converged, n) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    took = []
    try:
        for _ in range(RESTARTS):
            time.sleep(3)
            began = time.monotonic()
            converged.lab.ssh("sudo systemctl restart minio")
            took.append(time.monotonic() - began)
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(90)
    there = {o["Key"] for page in converged.s3().get_paginator("list_objects_v2").paginate(Bucket="datalake", Prefix=PREFIX) for o in page.get("Contents", [])}
    answered = sum(c.answered for c in clients)
    asked = set[str]().union(*(c.unanswered for c in clients))
    print(f"{answered} answered, {len(asked)} not, of which {len(asked & there)} were done; restarts took {[round(t, 1) for t in took]} s")
    for key in there:
        converged.s3().delete_object(Bucket="datalake", Key=key)
    assert answered > 20 * RESTARTS, "there was no load"
    assert not asked & there
