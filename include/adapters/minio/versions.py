"""Object versions and their bodies, as root reads them."""

import hashlib
from collections.abc import Iterator

import urllib3

from include.adapters.minio.server import ERRORS, STRANGER, Server
from include.adapters.network import network_cause
from include.lake.equal import Version
from include.lake.errors import LakeError

_GONE = {"NoSuchKey", "NoSuchVersion", "NoSuchBucket"}
BLOCK = 1 << 20


class VersionStore(Server):
    """A MinIO server as a place of object versions."""

    def bucket_names(self) -> list[str]:
        """The names of all buckets."""
        return self._try("the buckets", lambda: [b.name for b in self._s3.list_buckets()])

    def lets_in(self) -> bool:
        """Whether it knows the credentials it is asked with."""
        return self._find("the buckets", lambda: list(self._s3.list_buckets()), STRANGER) is not None

    def versions(self, bucket: str) -> Iterator[Version]:
        """Every version and delete marker of a bucket."""
        try:
            for found in self._s3.list_objects(bucket, recursive=True, include_version=True):
                yield Version(bucket, found.object_name, found.version_id or "null", bool(found.is_delete_marker),
                              found.last_modified.timestamp(), found.size or 0)  # fmt: skip
        except ERRORS as error:
            raise self._told(f"bucket {bucket}", error) from None

    def digest(self, version: Version) -> str | None:
        """The SHA-256 of a version's body, read block by block; None when it is not there any more."""

        def read() -> str:
            answer = self._s3.get_object(version.bucket, version.key, version_id=version.id)
            body, size = hashlib.sha256(), 0
            try:
                for block in answer.stream(BLOCK):
                    body.update(block)
                    size += len(block)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise self._broken(version, network_cause(error)) from None
            finally:
                answer.close()
                answer.release_conn()
            if size != version.size:
                raise self._broken(version, f"it ends after {size} of {version.size} bytes")
            return body.hexdigest()

        return self._find(str(version), read, _GONE)

    def _broken(self, version: Version, cause: str) -> LakeError:
        return LakeError("read", str(version), f"{cause} (MinIO at {self.endpoint})", "Read it again; if it stays so, its bytes on the disk are damaged")
