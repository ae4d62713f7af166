"""A MinIO in memory."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from include.lake.errors import LakeError
from include.lake.resources.bucket import BucketState, Expiry, Retention
from include.lake.resources.keypair import Pair
from include.lake.resources.user import UserState
from include.lake.secret import Secret
from include.lake.units import Size
from include.lake.usage import Counted, Counters, Sample
from tests.fakes.base import Fake, writing


class FakeMinio(Fake):
    """Buckets, policies, users and access keys by name. `disabled` are access keys that were switched off."""

    def __init__(self) -> None:
        super().__init__()
        self.buckets: dict[str, BucketState] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.users: dict[str, UserState] = {}
        self.access_keys: dict[str, tuple[str, Pair]] = {}
        self.disabled: set[str] = set()
        self.passwords: dict[str, Secret] = {}  # users' own, as far as someone set them by hand
        self.foreign_keys: set[str] = set()  # access keys that someone else made
        self.locked: dict[str, str] = {}  # by bucket: a locked object, and why
        self.volume = Size(500 << 30)
        self.texts: dict[tuple[str, str], str] = {}  # by bucket and key
        self.versions: dict[str, list[tuple[str, int | None]]] = {}  # by bucket: key and bytes, None for a delete marker; the newest last
        self.scanned = Counters(None, {})

    def bucket(self, name: str) -> BucketState | None:
        return self.buckets.get(name)

    @writing
    def make_bucket(self, name: str, *, object_lock: bool) -> None:
        if name in self.buckets:
            raise LakeError("use", f"bucket {name} in MinIO", "you already own it")
        self.buckets[name] = BucketState(object_lock, object_lock)

    @writing
    def set_versioning(self, name: str, *, on: bool) -> None:
        bucket = self.buckets.get(name)
        if not bucket:
            return  # MinIO says nothing, and makes nothing
        if bucket.object_lock and not on:
            raise LakeError("use", f"bucket {name} in MinIO", "with object lock versioning cannot be suspended")
        self.buckets[name] = replace(bucket, versioning=on)

    @writing
    def set_quota(self, name: str, quota: Size) -> None:
        self.buckets[name] = replace(_known(self.buckets, name, "bucket"), quota=quota)

    @writing
    def set_retention(self, name: str, retention: Retention) -> None:
        bucket = _known(self.buckets, name, "bucket")
        if not bucket.object_lock:
            raise LakeError("use", f"the retention of {name} in MinIO", "it has no object lock")
        self.buckets[name] = replace(bucket, retention=retention)

    @writing
    def set_lifecycle(self, name: str, rules: frozenset[Expiry]) -> None:
        self.buckets[name] = replace(_known(self.buckets, name, "bucket"), lifecycle=rules)

    def scan(self) -> None:
        """A round of the scanner."""
        counted = {}
        for bucket in self.buckets:
            rows = self.versions.get(bucket, [])
            sizes = [size for _, size in rows if size is not None]
            counted[bucket] = Counted(sum(sizes), len({key for key, _ in rows}), len(rows), len(rows) - len(sizes))
        self.scanned = Counters(datetime.now(UTC), counted)

    def counters(self) -> Counters:
        return self.scanned

    def quota(self, bucket: str) -> Size | None:
        return self.buckets[bucket].quota if bucket in self.buckets else None

    def sample(self, bucket: str, most: int) -> Sample | None:
        if bucket not in self.buckets:
            return None
        rows = self.versions.get(bucket, [])
        newest = {key: number for number, (key, _) in enumerate(rows)}
        found = sorted(((key, -number, size) for number, (key, size) in enumerate(rows)))[:most]
        old = [size for key, number, size in found if size is not None and newest[key] != -number]
        markers = [newest[key] == -number for key, number, size in found if size is None]
        return Sample(len(found) < most, len(old), sum(old), len(markers), sum(markers))

    def text(self, bucket: str, key: str) -> str | None:
        return self.texts.get((bucket, key)) if bucket in self.buckets else None

    def capacity(self) -> Size | None:
        return self.volume

    def bucket_names(self) -> list[str]:
        return sorted(self.buckets)

    def locked_object(self, name: str) -> str | None:
        _known(self.buckets, name, "bucket")
        return self.locked.get(name)

    @writing
    def remove_bucket(self, name: str) -> None:
        if name in self.locked:
            raise LakeError("empty", f"bucket/{name}", f"{self.locked[name]} is locked")
        self.buckets.pop(name, None)
        self.versions.pop(name, None)

    def half_remove_bucket(self, name: str) -> None:
        self.versions[name] = self.versions.get(name, [])[1:]

    @writing
    def remove_policy(self, name: str) -> None:
        if any(name in u.policies for u in self.users.values()):
            raise LakeError("use", f"policy {name} in MinIO", "a user holds it")
        self.policies.pop(name, None)

    @writing
    def remove_user(self, name: str) -> None:
        self.users.pop(name, None)
        for key in [k for k, (owner, _) in self.access_keys.items() if owner == name]:
            del self.access_keys[key]

    def policy(self, name: str) -> dict[str, Any] | None:
        return self.policies.get(name)

    @writing
    def put_policy(self, name: str, document: dict[str, Any]) -> None:
        if not document.get("Version") or not document.get("Statement"):
            raise LakeError("use", f"policy {name} in MinIO", "it is malformed")
        self.policies[name] = document

    def user(self, name: str) -> UserState | None:
        return self.users.get(name)

    @writing
    def add_user(self, name: str) -> None:
        self.users[name] = UserState(enabled=True, policies=self.users[name].policies if name in self.users else frozenset())

    @writing
    def enable_user(self, name: str) -> None:
        self.users[name] = replace(_known(self.users, name, "user"), enabled=True)

    @writing
    def hold(self, name: str, policies: frozenset[str]) -> None:
        user = _known(self.users, name, "user")
        for policy in policies:
            _known(self.policies, policy, "policy")
        self.users[name] = replace(user, policies=policies)

    def owner(self, access_key: str) -> str | None:
        if access_key in self.users:
            raise LakeError("use", "an access key in MinIO", "it is the name of a user")
        return self.access_keys[access_key][0] if access_key in self.access_keys else None

    def accepts(self, pair: Pair) -> bool:
        if pair.access_key in self.users:
            return self.users[pair.access_key].enabled and self.passwords.get(pair.access_key) == pair.secret_key
        return pair.access_key not in self.disabled and pair.access_key in self.access_keys and self.access_keys[pair.access_key][1] == pair

    @writing
    def put_access_key(self, user: str, pair: Pair, *, new: bool) -> None:
        if not new:
            _known(self.access_keys, pair.access_key, "access key")
        elif pair.access_key in self.access_keys or pair.access_key in self.users or not pair.well_formed():
            raise LakeError("use", "an access key in MinIO", "it is taken, or no access key")
        _known(self.users, user, "user")
        self.access_keys[pair.access_key] = (user, pair)
        self.disabled.discard(pair.access_key)

    def keys_of(self, user: str) -> dict[str, str]:
        return {k: "by hand" if k in self.foreign_keys else "homelake" for k, (owner, _) in self.access_keys.items() if owner == user}

    @writing
    def remove_access_key(self, access_key: str) -> None:
        self.access_keys.pop(access_key, None)


def _known(things: dict[str, Any], name: str, kind: str) -> Any:
    if name not in things:
        raise LakeError("use", f"{kind} {name} in MinIO", "there is none")
    return things[name]
