"""A MinIO in memory."""

from dataclasses import replace
from typing import Any

from include.lake.resources.bucket import BucketState
from include.lake.resources.keypair import Pair
from include.lake.resources.user import UserState
from include.lake.units import Size
from tests.fakes.base import Fake, writing


class FakeMinio(Fake):
    """Buckets, policies, users and access keys by name."""

    def __init__(self) -> None:
        super().__init__()
        self.buckets: dict[str, BucketState] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.users: dict[str, UserState] = {}
        self.access_keys: dict[str, tuple[str, Pair]] = {}

    def bucket(self, name: str) -> BucketState | None:
        return self.buckets.get(name)

    @writing
    def make_bucket(self, name: str, *, object_lock: bool) -> None:
        assert name not in self.buckets
        self.buckets[name] = BucketState(object_lock, object_lock)

    @writing
    def set_versioning(self, name: str, *, on: bool) -> None:
        assert on or not self.buckets[name].object_lock
        self.buckets[name] = replace(self.buckets[name], versioning=on)

    @writing
    def set_quota(self, name: str, quota: Size) -> None:
        self.buckets[name] = replace(self.buckets[name], quota=quota)

    def policy(self, name: str) -> dict[str, Any] | None:
        return self.policies.get(name)

    @writing
    def put_policy(self, name: str, document: dict[str, Any]) -> None:
        self.policies[name] = document

    def user(self, name: str) -> UserState | None:
        return self.users.get(name)

    @writing
    def add_user(self, name: str) -> None:
        self.users[name] = UserState(enabled=True, policies=frozenset())

    @writing
    def enable_user(self, name: str) -> None:
        self.users[name] = replace(self.users[name], enabled=True)

    @writing
    def hold(self, name: str, policies: frozenset[str]) -> None:
        self.users[name] = replace(self.users[name], policies=policies)

    def owner(self, access_key: str) -> str | None:
        return self.access_keys[access_key][0] if access_key in self.access_keys else None

    def accepts(self, pair: Pair) -> bool:
        return pair.access_key in self.access_keys and self.access_keys[pair.access_key][1] == pair

    @writing
    def put_access_key(self, user: str, pair: Pair, *, new: bool) -> None:
        assert new != (pair.access_key in self.access_keys)
        self.access_keys[pair.access_key] = (user, pair)
