"""The proof that the lake's user can work, on the real store."""

import time
import uuid
from collections.abc import Callable

from include.adapters.clients import Clients
from include.adapters.tenant import TenantS3
from include.lake.errors import LakeError
from include.lake.lake import Lake
from include.lake.proof import Check, verify

PATIENCE = 240  # seconds, as for the start; MinIO answers before it knows its users and policies, on a busy machine long before


def login(lake: Lake, parts: Clients) -> Callable[[], list[Check]]:
    """Read the key pair of the Spark jobs, and return the proof that its user can do what it must, and nothing else.

    The proof is tried again for PATIENCE seconds; then it raises what was wrong. Every trace of it is removed.
    """
    pair = lake.key_pair.pair(parts.keypair)
    bucket, key = lake.spec.spark.bucket, f"{lake.probe_prefix}.homelake/probe-{uuid.uuid4().hex[:12]}"

    def proof() -> list[Check]:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return verify(TenantS3(parts.minio, pair), bucket, key, keeps=lake.keeps(bucket))
            except LakeError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(1)

    return proof
