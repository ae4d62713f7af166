"""The lake as declared: its resources, in the order in which they are made."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.lake.policy import grants, policy_document
from include.lake.resource import LATER, Resource
from include.lake.resources.account import Account, AccountState
from include.lake.resources.binary import Binary, BinaryState, Source
from include.lake.resources.bucket import Bucket, BucketState, Expiry, Retention
from include.lake.resources.filesystem import Filesystem, FilesystemState, filesystem_uuid
from include.lake.resources.keypair import KeyPair, KeyPairState
from include.lake.resources.mount import Mount, MountState
from include.lake.resources.namespace import Namespace, NamespaceState
from include.lake.resources.policy import Policy, PolicyState
from include.lake.resources.service import Service, ServiceState, minio_environment, minio_unit
from include.lake.resources.service_account import DRIVER_RULES, ServiceAccount, ServiceAccountState
from include.lake.resources.stream import Stream, StreamState
from include.lake.resources.topic import Topic, topic_state
from include.lake.resources.user import User, UserState
from include.lake.resources.vm_disk import VmDisk, VmDiskState
from include.lake.secret import SecretRef
from include.lake.spark import Where
from include.lake.spec import LAKE_FILE, LakeSpec, read_spec
from include.lake.spec.store import Bucket as BucketSpec

PROGRAM, ENVIRONMENT_FILE, SERVICE = "/usr/local/bin/minio", "/etc/default/minio", "minio"
ROOT = SecretRef("minio_admin", "login:password")  # root's credentials
AnyResource = Resource[Any, Any]


@dataclass(frozen=True)
class Lake:
    """A declared lake, resource by resource."""

    spec: LakeSpec
    vm_disk: VmDisk
    filesystem: Filesystem
    mount: Mount
    account: Account
    minio_binary: Binary
    minio_service: Service
    buckets: tuple[Bucket, ...]
    policies: tuple[Policy, ...]
    users: tuple[User, ...]
    namespace: Namespace
    service_account: ServiceAccount
    key_pairs: tuple[KeyPair, ...]
    topics: tuple[Topic, ...]
    stream: Stream | None  # not among `resources()`: a lake is whole also while no stream runs

    @property
    def key_pair(self) -> KeyPair:
        """The pair of the Spark jobs."""
        return self.key_pairs[0]

    @property
    def where(self) -> Where:
        """Where a Spark job runs, and with which keys."""
        return _where(self.spec)

    @property
    def iam(self) -> tuple[AnyResource, ...]:
        """Each policy followed by its user."""
        return tuple(r for pair in zip(self.policies, self.users, strict=True) for r in pair)

    @property
    def probe_prefix(self) -> str:
        """Below which prefix of the jobs' bucket the jobs' user may write a probe; `""` when it is the whole bucket."""
        return self.prefix_in(self.spec.spark.bucket)

    def prefix_in(self, bucket: str) -> str:
        """Below which prefix of a bucket the jobs' user may work; `""` when it is the whole bucket, or none of it."""
        user = next(u for u in self.spec.users if u.name == self.spec.kubernetes.secret.user)
        return min(user.scopes(bucket), key=len, default="")

    def keeps(self, bucket: str) -> bool:
        """Whether a bucket keeps all that is written to it, a probe included: it has a default retention."""
        return any(b.name == bucket and b.retention for b in self.spec.buckets)

    def resources(self) -> tuple[AnyResource, ...]:
        """All of them, each after those it needs."""
        return (self.vm_disk, self.filesystem, self.mount, self.account, self.minio_binary, self.minio_service,
                *self.buckets, *self.iam, self.namespace, self.service_account, *self.key_pairs, *self.topics)  # fmt: skip


def load_lake(path: Path | None = None) -> Lake:
    """Read a declaration and lay out its resources. Reads that one file, and nothing else. Raises SpecError.

    Without a path it is the one that HOMELAKE_FILE names, else include/lake.yaml.
    """
    return build_lake(read_spec(path or Path(os.environ.get("HOMELAKE_FILE") or LAKE_FILE)))


def build_lake(spec: LakeSpec) -> Lake:
    """Lay out the resources of a declaration."""
    vm_disk, filesystem, mount, account = _storage(spec)
    binary = Binary("minio", Source(**spec.minio.binary.model_dump()), BinaryState(LATER))
    service = _service(spec, mount.id, account.id, binary.id)
    documents = {u.name: policy_document(u.role, u.buckets, probe=True) for u in spec.users}
    k8s = spec.kubernetes
    return Lake(
        spec, vm_disk, filesystem, mount, account, binary, service,
        buckets=tuple(Bucket(b.name, service.id, _bucket_state(b)) for b in spec.buckets),
        policies=tuple(Policy(n, service.id, d, PolicyState(grants(d))) for n, d in documents.items()),
        users=tuple(User(n, f"policy/{n}", UserState(enabled=True, policies=frozenset({n})), service.id) for n in documents),
        namespace=Namespace(k8s.namespace, NamespaceState()),
        service_account=ServiceAccount(k8s.namespace, k8s.service_account, ServiceAccountState(exists=True, rules=DRIVER_RULES, bound=True)),
        key_pairs=tuple(_key_pairs(spec)),
        topics=tuple(_topics(spec)),
        stream=_stream(spec),
    )  # fmt: skip


def _storage(spec: LakeSpec) -> tuple[VmDisk, Filesystem, Mount, Account]:
    disk = spec.vm.disk
    vm_disk = VmDisk(spec.vm.node, spec.vm.vmid, disk.slot, VmDiskState(disk.storage, disk.size, disk.ssd, disk.discard, disk.backup, disk.iothread))
    made, adopted = filesystem_uuid(spec.name, spec.vm.vmid, disk.slot), spec.filesystem.uuid
    uuid = adopted or made
    filesystem = Filesystem(disk.slot, vm_disk.id, FilesystemState(spec.filesystem.type, uuid, None if adopted else spec.name[:16]), "" if adopted else made)
    mount = Mount(spec.filesystem.mount_point, filesystem.id, MountState(uuid, spec.filesystem.type), uuid)
    return vm_disk, filesystem, mount, Account(spec.account, mount.target, mount.id, AccountState())


def _key_pairs(spec: LakeSpec) -> Iterable[KeyPair]:
    """The Spark jobs' pair first, then those of further users that have a secret."""
    k8s, main = spec.kubernetes, spec.kubernetes.secret
    others = [(u.name, u.secret) for u in spec.users if u.secret and u.name != main.user]
    for user, name in [(main.user, main.name), *others]:
        yield KeyPair(user, k8s.namespace, name, (main.access_key, main.secret_key), KeyPairState(None))


def _topics(spec: LakeSpec) -> Iterable[Topic]:
    for topic in spec.kafka.topics if spec.kafka else ():
        kept = {} if topic.retention is None else {"retention.ms": str(round(topic.retention * 1000))}
        yield Topic(topic.name, topic_state(topic.partitions, topic.replication, {**topic.config, **kept}))


def _where(spec: LakeSpec) -> Where:
    k, secret = spec.kubernetes, spec.kubernetes.secret
    return Where(k.namespace, k.service_account, spec.spark.image, secret.name, secret.access_key, secret.secret_key, spec.spark.image_pull_secret)


def _stream(spec: LakeSpec) -> Stream | None:
    return Stream(spec.payments, _where(spec), spec.minio.region, StreamState(None)) if spec.payments else None


def _bucket_state(spec: BucketSpec) -> BucketState:
    retention = Retention(spec.retention.mode, int(spec.retention.period)) if spec.retention else Retention()
    rules = frozenset(Expiry(r.prefix, int(r.noncurrent or 0), r.delete_markers, int(r.expire or 0)) for r in spec.lifecycle)
    return BucketState(spec.object_lock, spec.versioning, spec.quota, retention, rules)


def _service(spec: LakeSpec, *needs: str) -> Service:
    minio, data = spec.minio, spec.filesystem.mount_point
    environment = minio_environment(minio.region, data, minio.port, minio.console_port,
                                    durable=minio.durable_writes, speed=minio.scanner.speed, cycle=minio.scanner.cycle)  # fmt: skip
    unit = minio_unit(spec.account, data, PROGRAM, ENVIRONMENT_FILE, minio.port)
    return Service(SERVICE, spec.account, minio.port, ROOT, needs, ServiceState(unit, environment, None))
