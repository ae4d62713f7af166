"""The contract of Tenant: the object store as a user of the declared policy sees it, and as one who may do everything."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from minio.error import MinioAdminException

from include.adapters.tenant import TenantS3
from include.lake.errors import LakeError
from include.lake.policy import policy_document
from include.lake.proof import Denied, Tenant, prove
from include.lake.resources.bucket import Retention
from tests.contract import minio
from tests.contract.real import Parts
from tests.fakes.tenant import FakeTenant

KEY, PROBES = ".homelake/probe", ("contract-probe", "homelake-probe")


class Fake:
    """A store for each test, with a bucket that a job may use, and one elsewhere."""

    bucket, elsewhere = "datalake", "elsewhere"

    def clear(self) -> None:
        self.stores: list[FakeTenant] = []
        self.keeping = frozenset[str]()

    def keep(self) -> None:
        """From now on the bucket has a default retention."""
        self.keeping = frozenset({self.bucket})

    def close(self) -> None:
        pass

    def tenant(self, *, everything: bool = False) -> Tenant:
        """The store as a user of the declared policy sees it, or as one who may do everything."""
        may = {f"{call} {self.bucket}" for call in ("put", "get", "list", "multipart", "delete")}
        further = {f"set_versioning {self.bucket}", f"make_bucket {self.elsewhere}-new", "put_policy", "list_users", "add_access_key"}
        elsewhere = {f"{call} {self.elsewhere}" for call in ("put", "get", "list", "delete")}
        self.stores.append(FakeTenant(may | further | elsewhere if everything else may, keeping=self.keeping))
        return self.stores[-1]

    def left(self) -> list[Any]:
        """What is in the store, as its root sees it: versions, new buckets, policies and access keys."""
        return [thing for store in self.stores for thing in store.things]


class Real:
    """The lake's MinIO, with two buckets and two users of the suite's own."""

    needs = "with_minio"

    def __init__(self, parts: Parts) -> None:
        self.client, self.s3 = parts.clients.minio, parts.clients.minio.s3()
        self.plain, self.wide = minio.Real(parts), minio.Real(parts)
        for user in (self.plain, self.wide):
            user.clear()
            self.client.make_bucket(user.name, object_lock=True)
            self.client.add_user(user.name)
        self.bucket, self.elsewhere = self.plain.name, self.wide.name
        self.client.put_policy(self.plain.name, policy_document("read-write", (self.bucket,), probe=True))
        self.client.hold(self.plain.name, frozenset({self.plain.name}))
        self.client.hold(self.wide.name, frozenset({"consoleAdmin"}))
        for user in (self.plain, self.wide):
            self.client.put_access_key(user.name, user.pair, new=True)

    def keep(self) -> None:
        self.client.set_retention(self.bucket, Retention("governance", 1))

    def clear(self) -> None:
        self.client.set_retention(self.bucket, Retention())
        for bucket in (self.bucket, self.elsewhere):
            for version in self.s3.list_objects(bucket, recursive=True, include_version=True):
                self.s3.remove_object(bucket, str(version.object_name), version_id=version.version_id)
        if self.s3.bucket_exists(f"{self.elsewhere}-new"):
            self.s3.remove_bucket(f"{self.elsewhere}-new")
        for name in PROBES:
            with suppress(MinioAdminException):
                self.plain.admin.policy_remove(name)

    def close(self) -> None:
        self.plain.clear()
        self.wide.clear()

    def tenant(self, *, everything: bool = False) -> Tenant:
        self.may_add_keys = everything
        return TenantS3(self.client, (self.wide if everything else self.plain).pair)

    def left(self) -> list[Any]:
        found: list[Any] = [v.object_name for b in (self.bucket, self.elsewhere) for v in self.s3.list_objects(b, recursive=True, include_version=True)]
        found += ["bucket"] if self.s3.bucket_exists(f"{self.elsewhere}-new") else []
        found += [name for name in PROBES if self.client.policy(name) is not None]
        if self.may_add_keys:  # an answer that is encrypted: seconds in an emulated VM
            keys = self.plain.admin.list_service_account(self.wide.name)
            found += ["access key"] * (keys.count('"accessKey"') - 1)
        return found


Rig = Fake | Real


def test_a_user_does_what_a_job_needs(rig: Rig) -> None:
    tenant = rig.tenant()
    first, second = tenant.put(rig.bucket, KEY, b"one"), tenant.put(rig.bucket, KEY, b"two")
    assert first and second and first != second
    assert tenant.get(rig.bucket, KEY) == b"two"
    assert tenant.list(rig.bucket, ".homelake/") == [KEY]
    assert tenant.list(rig.bucket, "elsewhere/") == []
    tenant.multipart(rig.bucket, KEY)
    assert tenant.get(rig.bucket, KEY) == b"two"
    tenant.delete(rig.bucket, KEY)
    assert tenant.list(rig.bucket, "") == []
    with pytest.raises(LakeError, match="NoSuchKey"):
        tenant.get(rig.bucket, KEY)
    assert rig.left(), "a delete hides, and removes nothing"
    for _ in range(2):
        tenant.clear()
        assert not rig.left()


def forbidden(rig: Rig, tenant: Tenant) -> list[Callable[[], object]]:
    return [lambda: tenant.put(rig.elsewhere, KEY, b"x"), lambda: tenant.list(rig.elsewhere, ""), lambda: tenant.set_versioning(rig.bucket),
            lambda: tenant.make_bucket(f"{rig.elsewhere}-new"), lambda: tenant.put_policy("contract-probe"), tenant.list_users,
            tenant.add_access_key]  # fmt: skip


def test_it_is_denied_everything_else(rig: Rig) -> None:
    tenant = rig.tenant()
    for call in forbidden(rig, tenant):
        with pytest.raises(Denied):
            call()
    tenant.clear()
    assert not rig.left()


def test_who_may_do_everything_leaves_nothing_either(rig: Rig) -> None:
    tenant = rig.tenant(everything=True)
    for call in forbidden(rig, tenant):
        call()
    assert len(rig.left()) == 4  # the object, the bucket, the policy, the access key
    tenant.clear()
    assert not rig.left()


@pytest.mark.parametrize("everything", [False, True], ids=["declared", "everything"])
def test_the_proof(rig: Rig, everything: bool) -> None:
    checks = list(prove(rig.tenant(everything=everything), rig.bucket, rig.elsewhere, KEY))
    assert [str(c) for c in checks if not c.good] == [str(c) for c in checks if not c.allowed and everything]
    assert len([c for c in checks if not c.allowed]) == 7
    assert not rig.left()


def test_the_proof_where_the_bucket_keeps_what_is_written(rig: Rig) -> None:
    rig.keep()
    checks = list(prove(rig.tenant(), rig.bucket, rig.elsewhere, KEY, keeps=True))
    assert not [str(c) for c in checks if not c.good]
    assert f"upload in parts to {rig.bucket}" in [c.what for c in checks if c.allowed]
    assert not rig.left()
