"""MinIO: S3 through minio-py, and its admin API, which boto3 does not have. Admin calls live here and nowhere else."""

from include.adapters.minio.buckets import Buckets
from include.adapters.minio.removal import Removal
from include.adapters.minio.server import code_of, explained
from include.adapters.minio.usage import Counts
from include.adapters.minio.users import Users

__all__ = ["MinioServer", "code_of", "explained"]


class MinioServer(Buckets, Users, Counts, Removal):
    """A MinIO server as one key pair sees it: root's, of the connection `minio_admin`, or a user's."""
