"""A bucket and its governance: versioning, object lock, retention, quota, lifecycle (requirements B5, B6)."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from include.lake.errors import Refused
from include.lake.resource import WHOLE, Change, Plan, Resource
from include.lake.units import Size


@dataclass(frozen=True)
class Retention:
    """How long new objects of a bucket are kept from deletion. Zero days: not at all."""

    mode: str = ""  # governance or compliance
    days: int = 0

    def __str__(self) -> str:
        return f"{self.mode} {self.days} d" if self.days else "none"


@dataclass(frozen=True)
class Expiry:
    """A lifecycle rule. `other` is what it says beyond what Homelake declares: such a rule is never as declared."""

    prefix: str = ""
    noncurrent_days: int = 0
    delete_markers: bool = False
    expire_days: int = 0
    other: str = ""

    def __str__(self) -> str:
        said = [f"noncurrent after {self.noncurrent_days} d"] if self.noncurrent_days else []
        said += ["delete markers that hide nothing"] if self.delete_markers else []
        said += [f"current after {self.expire_days} d"] if self.expire_days else []
        return f"{self.prefix or '(all)'}: {', '.join([*said, *([self.other] if self.other else [])])}"


@dataclass(frozen=True)
class BucketState:
    """A bucket. `quota` is hard; None means that it is not managed (observed: there is none), and so for the others."""

    object_lock: bool
    versioning: bool
    quota: Size | None = None
    retention: Retention | None = Retention()
    lifecycle: frozenset[Expiry] | None = frozenset()


class BucketClient(Protocol):
    """What a bucket needs of the object store, as root."""

    def bucket(self, name: str) -> BucketState | None:
        """The bucket; None when the store says that there is no such bucket."""

    def make_bucket(self, name: str, *, object_lock: bool) -> None:
        """Make an empty bucket; object lock brings versioning."""

    def set_versioning(self, name: str, *, on: bool) -> None:
        """Switch versioning on, or suspend it."""

    def set_quota(self, name: str, quota: Size) -> None:
        """Set the hard quota."""

    def set_retention(self, name: str, retention: Retention) -> None:
        """Set the default retention of a bucket with object lock, or take it away."""

    def set_lifecycle(self, name: str, rules: frozenset[Expiry]) -> None:
        """Make these, and no others, its lifecycle rules."""

    def capacity(self) -> Size | None:
        """The bytes of the volume the buckets lie on; None when the store does not say."""

    def locked_object(self, name: str) -> str | None:
        """An object of the bucket with a version under retention or legal hold, and why; None when there is none."""

    def remove_bucket(self, name: str) -> None:
        """Delete every version in it, and then the bucket."""


@dataclass(frozen=True)
class Bucket(Resource[BucketState, BucketClient]):
    """A bucket. It is deleted only by name, and not while it holds a locked object; object lock is a matter of its creation."""

    part: ClassVar[str] = "minio"
    name: str
    service: str
    desired: BucketState | None

    @property
    def id(self) -> str:
        """`bucket/datalake`."""
        return f"bucket/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The service."""
        return (self.service,)

    def observe(self, client: BucketClient) -> BucketState | None:
        """The bucket there."""
        return client.bucket(self.name)

    def danger(self, change: Change) -> str | None:
        """Its deletion; and suspending versioning: from then on an overwrite keeps nothing."""
        if change.field == WHOLE:
            return "deletes the bucket with every object and every version in it"
        return "stops keeping the versions that are overwritten" if change.field == "versioning" and change.before and not change.after else None

    def apply(self, todo: Plan, client: BucketClient) -> None:
        """Make it with its lock, then set what else differs; the quota last, and never beyond what the volume holds."""
        if self.desired is None:
            self._remove(client)
            return
        fields, wanted = todo.fields(), self.desired
        if "quota" in fields:
            self._check_capacity(client)
        if todo.action == "create":
            client.make_bucket(self.name, object_lock=wanted.object_lock)
        elif "object_lock" in fields:
            self._refuse_lock()
        if "versioning" in fields and not (todo.action == "create" and wanted.versioning == wanted.object_lock):
            client.set_versioning(self.name, on=wanted.versioning)
        new = todo.action == "create"  # without retention and rules: nothing to take away
        if "retention" in fields and wanted.retention is not None and (wanted.retention.days or not new):
            client.set_retention(self.name, wanted.retention)
        if "lifecycle" in fields and wanted.lifecycle is not None and (wanted.lifecycle or not new):
            client.set_lifecycle(self.name, wanted.lifecycle)
        if "quota" in fields and wanted.quota is not None:
            client.set_quota(self.name, wanted.quota)

    def _remove(self, client: BucketClient) -> None:
        refuse_locked(self.name, client)
        client.remove_bucket(self.name)

    def _check_capacity(self, client: BucketClient) -> None:
        assert self.desired is not None
        quota, capacity = self.desired.quota, client.capacity()
        if quota is not None and capacity is not None and quota > capacity:
            raise Refused("set the quota of", self.id, f"it would be {quota}, and the volume holds {capacity // 2**20 / 1024:.1f} GiB: it would promise what is not there",
                          "Grow the disk and its filesystem first (vm.disk.size; docs/how-to/grow-the-disk.md), or declare a smaller quota")  # fmt: skip

    def _refuse_lock(self) -> None:
        assert self.desired is not None
        if self.desired.object_lock:
            raise Refused("lock", self.id, "it exists without object lock, which MinIO gives to a bucket only when it makes it",
                          "Declare a bucket of another name with object_lock: true and copy the objects (mc mirror), or declare object_lock: false")  # fmt: skip
        raise Refused("unlock", self.id, "it has object lock, which nothing takes away", "Declare object_lock: true, or a bucket of another name")


def refuse_locked(name: str, client: BucketClient) -> None:
    """Raise Refused while a bucket holds an object that may not be deleted."""
    if found := client.locked_object(name):
        raise Refused("delete", f"bucket/{name}", f"it holds locked objects ({found})",
                      "Wait until their retention is over and take legal holds away (mc retention, mc legalhold), then run again")  # fmt: skip
