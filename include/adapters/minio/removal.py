"""The end of a bucket: what keeps it from being deleted, and its deletion."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from minio.deleteobjects import DeleteObject

from include.adapters.minio.server import Server
from include.lake.errors import LakeError

PAGE = 1000  # versions in one call, S3's most
_LOCK = "x-amz-object-lock-"


class Removal(Server):
    """Locked objects, and buckets with all their versions."""

    say: Callable[[str], None] = staticmethod(lambda text: None)  # is told how far a long deletion is

    def locked_object(self, name: str) -> str | None:
        """The first object found with a version under retention or legal hold, and why. MinIO tells it with the listing."""
        return self._try(f"the locks of {name}", lambda: next((f"{v.object_name}: {why}" for v in self._versions(name) if (why := self._lock(name, v))), None))

    def _versions(self, name: str) -> Iterator[Any]:
        # `metadata` is MinIO's own: each version comes with its headers, so that nothing is asked for one by one.
        return iter(self._s3.list_objects(name, recursive=True, include_version=True, extra_query_params={"metadata": "true"}))

    def _lock(self, name: str, version: Any) -> str:
        if version.is_delete_marker:
            return ""
        headers = {k.lower(): v for k, v in (version.metadata or {}).items()}
        if not headers:  # a server that leaves them out of the listing
            found = self._s3.stat_object(name, version.object_name, version_id=version.version_id).metadata
            headers = {k.lower(): v for k, v in (found or {}).items()}
        return lock_of(headers, datetime.now(UTC))

    def remove_bucket(self, name: str) -> None:
        """Delete every version, a thousand in a call, and then the bucket. Killed in between, the next one goes on."""
        self._find(f"bucket {name}", lambda: self._empty(name))
        self._find(f"bucket {name}", lambda: self._s3.remove_bucket(name))

    def _empty(self, name: str) -> None:
        done = 0
        # The listing is read anew after each call: what was listed is gone by then.
        while page := list(islice(self._s3.list_objects(name, recursive=True, include_version=True), PAGE)):
            errors = list(self._s3.remove_objects(name, [DeleteObject(str(v.object_name), v.version_id) for v in page]))
            if errors:
                raise LakeError("empty", f"bucket/{name}", f"{errors[0].name}: {errors[0].message} ({errors[0].code})", "Look at that object, and run again")
            done += len(page)
            self.say(f"bucket/{name}: {done} versions deleted")


def lock_of(headers: dict[str, str], now: datetime) -> str:
    """What keeps a version from being deleted, from its headers: a retention that is not over, a legal hold; empty when nothing does."""
    if headers.get(f"{_LOCK}legal-hold", "").upper() == "ON":
        return "legal hold"
    until = headers.get(f"{_LOCK}retain-until-date", "")
    if until and datetime.fromisoformat(until) > now:
        return f"{headers.get(_LOCK + 'mode', 'retention').lower()} until {until}"
    return ""
