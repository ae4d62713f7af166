"""A key pair, which lives in two places: a Kubernetes secret and MinIO."""

import secrets
import string

from include.adapters.kubernetes import Kubernetes
from include.adapters.minio import MinioServer
from include.adapters.tenant import TenantS3
from include.connections import Connections, NotConfigured
from include.lake.resources.keypair import Pair
from include.lake.secret import Secret

_LETTERS = string.ascii_uppercase + string.digits


class KeyPairs:
    """Key pairs in a cluster's secrets and a MinIO's access keys."""

    def __init__(self, connections: Connections, kubernetes: Kubernetes, minio: MinioServer) -> None:
        self._connections, self._kubernetes, self._minio = connections, kubernetes, minio
        self.secret, self.write_secret = kubernetes.secret, kubernetes.write_secret
        self.owner, self.accepts, self.put_access_key = minio.owner, minio.accepts, minio.put_access_key
        # And what a rotation needs.
        self.patch_secret, self.written, self.clock, self.pods_with = kubernetes.patch_secret, kubernetes.written, kubernetes.clock, kubernetes.pods_with
        self.made_secret, self.remove_secret = kubernetes.made_secret, kubernetes.remove_secret
        self.keys_of, self.remove_access_key = minio.keys_of, minio.remove_access_key

    def tenant(self, pair: Pair) -> TenantS3:
        """The object store as the owner of a pair sees it."""
        return TenantS3(self._minio, pair)

    def given(self, user: str) -> Pair | None:
        """The pair in the connection `lake_user_<user>`, if there is one. Raises LakeError when that cannot be read."""
        try:
            connection = self._connections(f"lake_user_{user.replace('-', '_')}")
        except NotConfigured:
            return None
        return Pair(connection.login, connection.password)

    def new_pair(self) -> Pair:
        """A random pair: 20 and 40 characters."""
        return Pair("".join(secrets.choice(_LETTERS) for _ in range(20)), Secret(secrets.token_hex(20)))
