"""A bucket and its governance: versioning, object lock, quota (requirements B5, B6)."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from include.lake.errors import Refused
from include.lake.resource import Change, Plan, Resource
from include.lake.units import Size


@dataclass(frozen=True)
class BucketState:
    """A bucket. `quota` is hard; None means that it is not managed (observed: there is none)."""

    object_lock: bool
    versioning: bool
    quota: Size | None = None


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


@dataclass(frozen=True)
class Bucket(Resource[BucketState, BucketClient]):
    """A bucket. It is never deleted, and object lock is a matter of its creation."""

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
        """Suspending versioning: from then on an overwrite keeps nothing."""
        return "stops keeping the versions that are overwritten" if change.field == "versioning" and change.before and not change.after else None

    def apply(self, todo: Plan, client: BucketClient) -> None:
        """Make it with its lock, then set versioning and quota."""
        if self.desired is None:
            raise Refused("delete", self.id, "Homelake never deletes a bucket", "Remove it with MinIO's own tools")
        fields, wanted = todo.fields(), self.desired
        if todo.action == "create":
            client.make_bucket(self.name, object_lock=wanted.object_lock)
        elif "object_lock" in fields:
            self._refuse_lock()
        if "versioning" in fields and not (todo.action == "create" and wanted.object_lock):
            client.set_versioning(self.name, on=wanted.versioning)
        if "quota" in fields and wanted.quota is not None:
            client.set_quota(self.name, wanted.quota)

    def _refuse_lock(self) -> None:
        assert self.desired is not None
        if self.desired.object_lock:
            raise Refused("lock", self.id, "it exists without object lock, which MinIO gives to a bucket only when it makes it",
                          "Declare a bucket of another name with object_lock: true and copy the objects (mc mirror), or declare object_lock: false")  # fmt: skip
        raise Refused("unlock", self.id, "it has object lock, which nothing takes away", "Declare object_lock: true, or a bucket of another name")
