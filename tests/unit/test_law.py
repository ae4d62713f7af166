"""The law of a resource, for every kind, from start states that Hypothesis makes up."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.errors import LakeError, NotConverged, Refused
from include.lake.lake import load_lake
from include.lake.policy import grants
from include.lake.resource import ensure
from include.lake.resources.account import AccountState
from include.lake.resources.bucket import BucketState, Expiry, Retention
from include.lake.resources.filesystem import MAKING, FilesystemState
from include.lake.resources.keypair import Pair
from include.lake.resources.namespace import NamespaceState
from include.lake.resources.service import ServiceState
from include.lake.resources.service_account import ServiceAccountState
from include.lake.resources.stream import ENDED, FAILED, HALTED, INCOMPLETE, LEAVING, RUNNING, StreamState
from include.lake.resources.topic import Setting, Topic, TopicState
from include.lake.resources.user import UserState
from include.lake.resources.vm_disk import VmDiskState
from include.lake.secret import Secret
from include.lake.units import Size
from tests.fakes.declared import streaming
from tests.fakes.guest import AGPL, ELF, FakeGuest
from tests.fakes.kafka import FakeKafka
from tests.fakes.kubernetes import FakeKeyPairs, FakeKubernetes
from tests.fakes.minio import FakeMinio
from tests.fakes.proxmox import FakeProxmox
from tests.fakes.stream import Application, FakeStreams
from tests.law import holds

LAKE = load_lake()
GIB = 2**30
flag = st.booleans()


@given(st.none() | st.builds(VmDiskState, st.sampled_from(["local-lvm", "ceph"]), st.sampled_from([Size(1 * GIB), Size(500 * GIB), Size(900 * GIB)]),
                             flag, flag, flag, flag), flag, st.sampled_from(["virtio-scsi-single", "lsi"]))  # fmt: skip
def test_vm_disk(start: VmDiskState | None, foreign: bool, controller: str) -> None:
    fake = FakeProxmox(controller)
    if start:
        fake.slots["scsi1"] = start
    if foreign:
        fake.foreign.add("scsi1")
    try:
        accepted = holds(LAKE.vm_disk, fake, FakeProxmox.restart)
    except LakeError as error:
        assert "virtio-scsi-single" in str(error)
        assert controller == "lsi"
        return
    shrinks = bool(start and start.size > 500 * GIB)
    assert accepted is not (foreign or shrinks or bool(start and start.storage == "ceph"))


OURS = LAKE.filesystem.desired
assert OURS


@given(st.sampled_from(["empty", "ours", "half", "small", "foreign", "partitions", "same type"]))
def test_filesystem(what: str) -> None:
    fake = FakeGuest()
    ours = (OURS.type,)
    fake.disks["scsi1"] = {
        "empty": ((), None),
        "ours": (ours, OURS),
        "half": (ours, FilesystemState(OURS.type, OURS.uuid, MAKING)),
        "small": (ours, FilesystemState(OURS.type, OURS.uuid, OURS.label, fills_device=False)),
        "foreign": (("xfs",), FilesystemState("xfs", "other", "data")),
        "partitions": (("gpt", "sdb1"), None),
        "same type": (ours, FilesystemState("ext4", "other", OURS.label)),
    }[what]
    before = fake.disks["scsi1"]
    accepted = holds(LAKE.filesystem, fake)
    assert accepted is (what not in ("foreign", "partitions", "same type"))
    if not accepted:
        with pytest.raises(Refused, match="never formats"):
            ensure(LAKE.filesystem, fake, force={LAKE.filesystem.id})
        assert fake.disks["scsi1"] == before


@given(st.sampled_from(["empty", "theirs", "small", "another label", "foreign", "partitions"]))
def test_an_adopted_filesystem(what: str) -> None:
    """One that was made by hand, declared by its UUID: it is taken as it is, whatever its label, and never made."""
    fake, uuid = FakeGuest(), "6f1f2c5e-0a1b-4c2d-8e3f-123456789abc"
    adopted = replace(LAKE.filesystem, desired=FilesystemState("ext4", uuid, None), made="")
    fake.disks["scsi1"] = {
        "empty": ((), None), "theirs": (("ext4",), FilesystemState("ext4", uuid, "")), "small": (("ext4",), FilesystemState("ext4", uuid, "", fills_device=False)),
        "another label": (("ext4",), FilesystemState("ext4", uuid, MAKING[:7])), "foreign": (("ext4",), OURS), "partitions": (("gpt", "sdb1"), None),
    }[what]  # fmt: skip
    assert holds(adopted, fake) is (what in ("theirs", "small", "another label"))
    assert "make_filesystem" not in fake.writes
    if what == "empty":
        with pytest.raises(Refused, match=r"/dev/scsi1 is empty, and filesystem.uuid says that there is a filesystem 6f1f2c5e"):
            ensure(adopted, fake, force={adopted.id})


@given(
    st.sampled_from([None, "ours", "by its device", "by its label", "old options", "other"]),
    st.sampled_from([None, "ours", "other"]),
    flag,
    st.sampled_from([0, 3]),
)
def test_mount(entry: str | None, mounted: str | None, protected: bool, files: int) -> None:
    fake, want, target = FakeGuest(), LAKE.mount.desired, LAKE.mount.target
    assert want
    fake.disks["scsi1"] = ((want.fstype,), OURS)
    if entry:
        source = {"other": "other-uuid", "by its device": "/dev/scsi1", "by its label": f"LABEL={OURS.label}"}.get(entry, want.uuid)
        fake.fstab[target] = (source, want.fstype, want.options if entry == "ours" else "defaults")
    if mounted:
        fake.mounts[target] = want.uuid if mounted == "ours" else "other-uuid"
    if protected:
        fake.protected.add(target)
    fake.bare[target] = files
    assert holds(LAKE.mount, fake) is (entry != "other" and mounted != "other" and not files)


@given(st.none() | st.builds(AccountState, flag, flag, flag), st.sampled_from([None, "minio-user", "root"]))
def test_account(start: AccountState | None, content: str | None) -> None:
    fake = FakeGuest()
    if content:
        fake.content[LAKE.account.data_dir] = content
    fake.mounts[LAKE.account.data_dir] = "ours"
    if start:
        fake.accounts["minio-user"] = start
        fake.owners[LAKE.account.data_dir] = "minio-user" if start.owns_data else "root"
    assert holds(LAKE.account, fake) is (content != "root" and (start is None or start.system))


ARM = ELF[:18] + b"\xb7" + ELF[19:]
ENTERPRISE = "minio version RELEASE.2025\nLicense: MinIO AIStor License\n"


@given(st.sampled_from([None, "old", "new"]), flag, flag, st.sampled_from(["good", "arm64", "script", "enterprise", "other"]))
def test_binary(installed: str | None, built: bool, staged: bool, kind: str) -> None:
    fake, source = FakeGuest(), LAKE.minio_binary.source
    head = {"arm64": ARM, "script": b"#!/bin/sh"}.get(kind, ELF)
    said = {"enterprise": ENTERPRISE, "other": "nginx/1.2"}.get(kind, AGPL)
    fake.sources[str(source)] = ("new", head, said)
    if built:
        fake.built.add("new")
    if installed:
        fake.links["minio"] = installed
        fake.staged[installed] = said
    if staged:
        fake.staged["new"] = said
    if kind == "good" or installed == "new":  # what is in place already passed the checks, or never runs them again
        assert kind in ("arm64", "script") or holds(LAKE.minio_binary, fake)
        return
    with pytest.raises(
        Refused, match={"arm64": "Exec format error", "script": "not a Linux program", "enterprise": "Enterprise", "other": "call itself MinIO"}[kind]
    ):
        ensure(LAKE.minio_binary, fake)
    assert fake.links.get("minio") == installed, "what was in place is no longer there"


@given(st.none() | st.builds(ServiceState, st.sampled_from([None, "old", LAKE.minio_service.desired.unit]), st.sampled_from([None, (), LAKE.minio_service.desired.environment]),  # type: ignore[union-attr]
                             st.sampled_from([Secret("root:password"), Secret("root:old")]), flag, flag, flag, flag))  # fmt: skip
def test_service(start: ServiceState | None) -> None:
    fake = guest_with_a_program()
    if start:
        fake.services["minio"] = start

    def in_force(fake: FakeGuest) -> None:
        unit = fake.services["minio"].unit
        assert fake.under.get("minio", unit) == unit, "it runs under the unit before"

    assert holds(LAKE.minio_service, fake, in_force)
    assert holds(LAKE.minio_service, fake, in_force, meanwhile=FakeGuest.daemon_reload)


@pytest.mark.parametrize(
    ("before", "danger"), [("/mnt/minio_data", False), ("/mnt/minio_data/", False), ('"/mnt/minio_data"', False), ("/mnt/minio_data/store", True)]
)
@pytest.mark.parametrize("said", ["settings", "unit", "unit's settings", "both"])
@pytest.mark.parametrize("closed", [True, False])
def test_a_service_that_would_leave_its_data_is_changed_only_by_name(before: str, danger: bool, said: str, closed: bool) -> None:
    """What is stored in another directory would not be seen any more; other differences in the settings are none of that."""
    unit, environment = "[Unit]\n", ('MINIO_OPTS="--address :9000"',)
    if said in ("unit", "both"):
        unit = f"[Service]\nExecStart=/usr/local/bin/minio server --certs-dir /etc/certs \\\n $MINIO_OPTS {before}\n"
    elif said == "unit's settings":
        unit = f"[Service]\nEnvironment=MINIO_BROWSER=off MINIO_VOLUMES={before}\nExecStart=/usr/local/bin/minio server $MINIO_VOLUMES\n"
    if said in ("settings", "both"):
        environment = ("MINIO_VOLUMES=/overridden", f"MINIO_VOLUMES={before}", *environment)
    fake = guest_with_a_program()
    fake.services["minio"] = ServiceState(unit, environment, Secret("root:other"), closed=closed)
    if danger:
        with pytest.raises(Refused, match=r"it leaves what is stored in /mnt/minio_data/store \(it would serve /mnt/minio_data\)\. If"):
            ensure(LAKE.minio_service, fake)
        assert not fake.writes
    assert holds(LAKE.minio_service, fake, force={LAKE.minio_service.id} if danger else ())


@pytest.mark.parametrize("wrong", [":", "root:", "root:short", "root:with space", "root:back\\slash"])
@pytest.mark.parametrize("start", [None, ServiceState("unit", (), Secret("root:password"))])
def test_a_service_gets_no_credentials_that_it_could_not_run_with(wrong: str, start: ServiceState | None) -> None:
    """Without any MinIO would take its own, which everybody knows; and what runs would be overwritten with what does not."""
    fake = guest_with_a_program()
    fake.credentials = Secret(wrong)
    if start:
        fake.services["minio"] = start
    with pytest.raises(Refused, match="Unable to use the login and password of the connection 'minio_admin': MinIO wants a user of 3 characters") as caught:
        ensure(LAKE.minio_service, fake, force={LAKE.minio_service.id})
    assert not fake.writes
    assert len(wrong) < 6 or wrong.partition(":")[2] not in str(caught.value)
    assert not ensure(replace(LAKE.minio_service, desired=None), guest_with_a_program()).plan, "a removal asks for none"


def guest_with_a_program() -> FakeGuest:
    fake = FakeGuest()
    fake.mounts[LAKE.mount.target] = "ours"
    fake.accounts[LAKE.account.name] = AccountState()
    fake.links["minio"] = "new"
    return fake


def test_a_service_that_loops_is_told_with_its_journal() -> None:
    fake = guest_with_a_program()
    fake.looping = "FATAL: a valid license is required"
    with pytest.raises(LakeError, match="a valid license is required"):
        ensure(LAKE.minio_service, fake)


retentions = st.sampled_from([Retention(), Retention("governance", 30), Retention("compliance", 365)])
rules = st.frozensets(st.sampled_from([Expiry(noncurrent_days=30, delete_markers=True), Expiry("raw/", expire_days=7), Expiry(other="switched off")]))
governed = BucketState(True, True, Size(50 * GIB), Retention("governance", 30), frozenset({Expiry("raw/", noncurrent_days=9)}))


@given(st.none() | st.builds(BucketState, flag, flag, st.sampled_from([None, Size(1), Size(100 * GIB)]), retentions, rules),
       st.sampled_from([LAKE.buckets[0].desired, governed, BucketState(False, False, Size(50 * GIB))]), st.sampled_from([Size(500 * GIB), Size(60 * GIB)]))  # fmt: skip
def test_bucket(start: BucketState | None, wanted: BucketState, volume: Size) -> None:
    if start and ((start.object_lock and not start.versioning) or (start.retention and start.retention.days and not start.object_lock)):
        return  # MinIO has no such bucket
    fake = FakeMinio()
    fake.volume = volume
    if start:
        fake.buckets["datalake"] = start
    promises_too_much = wanted.quota > volume and (start is None or start.quota != wanted.quota)
    lock_fits = start is None or start.object_lock == wanted.object_lock
    suspends = bool(start and start.versioning and not wanted.versioning)
    assert holds(replace(LAKE.buckets[0], desired=wanted), fake) is (not promises_too_much and lock_fits and not suspends)


@given(st.sampled_from([None, "same", "same in another order", "more", "other"]))
def test_policy(what: str | None) -> None:
    fake, policy = FakeMinio(), LAKE.policies[0]
    document = policy.document
    turned = {"Statement": [{k: v[::-1] if isinstance(v, list) else v for k, v in s.items()} for s in document["Statement"][::-1]]}
    more = {"Statement": [*document["Statement"], {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::*"}]}
    start = {"same": document, "same in another order": turned, "more": more, "other": {"Statement": [{"Effect": "Deny", "Action": "s3:*"}]}}.get(what or "")
    if start is not None:
        fake.policies["spark-user"] = start
    assert holds(policy, fake)
    assert bool(ensure(policy, fake).plan) is (what in (None, "more", "other"))
    assert grants(fake.policies["spark-user"]) == grants(document)


@given(st.none() | st.builds(UserState, flag, st.frozensets(st.sampled_from(["spark-user", "consoleAdmin"]))))
def test_user(start: UserState | None) -> None:
    fake = FakeMinio()
    fake.policies["spark-user"] = LAKE.policies[0].document
    if start:
        fake.users["spark-user"] = start
    assert holds(LAKE.users[0], fake)


@given(flag, st.sets(st.sampled_from(["exists", "rules", "more rules", "bound"])))
def test_kubernetes(namespace: bool, parts: set[str]) -> None:
    fake, account = FakeKubernetes(), LAKE.service_account
    if namespace:
        fake.namespaces["spark-jobs"] = NamespaceState()
    if parts:
        assert account.desired
        rules = (account.desired.rules if "rules" in parts else frozenset()) | ({"* *"} if "more rules" in parts else frozenset())
        fake.accounts["spark-jobs", "spark-sa"] = ServiceAccountState("exists" in parts, rules, "bound" in parts)
    assert holds(LAKE.namespace, fake)
    fake.namespaces["spark-jobs"] = NamespaceState()
    assert holds(account, fake)


def test_a_namespace_that_is_being_deleted_is_told() -> None:
    fake = FakeKubernetes()
    fake.namespaces["spark-jobs"] = NamespaceState(active=False)
    with pytest.raises(LakeError, match="being deleted"):
        ensure(LAKE.namespace, fake)


GOOD, OTHER = Pair("AKGOOD", Secret("a-good-secret")), Pair("AKGOOD", Secret("another-secret"))


@given(
    st.sampled_from([None, "empty", "half", "good", "malformed", "their own"]),
    st.sampled_from([None, "good", "other secret", "switched off", "someone else's"]),
    st.sampled_from([None, GOOD, Pair("AKOWN", Secret("the-owners-own")), Pair("spark-user", Secret("their-password"))]),
    st.sampled_from([None, "their-password", "another-password"]),
)
def test_key_pair(secret: str | None, key: str | None, own: Pair | None, password: str | None) -> None:
    fake: Any = FakeKeyPairs()
    fake.owners_pair = own
    fake.namespaces["spark-jobs"], fake.users["spark-user"] = NamespaceState(), UserState(enabled=True, policies=frozenset())
    values = {"empty": {}, "half": {"access-key": Secret("AKGOOD")}, "good": {"access-key": Secret("AKGOOD"), "secret-key": GOOD.secret_key},
              "their own": {"access-key": Secret("spark-user"), "secret-key": Secret("their-password")},
              "malformed": {"access-key": Secret("x"), "secret-key": Secret("y"), "third": Secret("z")}}  # fmt: skip
    if secret:
        fake.secrets["spark-jobs", "minio-s3-keys"] = dict(values[secret])
    if key:
        fake.access_keys["AKGOOD"] = ("root" if key == "someone else's" else "spark-user", OTHER if key == "other secret" else GOOD)
        fake.disabled = {"AKGOOD"} if key == "switched off" else set()
    if password:
        fake.passwords["spark-user"] = Secret(password)
    uses_good = own is GOOD or (own is None and secret == "good")
    wrong = bool(own and own.access_key == "spark-user" and password != "their-password")
    assert holds(LAKE.key_pair, fake) is not ((uses_good and key == "someone else's") or wrong)
    if secret == "their own" and password == "their-password" and own is None:
        assert not ensure(LAKE.key_pair, fake).plan, "a user's own name and password are a pair as well"


limits = st.sampled_from(["-1", "1000", "604800000", "900000000"])
configs = st.dictionaries(st.sampled_from(["retention.ms", "retention.bytes"]), limits).flatmap(
    lambda c: st.sampled_from([c, c | {"cleanup.policy": "compact"}, c | {"cleanup.policy": "compact,delete"}, c | {"cleanup.policy": "delete"}])
)


def state(partitions: int, replication: int | None, config: dict[str, str]) -> TopicState:
    return TopicState(partitions, replication, frozenset(Setting(n, v) for n, v in config.items()))


@given(
    st.none() | st.builds(state, st.integers(1, 4), st.sampled_from([1, 3]), configs),
    st.builds(state, st.integers(1, 4), st.sampled_from([None, 1]), configs),
    flag,
)
def test_topic(start: TopicState | None, wanted: TopicState, forced: bool) -> None:
    fake, topic = FakeKafka(), Topic("payments", wanted)
    if start:
        fake.topics["payments"] = start
    found = fake.topic("payments", [s.name for s in wanted.config])
    impossible = bool(start and (wanted.partitions < start.partitions or (wanted.replication and wanted.replication != start.replication)))
    loses = False
    if start and found:
        before, after = ({s.name: s.value for s in c.config} for c in (found, wanted))
        limits = [tuple(int(c[n]) % 2**64 for c in (before, after)) for n in before if n.startswith("retention")]  # -1 is the highest
        policies = [set(c.get("cleanup.policy", "").split(",")) for c in (before, after)]
        loses = wanted.partitions > start.partitions or any(new < old for old, new in limits) or bool(policies[1] - policies[0])
    assert holds(topic, fake, force={topic.id} if forced else ()) is (not impossible and (forced or not loses))
    if not impossible:
        ensure(topic, fake, force={topic.id})
        untouched = {s for s in (start.config if start else ()) if s.name not in {w.name for w in wanted.config}}
        assert untouched <= fake.topics["payments"].config


STREAM = streaming().stream
OLD, NEW = (frozenset({("client.properties", Secret(text))}) for text in ("old", "new"))


@given(
    st.sampled_from([None, "ours", "changed", "somebody's"]),
    st.sampled_from([RUNNING, HALTED, FAILED, ENDED, INCOMPLETE, LEAVING]),
    st.sampled_from([None, OLD, NEW]),
    st.sampled_from([frozenset[tuple[str, Secret]](), NEW]),
    flag,
    flag,
)
def test_stream(
    start: str | None, phase: str, held: frozenset[tuple[str, Secret]] | None, login: frozenset[tuple[str, Secret]], forced: bool, wanted: bool
) -> None:
    assert STREAM
    fake, stream = FakeStreams(), STREAM if wanted else replace(STREAM, desired=None)
    fake.kafka, fake.needs_login = held, login
    ours = STREAM.want(fake)
    assert ours
    digest = {"ours": str(ours.digest), "changed": "another", "somebody's": ""}.get(start or "")
    if digest is not None:
        fake.application = Application(digest, phase)
    theirs = start == "somebody's"
    accepted = holds(stream, fake, force={stream.id} if forced else ())
    assert accepted is (not theirs or (wanted and forced))
    if accepted:
        ensure(stream, fake, force={stream.id})
        assert fake.cut == 0, "no batch is cut off"
        assert fake.stream("") == (StreamState(ours.digest, RUNNING, login or held) if wanted else None)
        assert (len(fake.started) == 0) is (not wanted or (start == "ours" and phase == RUNNING and (not login or held == login)))


def test_a_part_that_something_else_keeps_changing_is_told() -> None:
    class Stubborn(FakeMinio):
        def set_quota(self, name: str, quota: Size) -> None:
            super().set_quota(name, Size(7))

    fake = Stubborn()
    fake.buckets["datalake"] = BucketState(object_lock=True, versioning=True)
    with pytest.raises(NotConverged, match="quota"):
        ensure(LAKE.buckets[0], fake)


def test_suspending_versioning_needs_the_resource_by_name() -> None:
    fake, bucket = FakeMinio(), replace(LAKE.buckets[0], desired=BucketState(object_lock=False, versioning=False))
    fake.buckets["datalake"] = BucketState(object_lock=False, versioning=True)
    with pytest.raises(Refused, match="force naming bucket/datalake"):
        ensure(bucket, fake)
    assert not fake.writes
    assert ensure(bucket, fake, force={"bucket/datalake"}).applied
