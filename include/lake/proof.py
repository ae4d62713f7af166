"""What a user of the lake must be able to do, and must not: the calls, and what each has to answer (requirement C1)."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from include.lake.errors import LakeError


class Denied(Exception):
    """The object store refused a call for want of a right."""


class Tenant(Protocol):
    """The object store as one user sees it. Every call raises Denied when it is refused."""

    def put(self, bucket: str, key: str, data: bytes) -> str:
        """Write an object; returns its version id."""

    def get(self, bucket: str, key: str) -> bytes:
        """Read it."""

    def list(self, bucket: str, prefix: str) -> list[str]:
        """List keys."""

    def multipart(self, bucket: str, key: str) -> None:
        """Begin a multipart upload, list its parts, abort it."""

    def delete(self, bucket: str, key: str) -> None:
        """Delete it, as a job does: a marker hides it."""

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket."""

    def put_policy(self, name: str) -> None:
        """Make a policy that allows everything."""

    def list_users(self) -> None:
        """Ask for all users."""

    def add_access_key(self) -> None:
        """Make another access key of its own."""

    def set_versioning(self, bucket: str) -> None:
        """Set a bucket's versioning to what it is."""

    def clear(self) -> None:
        """Undo for good everything that was made here, what should have been refused included."""


@dataclass(frozen=True)
class Check:
    """One call: what it is, whether it may succeed, and whether it did."""

    what: str
    allowed: bool
    succeeded: bool

    @property
    def good(self) -> bool:
        """Whether the answer was the right one."""
        return self.allowed == self.succeeded

    def __str__(self) -> str:
        return f"{'✓' if self.good else '✗'} {self.what}: {'allowed' if self.succeeded else 'refused'}"


def prove(tenant: Tenant, bucket: str, elsewhere: str, key: str, *, keeps: bool = False) -> Iterable[Check]:
    """Try both directions on a probe object, and leave nothing behind.

    A bucket that `keeps` (it has a default retention) would keep the probe as well: no object is written there, and none read or deleted. That the
    user may write is then seen by an upload in parts that is begun and given up: nothing of it becomes an object.
    """
    body = b"homelake probe"

    def check(what: str, allowed: bool, call: Callable[[], object]) -> Check:
        try:
            call()
        except Denied:
            return Check(what, allowed, False)
        except LakeError as error:
            # "No such bucket" is not a refusal: whoever gets that far may do the same to one that exists.
            if allowed or error.retry:
                raise
        return Check(what, allowed, True)

    def read() -> None:
        if tenant.get(bucket, key) != body:
            raise LakeError("verify", f"{bucket}/{key}", "it reads back differently from what was written")

    try:
        wrote = None if keeps else check(f"write an object to {bucket}", True, lambda: tenant.put(bucket, key, body))
        if wrote:
            yield wrote
        if wrote and wrote.succeeded:
            yield check(f"read it from {bucket}", True, read)
        yield check(f"list {bucket}", True, lambda: tenant.list(bucket, key))
        yield check(f"upload in parts to {bucket}", True, lambda: tenant.multipart(bucket, f"{key}.parts"))
        if wrote:
            yield check(f"delete from {bucket}", True, lambda: tenant.delete(bucket, key))
        yield check(f"change the versioning of {bucket}", False, lambda: tenant.set_versioning(bucket))
        yield check(f"write to the bucket {elsewhere}", False, lambda: tenant.put(elsewhere, key, body))
        yield check(f"list the bucket {elsewhere}", False, lambda: tenant.list(elsewhere, ""))
        yield check("make a bucket", False, lambda: tenant.make_bucket(f"{elsewhere}-new"))
        yield check("make a policy", False, lambda: tenant.put_policy("homelake-probe"))
        yield check("list users", False, tenant.list_users)
        yield check("make an access key", False, tenant.add_access_key)
        yield check("remove every trace of these calls", True, tenant.clear)
    finally:
        with suppress(Denied, LakeError):  # after an error above, which says more
            tenant.clear()


def verify(tenant: Tenant, bucket: str, key: str, *, keeps: bool = False) -> list[Check]:
    """Prove a user's rights both ways. Raises LakeError that names what was answered wrongly."""
    checks = list(prove(tenant, bucket, "homelake-elsewhere", key, keeps=keeps))
    if wrong := [c for c in checks if not c.good]:
        raise LakeError("verify", "the rights of the lake's user", "; ".join(f"{c.what} was {'allowed' if c.succeeded else 'refused'}" for c in wrong),
                        "Run ./lake plan: its policy may have been changed")  # fmt: skip
    return checks
