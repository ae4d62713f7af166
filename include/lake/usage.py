"""How full the lake is: what its parts count of themselves, against what they may hold."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from include.lake.errors import LakeError
from include.lake.resources.keypair import KeyPair
from include.lake.units import Size

SAMPLE = 1000  # versions: one answer of a listing, however many there are


@dataclass(frozen=True)
class Counted:
    """What MinIO's scanner last counted in a bucket: `size` in bytes of all versions, `objects` by name (those that a delete marker hides
    too), `versions` with the delete markers.
    """

    size: int
    objects: int
    versions: int
    markers: int


@dataclass(frozen=True)
class Counters:
    """The counters of all buckets, and when they were last written; None: never. Writes since then may be missing."""

    at: datetime | None
    buckets: Mapping[str, Counted]


@dataclass(frozen=True)
class Sample:
    """The first versions of a bucket, by name: how many are noncurrent, and their bytes. `whole`: there are no others."""

    whole: bool
    noncurrent: int
    noncurrent_size: int
    markers: int
    hiding: int  # markers that are the current version of their name


@dataclass(frozen=True)
class Volume:
    """The filesystem of the data: bytes and inodes in use and still to be had, and what uploads that nobody completed keep."""

    used: int
    free: int
    inodes_used: int
    inodes_free: int
    uploads: int
    uploads_size: int
    oldest_upload: datetime | None


@dataclass(frozen=True)
class Noncurrent:
    """The versions that were replaced or deleted and still take room. `size` is None when it is not known; not `exact`: estimated."""

    count: int
    size: int | None
    exact: bool


@dataclass(frozen=True)
class BucketUsage:
    """A bucket: its quota (as MinIO has it), its counters (None: not counted yet), what is not current in it (None: not known)."""

    name: str
    quota: Size | None
    counted: Counted | None
    noncurrent: Noncurrent | None


@dataclass(frozen=True)
class KeyAge:
    """A user's key pair, and when the one in use was put into the Kubernetes secret; None: there is none, or no record of it."""

    name: str
    made: datetime | None


@dataclass(frozen=True)
class Usage:
    """Everything that could be found, and the errors of what could not."""

    counted_at: datetime | None = None
    buckets: tuple[BucketUsage, ...] = ()
    volume: Volume | None = None
    errors: tuple[LakeError, ...] = field(default=(), compare=False)
    keys: tuple[KeyAge, ...] = ()


class UsageStore(Protocol):
    """What is asked of MinIO: nothing that takes longer the more objects there are."""

    def counters(self) -> Counters: ...  # noqa: D102
    def quota(self, bucket: str) -> Size | None: ...  # noqa: D102
    def sample(self, bucket: str, most: int) -> Sample | None: ...  # noqa: D102


class UsageHost(Protocol):
    """What is asked of the VM."""

    def volume(self, mount_point: str) -> Volume: ...  # noqa: D102


class KeyRecords(Protocol):
    """What is asked of Kubernetes."""

    def written(self, namespace: str, name: str, key: str) -> datetime | None: ...  # noqa: D102


def measure(buckets: Iterable[str], mount_point: str, clients: Callable[[str], Any], key_pairs: Iterable[KeyPair] = ()) -> Usage:
    """Ask MinIO and the VM, and Kubernetes where there are key pairs; reads only. What one of them does not tell hides nothing of the others."""
    errors: list[LakeError] = []
    at, found = None, list[BucketUsage]()
    try:
        store: UsageStore = clients("minio")
        counters = store.counters()
        at = counters.at
        for name in buckets:
            found.append(_bucket(name, counters.buckets.get(name), store))
    except LakeError as error:
        errors.append(error)
    volume = None
    try:
        volume = clients("host").volume(mount_point)
    except LakeError as error:
        errors.append(error)
    keys = list[KeyAge]()
    try:
        for pair in key_pairs:
            records: KeyRecords = clients(pair.part)
            keys.append(KeyAge(pair.user, records.written(pair.namespace, pair.name, pair.keys[0])))
    except LakeError as error:
        errors.append(error)
    return Usage(at, tuple(found), volume, tuple(errors), tuple(keys))


def _bucket(name: str, counted: Counted | None, store: UsageStore) -> BucketUsage:
    quota = store.quota(name)
    if counted and counted.versions == counted.objects:  # one version for each name, be it a delete marker: nothing is listed
        return BucketUsage(name, quota, counted, Noncurrent(0, 0, exact=True))
    sample = store.sample(name, SAMPLE)
    return BucketUsage(name, quota, counted, noncurrent(counted, sample) if sample else None)


def noncurrent(counted: Counted | None, sample: Sample) -> Noncurrent | None:
    """What is not current in a bucket: as it is where the sample holds all of it, else the counters' number at the sample's mean size.

    The counters do not tell how many delete markers are current, and so how many names have no current version: the sample's share is taken.
    """
    if sample.whole:
        return Noncurrent(sample.noncurrent, sample.noncurrent_size, exact=True)
    if counted is None:
        return None
    hiding = sample.hiding / sample.markers if sample.markers else 1.0
    count = counted.versions - counted.markers - counted.objects + round(counted.markers * hiding)
    count = min(max(count, sample.noncurrent), counted.versions)
    if count and not sample.noncurrent:
        return Noncurrent(count, None, exact=False)
    size = round(count * sample.noncurrent_size / sample.noncurrent) if count else 0
    return Noncurrent(count, min(size, max(counted.size, sample.noncurrent_size)), exact=False)
