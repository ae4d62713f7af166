"""The proof that the lake's user can do what a Spark job needs, and nothing else."""

import uuid
from typing import Any

from include.adapters.clients import Clients
from include.adapters.tenant import TenantS3
from include.lake.errors import LakeError
from include.lake.proof import prove
from include.lake.resources.keypair import KeyPair
from include.operators.base import LakeOperator


class VerifyOperator(LakeOperator):
    """Log in with the key pair of the Kubernetes secret and try both directions. Every trace is removed.

    :param key_pair: the pair to log in with.
    :param bucket: a bucket it may use.
    :param prefix: below which it may, as `raw/`; empty: the whole bucket.
    :param keeps: whether the bucket has a default retention, so that no probe may be written to it.
    """

    def __init__(self, *, key_pair: KeyPair, bucket: str, prefix: str = "", keeps: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.key_pair, self.bucket, self.prefix, self.keeps = key_pair, bucket, prefix, keeps

    def work(self, context: Any, parts: Clients) -> list[str]:
        """Returns what was tried, a line each. In check mode nothing is tried, since the probe is a write."""
        if context["params"].get("check"):
            self.log.info("check mode: no probe is written")
            return []
        pair = self.key_pair.pair(parts.keypair)
        tenant = TenantS3(parts.minio, pair)
        checks = list(prove(tenant, self.bucket, "homelake-elsewhere", f"{self.prefix}.homelake/probe-{uuid.uuid4().hex[:12]}", keeps=self.keeps))
        lines = [str(c) for c in checks]
        self.log.info("as %s:\n%s", self.key_pair.user, "\n".join(lines))
        if wrong := [c for c in checks if not c.good]:
            raise LakeError("verify", f"the rights of {self.key_pair.user}", "; ".join(f"{c.what} was {'allowed' if c.succeeded else 'refused'}" for c in wrong),
                            "Run ./lake plan: its policy may have been changed")  # fmt: skip
        return lines
