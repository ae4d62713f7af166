"""MinIO's buckets: versioning, object lock, retention, quota, lifecycle."""

from collections.abc import Iterable
from typing import Any

from minio.commonconfig import COMPLIANCE, DISABLED, ENABLED, GOVERNANCE, Filter
from minio.lifecycleconfig import Expiration, LifecycleConfig, NoncurrentVersionExpiration, Rule
from minio.objectlockconfig import DAYS, YEARS, ObjectLockConfig
from minio.versioningconfig import SUSPENDED, VersioningConfig

from include.adapters.minio.server import Server
from include.lake.resources.bucket import BucketState, Expiry, Retention
from include.lake.units import Size


class Buckets(Server):
    """Buckets, as root."""

    def bucket_names(self) -> list[str]:
        """The names of all buckets: a signed call, so it also shows that the server answers and lets this pair in."""
        return self._try("the buckets", lambda: [b.name for b in self._s3.list_buckets()])

    def bucket(self, name: str) -> BucketState | None:
        """The bucket; None when there is no such bucket."""
        status = self._find(f"bucket {name}", lambda: self._s3.get_bucket_versioning(name).status)
        if status is None and not self._try(f"bucket {name}", lambda: self._s3.bucket_exists(name)):
            return None
        quota = self._read(f"the quota of {name}", lambda: self._admin.bucket_quota_get(name), "quota")
        limit = (quota or {}).get("size") or (quota or {}).get("quota") or 0
        lock = self._find(f"bucket {name}", lambda: self._s3.get_object_lock_config(name), {"ObjectLockConfigurationNotFoundError"})
        rules = self._find(f"the lifecycle of {name}", lambda: self._s3.get_bucket_lifecycle(name), {"NoSuchLifecycleConfiguration"})
        return BucketState(lock is not None, status == ENABLED, Size(limit) if limit else None, _retention(lock),
                           frozenset(_expiry(r) for r in rules.rules) if rules else frozenset())  # fmt: skip

    def make_bucket(self, name: str, *, object_lock: bool) -> None:
        """Make an empty bucket."""
        self._try(f"bucket {name}", lambda: self._s3.make_bucket(name, location=self.region, object_lock=object_lock))

    def set_versioning(self, name: str, *, on: bool) -> None:
        """Switch versioning on, or suspend it."""
        self._try(f"bucket {name}", lambda: self._s3.set_bucket_versioning(name, VersioningConfig(ENABLED if on else SUSPENDED)))

    def set_quota(self, name: str, quota: Size) -> None:
        """Set the hard quota."""
        self._try(f"the quota of {name}", lambda: self._admin.bucket_quota_set(name, int(quota)))

    def set_retention(self, name: str, retention: Retention) -> None:
        """Set the default retention, or take it away."""
        mode = {"governance": GOVERNANCE, "compliance": COMPLIANCE}.get(retention.mode)
        config = ObjectLockConfig(mode, retention.days, DAYS) if mode else ObjectLockConfig(None, None, None)
        self._try(f"the retention of {name}", lambda: self._s3.set_object_lock_config(name, config))

    def set_lifecycle(self, name: str, rules: frozenset[Expiry]) -> None:
        """Make these, and no others, its lifecycle rules."""
        if rules:
            config = LifecycleConfig([_rule(number, rule) for number, rule in enumerate(sorted(rules, key=str), 1)])
            self._try(f"the lifecycle of {name}", lambda: self._s3.set_bucket_lifecycle(name, config))
        else:
            self._try(f"the lifecycle of {name}", lambda: self._s3.delete_bucket_lifecycle(name))

    def text(self, bucket: str, key: str) -> str | None:
        """What an object holds; None when there is no such object, or no such bucket."""

        def read() -> str:
            answer = self._s3.get_object(bucket, key)
            try:
                return bytes(answer.data).decode()
            finally:
                answer.release_conn()

        return self._find(f"{bucket}/{key}", read, {"NoSuchKey", "NoSuchBucket"})

    def capacity(self) -> Size | None:
        """The bytes of the volume the buckets lie on, all drives together."""
        found = self._read("the server's drives", self._admin.info, "servers")
        sizes = [drive.get("totalspace", 0) for server in (found or {}).get("servers") or () for drive in server.get("drives") or ()]
        return Size(sum(sizes)) if any(sizes) else None


def _retention(lock: ObjectLockConfig | None) -> Retention:
    if lock is None or not lock.mode:
        return Retention()
    return Retention(lock.mode.lower(), lock.duration * (365 if lock.duration_unit == YEARS else 1))


def _expiry(rule: Rule) -> Expiry:
    """A rule as it is, with all that Homelake would not have written."""
    old, current, where = rule.noncurrent_version_expiration, rule.expiration, rule.rule_filter
    other = list(_further(rule, where))
    if current and current.date:
        other.append(f"current on {current.date:%F}")
    if old and old.newer_noncurrent_versions:
        other.append(f"but the {old.newer_noncurrent_versions} newest noncurrent")
    return Expiry(where.prefix or "" if where else "", old.noncurrent_days or 0 if old else 0,
                  bool(current and current.expired_object_delete_marker), current.days or 0 if current else 0, ", ".join(other))  # fmt: skip


def _further(rule: Rule, where: Any) -> Iterable[str]:
    if rule.status == DISABLED:
        yield "switched off"
    if where and (where.tag or where.and_operator):
        yield "by tags"
    if rule.transition or rule.noncurrent_version_transition:
        yield "moved to another tier"


def _rule(number: int, rule: Expiry) -> Rule:
    expires = Expiration(days=rule.expire_days or None, expired_object_delete_marker=True if rule.delete_markers else None)
    return Rule(ENABLED, rule_filter=Filter(prefix=rule.prefix), rule_id=f"homelake-{number}",
                expiration=expires if rule.expire_days or rule.delete_markers else None,
                noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=rule.noncurrent_days) if rule.noncurrent_days else None)  # fmt: skip
