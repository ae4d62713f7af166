"""The law of a resource that is declared absent: from any start that is not refused it ends absent, killed anywhere it goes on, and a second run writes nothing."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.errors import Refused
from include.lake.lake import load_lake
from include.lake.resource import Resource, ensure
from include.lake.resources.account import AccountState
from include.lake.resources.bucket import BucketState
from include.lake.resources.filesystem import MAKING, FilesystemState
from include.lake.resources.keypair import Pair
from include.lake.resources.namespace import NamespaceState
from include.lake.resources.service import ServiceState
from include.lake.resources.service_account import ServiceAccountState
from include.lake.resources.topic import Topic, TopicState
from include.lake.resources.user import UserState
from include.lake.resources.vm_disk import VmDiskState
from include.lake.secret import Secret
from include.lake.units import Size
from tests.fakes.guest import AGPL, FakeGuest
from tests.fakes.kafka import FakeKafka
from tests.fakes.kubernetes import FakeKeyPairs, FakeKubernetes
from tests.fakes.minio import FakeMinio
from tests.fakes.proxmox import FakeProxmox
from tests.law import holds

LAKE = load_lake()
GIB = 2**30
flag = st.booleans()


def absent(resource: Resource[Any, Any]) -> Resource[Any, Any]:
    return replace(resource, desired=None)  # type: ignore[type-var]


def only_by_name(resource: Resource[Any, Any], fake: Any) -> bool:
    """Of a resource that holds data: refused, whatever else is forced, and nothing written; then, by its name, as the law says."""
    with pytest.raises(Refused, match=r"force naming|Homelake did not make"):
        ensure(absent(resource), fake, force={"something/else"})
    assert not fake.writes
    return holds(absent(resource), fake, force={resource.id})


@given(flag, flag, flag)
def test_vm_disk(there: bool, foreign: bool, waits: bool) -> None:
    fake = FakeProxmox()
    if there:
        fake.slots["scsi1"] = VmDiskState("local-lvm", Size(GIB), ssd=True)
        fake.waiting["scsi1"] = {"ssd": False} if waits else {}
    if foreign:
        fake.foreign.add("scsi1")
    if there and not foreign:
        assert only_by_name(LAKE.vm_disk, fake)
    else:
        assert holds(absent(LAKE.vm_disk), fake) is not foreign


OURS = LAKE.filesystem.desired
assert OURS


@given(st.sampled_from(["empty", "ours", "half", "foreign", "partitions", "same type"]))
def test_filesystem(what: str) -> None:
    fake = FakeGuest()
    ours = (OURS.type,)
    fake.disks["scsi1"] = {
        "empty": ((), None), "ours": (ours, OURS), "half": (ours, FilesystemState(OURS.type, OURS.uuid, MAKING)),
        "foreign": (("xfs",), FilesystemState("xfs", "other", "data")), "partitions": (("gpt", "sdb1"), None),
        "same type": (ours, FilesystemState("ext4", "other", OURS.label)),
    }[what]  # fmt: skip
    before = fake.disks["scsi1"]
    if what == "empty":
        assert holds(absent(LAKE.filesystem), fake)
    else:
        accepted = only_by_name(LAKE.filesystem, fake)
        assert accepted is (what in ("ours", "half"))
        assert fake.disks["scsi1"] == before, "the law works on copies"


def test_a_filesystem_that_was_adopted_is_never_erased() -> None:
    fake, adopted = FakeGuest(), replace(LAKE.filesystem, made="")
    fake.disks["scsi1"] = ((OURS.type,), OURS)
    assert not only_by_name(adopted, fake)


@given(st.sampled_from([None, "ours", "old options", "other"]), st.sampled_from([None, "ours", "other"]), flag)
def test_mount(entry: str | None, mounted: str | None, protected: bool) -> None:
    fake, want, target = FakeGuest(), LAKE.mount.desired, LAKE.mount.target
    assert want
    fake.disks["scsi1"] = ((want.fstype,), OURS)
    if entry:
        fake.fstab[target] = ("other-uuid" if entry == "other" else want.uuid, want.fstype, want.options if entry == "ours" else "defaults")
    if mounted:
        fake.mounts[target] = want.uuid if mounted == "ours" else "other-uuid"
    if protected:
        fake.protected.add(target)
    foreign = entry == "other" or (mounted == "other" and not entry)
    assert holds(absent(LAKE.mount), fake) is not foreign


@given(st.none() | st.builds(AccountState, flag, flag, flag), flag)
def test_account(start: AccountState | None, foreign: bool) -> None:
    fake = FakeGuest()
    if start:
        fake.accounts["minio-user"] = start
    if foreign:
        fake.foreign.add("account")
    assert holds(absent(LAKE.account), fake) is (start is None or not foreign)


@given(st.sampled_from([None, "kept", "by hand"]), flag)
def test_binary(installed: str | None, before: bool) -> None:
    fake = FakeGuest()
    if installed:
        fake.links["minio"] = installed
        (fake.by_hand if installed == "by hand" else fake.staged)[installed] = AGPL
    if before:
        fake.staged["before"] = AGPL
    assert holds(absent(LAKE.minio_binary), fake) is (installed != "by hand")


@given(st.none() | st.builds(ServiceState, st.sampled_from([None, "[Unit]\n", LAKE.minio_service.desired.unit]), st.sampled_from([None, ()]),  # type: ignore[union-attr]
                             st.sampled_from([Secret("root:password")]), flag, flag, flag))  # fmt: skip
def test_service(start: ServiceState | None) -> None:
    fake = FakeGuest()
    if start:
        fake.services["minio"] = start
    assert holds(absent(LAKE.minio_service), fake) is (start is None or start.unit not in (None, "[Unit]\n"))


@given(st.integers(0, 3), flag)
def test_bucket(versions: int, locked: bool) -> None:
    fake, bucket = FakeMinio(), LAKE.buckets[0]
    assert holds(absent(bucket), fake)
    fake.buckets["datalake"] = BucketState(object_lock=True, versioning=True)
    fake.versions["datalake"] = [(f"key{n}", 1) for n in range(versions)]
    if locked:
        fake.locked["datalake"] = "key0: legal hold"
        with pytest.raises(Refused, match=r"it holds locked objects \(key0: legal hold\)"):
            ensure(absent(bucket), fake, force={bucket.id})
        assert not fake.writes
    else:
        assert only_by_name(bucket, fake)


@given(flag)
def test_topic(there: bool) -> None:
    fake, topic = FakeKafka(), Topic("payments", TopicState(6))
    if there:
        fake.topics["payments"] = TopicState(3, 1)
        assert only_by_name(topic, fake)
    else:
        assert holds(absent(topic), fake)


@given(flag)
def test_policy(there: bool) -> None:
    fake = FakeMinio()
    if there:
        fake.policies["spark-user"] = {"Statement": []}
    assert holds(absent(LAKE.policies[0]), fake)


@given(st.none() | st.builds(UserState, flag, st.just(frozenset({"spark-user"}))), st.sampled_from([None, "ours", "by hand"]))
def test_user(start: UserState | None, key: str | None) -> None:
    fake = FakeMinio()
    if start:
        fake.users["spark-user"] = start
        if key:
            fake.access_keys["AK1"] = ("spark-user", Pair("AK1", Secret("a-secret-key")))
        if key == "by hand":
            fake.foreign_keys.add("AK1")
    assert holds(absent(LAKE.users[0]), fake) is (start is None or key != "by hand")


@given(flag, st.sets(st.sampled_from(["exists", "rules", "bound"])), st.sets(st.sampled_from(["namespace", "account", "role", "binding"])), flag)
def test_kubernetes(namespace: bool, parts: set[str], foreign: set[str], others: bool) -> None:
    fake, account = FakeKubernetes(), LAKE.service_account
    fake.foreign = foreign
    if namespace:
        fake.namespaces["spark-jobs"] = NamespaceState()
        if others:
            fake.others["spark-jobs"] = ["pod someones"]
    if parts:
        rules = frozenset({"get pods"}) if "rules" in parts else frozenset()
        fake.accounts["spark-jobs", "spark-sa"] = ServiceAccountState("exists" in parts, rules, "bound" in parts)
    there = {"account": "exists" in parts, "role": "rules" in parts, "binding": "bound" in parts}
    assert holds(absent(account), fake) is not any(is_there and kind in foreign for kind, is_there in there.items())
    fake.accounts.clear()
    assert holds(absent(LAKE.namespace), fake) is not (namespace and ("namespace" in foreign or others))


@given(st.sampled_from([None, "empty", "half", "good", "rotating"]), st.sets(st.sampled_from(["ours", "another of ours", "by hand"])), flag)
def test_key_pair(secret: str | None, keys: set[str], foreign: bool) -> None:
    fake: Any = FakeKeyPairs()
    fake.namespaces["spark-jobs"], fake.users["spark-user"] = NamespaceState(), UserState(enabled=True, policies=frozenset())
    values = {"empty": {}, "half": {"access-key": Secret("AKours")}, "good": {"access-key": Secret("AKours"), "secret-key": Secret("a-good-secret")},
              "rotating": {"access-key": Secret("AKours"), "secret-key": Secret("a-good-secret"), "previous-access-key": Secret("AKanother of ours")}}  # fmt: skip
    if secret:
        fake.secrets["spark-jobs", "minio-s3-keys"] = dict(values[secret])
    for key in keys:
        fake.access_keys[f"AK{key}"] = ("spark-user", Pair(f"AK{key}", Secret("a-good-secret")))
    fake.foreign_keys = {"AKby hand"} & set(fake.access_keys)
    fake.foreign = {"secret"} if foreign else set()
    start, untouched = dict(fake.access_keys), copy.deepcopy(fake)
    assert holds(absent(LAKE.key_pair), fake) is (secret is None or not foreign)
    assert fake.access_keys == start, "the law works on copies"
    if secret and not foreign:
        ensure(absent(LAKE.key_pair), fake)
        assert set(fake.access_keys) == fake.foreign_keys, "those that someone else made stay"
    without = replace(LAKE.key_pair, desired=None, store=False)
    assert holds(without, untouched) is (secret is None or not foreign)
