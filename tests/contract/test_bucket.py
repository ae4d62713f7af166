"""The contract of BucketClient."""

import pytest

from include.lake.errors import LakeError, Refused
from include.lake.resource import ensure, plan
from include.lake.resources.bucket import Bucket, BucketState, Expiry, Retention
from include.lake.units import Size
from tests.contract.minio import Fake, Real, Rig

__all__ = ["Fake", "Real"]  # for the fixture `rig`
GIB = 2**30


def test_a_bucket_that_is_not_there(rig: Rig) -> None:
    assert rig.client.bucket(rig.name) is None
    rig.client.set_versioning(rig.name, on=True)  # MinIO takes it, and makes nothing of it
    with pytest.raises(LakeError):
        rig.client.set_quota(rig.name, Size(GIB))
    assert rig.client.bucket(rig.name) is None


def test_a_plain_bucket(rig: Rig) -> None:
    rig.client.make_bucket(rig.name, object_lock=False)
    assert rig.client.bucket(rig.name) == BucketState(False, False, None)
    with pytest.raises(LakeError):
        rig.client.make_bucket(rig.name, object_lock=True)
    for on in (True, True, False):
        rig.client.set_versioning(rig.name, on=on)
        assert rig.client.bucket(rig.name) == BucketState(False, on, None)


def test_a_bucket_with_object_lock(rig: Rig) -> None:
    rig.client.make_bucket(rig.name, object_lock=True)
    assert rig.client.bucket(rig.name) == BucketState(True, True, None)
    with pytest.raises(LakeError):
        rig.client.set_versioning(rig.name, on=False)
    with pytest.raises(LakeError):
        rig.client.make_bucket(rig.name, object_lock=True)
    for quota in (Size(GIB), Size(GIB), Size(3 * GIB)):
        rig.client.set_quota(rig.name, quota)
        assert rig.client.bucket(rig.name) == BucketState(True, True, quota)


RULES = frozenset({Expiry(noncurrent_days=30, delete_markers=True), Expiry("raw/", noncurrent_days=7), Expiry("tmp/", expire_days=3)})


def test_retention_is_set_changed_and_taken_away(rig: Rig) -> None:
    rig.client.make_bucket(rig.name, object_lock=True)
    for retention in (Retention("governance", 30), Retention("governance", 30), Retention("compliance", 2), Retention()):
        rig.client.set_retention(rig.name, retention)
        assert rig.client.bucket(rig.name) == BucketState(True, True, None, retention)


def test_a_bucket_without_lock_takes_no_retention(rig: Rig) -> None:
    rig.client.make_bucket(rig.name, object_lock=False)
    with pytest.raises(LakeError):
        rig.client.set_retention(rig.name, Retention("governance", 1))
    assert rig.client.bucket(rig.name) == BucketState(False, False)


@pytest.mark.parametrize("object_lock", [True, False])
def test_lifecycle_is_set_changed_and_taken_away(rig: Rig, object_lock: bool) -> None:
    rig.client.make_bucket(rig.name, object_lock=object_lock)
    for rules in (RULES, RULES, frozenset({Expiry(noncurrent_days=1)}), frozenset()):
        rig.client.set_lifecycle(rig.name, rules)
        assert rig.client.bucket(rig.name) == BucketState(object_lock, object_lock, lifecycle=rules)


def test_an_objects_text(rig: Rig) -> None:
    assert rig.client.text(rig.name, "a/b.json") is None
    rig.client.make_bucket(rig.name, object_lock=False)
    assert rig.client.text(rig.name, "a/b.json") is None
    rig.write_text("a/b.json", '{"für": "1 €"}')
    assert rig.client.text(rig.name, "a/b.json") == '{"für": "1 €"}'


def test_the_volume_says_how_much_it_holds(rig: Rig) -> None:
    capacity = rig.client.capacity()
    assert capacity is not None
    assert 400 * GIB < capacity <= 500 * GIB
    with pytest.raises(Refused, match="the volume holds"):
        ensure(Bucket(rig.name, "service/minio", BucketState(True, True, Size(501 * GIB))), rig.client)
    assert rig.client.bucket(rig.name) is None


@pytest.mark.parametrize(
    ("start", "fields"),
    [
        (None, {"object_lock", "versioning", "quota", "retention", "lifecycle"}),
        (BucketState(True, True, None), {"quota"}),
        (BucketState(True, True, Size(GIB)), {"quota"}),
        (BucketState(True, True, Size(2 * GIB), Retention("compliance", 9), frozenset({Expiry("x/", expire_days=1)})), {"retention", "lifecycle"}),
        (BucketState(True, True, Size(2 * GIB)), set()),
    ],
    ids=["nothing", "no quota", "another quota", "another retention and lifecycle", "as declared"],
)
def test_the_law_holds(rig: Rig, start: BucketState | None, fields: set[str]) -> None:
    resource = Bucket(rig.name, "service/minio", BucketState(True, True, Size(2 * GIB)))
    if start:
        rig.client.make_bucket(rig.name, object_lock=True)
        if start.quota:
            rig.client.set_quota(rig.name, start.quota)
        if start.retention:
            rig.client.set_retention(rig.name, start.retention)
        if start.lifecycle:
            rig.client.set_lifecycle(rig.name, start.lifecycle)
    assert ensure(resource, rig.client).plan.fields() == fields
    todo, state = plan(resource, rig.client)
    assert (todo.changes, state) == ((), resource.desired)


def test_an_existing_bucket_gets_no_lock_and_a_locked_one_keeps_it(rig: Rig) -> None:
    rig.client.make_bucket(rig.name, object_lock=False)
    with pytest.raises(Refused):
        ensure(Bucket(rig.name, "service/minio", BucketState(True, True)), rig.client)
    with pytest.raises(Refused):
        ensure(Bucket(rig.name, "service/minio", BucketState(True, True)), rig.client, force={f"bucket/{rig.name}"})
    assert rig.client.bucket(rig.name) == BucketState(False, False, None)


@pytest.mark.parametrize("lock", ["retention", "legal hold"])
def test_a_bucket_goes_with_every_version_and_not_while_one_is_locked(rig: Rig, lock: str) -> None:
    gone = Bucket(rig.name, "service/minio", None)
    with pytest.raises(LakeError):
        rig.client.locked_object(rig.name)
    rig.client.make_bucket(rig.name, object_lock=True)
    rig.write("free/a b+ü", 2)
    assert rig.client.locked_object(rig.name) is None
    rig.write("locked", 2, lock)
    found = rig.client.locked_object(rig.name)
    assert found is not None
    assert found.startswith(f"locked: {'governance until 2' if lock == 'retention' else lock}")
    with pytest.raises(Refused, match="locked objects"):
        ensure(gone, rig.client, force={gone.id})
    with pytest.raises(LakeError):
        rig.client.remove_bucket(rig.name)
    assert rig.client.bucket(rig.name)
    rig.unlock("locked")
    with pytest.raises(Refused, match="every object and every version"):
        ensure(gone, rig.client)
    assert ensure(gone, rig.client, force={gone.id}).applied
    assert rig.client.bucket(rig.name) is None
    rig.client.remove_bucket(rig.name)  # once more: no error
    assert not ensure(gone, rig.client).plan
