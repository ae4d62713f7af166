"""MinIO's buckets: versioning, object lock, retention, quota, lifecycle."""

from minio.commonconfig import ENABLED
from minio.versioningconfig import SUSPENDED, VersioningConfig

from include.adapters.minio.server import Server
from include.lake.resources.bucket import BucketState
from include.lake.units import Size


class Buckets(Server):
    """Buckets, as root."""

    def bucket_names(self) -> list[str]:
        """The names of all buckets: a signed call, so it also shows that the server answers and lets this pair in."""
        return self._try("the buckets", lambda: [b.name for b in self._s3.list_buckets()])

    def bucket(self, name: str) -> BucketState | None:
        """The bucket; None when there is no such bucket."""
        status = self._find(f"bucket {name}", lambda: self._s3.get_bucket_versioning(name).status)
        if status is None and not self._try(f"bucket {name}", lambda: self._s3.bucket_exists(name)):
            return None
        quota = self._read(f"the quota of {name}", lambda: self._admin.bucket_quota_get(name), "quota")
        limit = (quota or {}).get("size") or (quota or {}).get("quota") or 0
        return BucketState(self._locked(name), status == ENABLED, Size(limit) if limit else None)

    def _locked(self, name: str) -> bool:
        return self._find(f"bucket {name}", lambda: self._s3.get_object_lock_config(name), {"ObjectLockConfigurationNotFoundError"}) is not None

    def make_bucket(self, name: str, *, object_lock: bool) -> None:
        """Make an empty bucket."""
        self._try(f"bucket {name}", lambda: self._s3.make_bucket(name, location=self.region, object_lock=object_lock))

    def set_versioning(self, name: str, *, on: bool) -> None:
        """Switch versioning on, or suspend it."""
        self._try(f"bucket {name}", lambda: self._s3.set_bucket_versioning(name, VersioningConfig(ENABLED if on else SUSPENDED)))

    def set_quota(self, name: str, quota: Size) -> None:
        """Set the hard quota."""
        self._try(f"the quota of {name}", lambda: self._admin.bucket_quota_set(name, int(quota)))
