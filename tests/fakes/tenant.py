"""An object store with versions in memory, as one user sees it."""

from collections.abc import Callable
from typing import Any

from include.lake.errors import LakeError
from include.lake.proof import Denied


class FakeTenant:
    """A user who may make the calls in `may`, as `put datalake` or `list_users`. `failing` raises that error at that call.

    A version in one of the `keeping` buckets, which have a default retention, cannot be removed.
    """

    def __init__(self, may: set[str], failing: tuple[str, Exception] | None = None, keeping: frozenset[str] = frozenset()) -> None:
        self.may, self.failing, self.keeping = may, failing, keeping
        self.tried: list[str] = []
        self.things: list[Any] = []  # what is in the store: objects as (bucket, key, version, data), None in a marker's place
        self.made: list[Any] = []  # what clear() undoes
        self._versions = 0

    def _call(self, name: str, what: Callable[[], Any] = lambda: None) -> Any:
        self.tried.append(name)
        if self.failing and self.failing[0] == name:
            raise self.failing[1]
        if name not in self.may:
            raise Denied(name)
        return what()

    def _make(self, thing: Any) -> None:
        self.things.append(thing)
        self.made.append(thing)

    def _version(self, bucket: str, key: str, data: bytes | None) -> str:
        self._versions += 1
        self._make((bucket, key, f"v{self._versions}", data))
        return f"v{self._versions}"

    def _objects(self, bucket: str) -> dict[str, bytes]:
        latest = {t[1]: t[3] for t in self.things if t[0] == bucket and len(t) == 4}
        return {key: data for key, data in latest.items() if data is not None}

    def put(self, bucket: str, key: str, data: bytes) -> str:
        return str(self._call(f"put {bucket}", lambda: self._version(bucket, key, data)))

    def get(self, bucket: str, key: str) -> bytes:
        def read() -> bytes:
            if key not in self._objects(bucket):
                raise LakeError("use", "MinIO as its user", "it answered NoSuchKey")
            return self._objects(bucket)[key]

        return bytes(self._call(f"get {bucket}", read))

    def list(self, bucket: str, prefix: str) -> list[str]:
        return list(self._call(f"list {bucket}", lambda: sorted(k for k in self._objects(bucket) if k.startswith(prefix))))

    def multipart(self, bucket: str, key: str) -> None:
        self._call(f"multipart {bucket}")

    def delete(self, bucket: str, key: str) -> None:
        self._call(f"delete {bucket}", lambda: self._version(bucket, key, None))

    def make_bucket(self, bucket: str) -> None:
        self._call(f"make_bucket {bucket}", lambda: self._make(("bucket", bucket)))

    def put_policy(self, name: str) -> None:
        self._call("put_policy", lambda: self._make(("policy", name)))

    def list_users(self) -> None:
        self._call("list_users")

    def add_access_key(self) -> None:
        self._call("add_access_key", lambda: self._make(("access key",)))

    def set_versioning(self, bucket: str) -> None:
        self._call(f"set_versioning {bucket}")

    def clear(self) -> None:
        self.tried.append("clear")
        while self.made:
            thing = self.made.pop()
            if thing[0] in self.keeping and thing[-1] is not None:  # a marker goes
                raise LakeError("use", "MinIO as its user", "it answered InvalidRequest")
            self.things.remove(thing)
