"""The object store as one of its users sees it: S3 through boto3, the admin calls that must be refused through minio-py."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import urllib3
from minio.error import MinioAdminException, S3Error

from include.adapters.minio import MinioServer, code_of
from include.lake.errors import LakeError, Unreachable
from include.lake.proof import Denied
from include.lake.resources.keypair import Pair

T = TypeVar("T")
_DENIED = {"AccessDenied", "XMinioAdminAccessDenied"}


class TenantS3:
    """S3 and admin calls with a user's own key pair. It remembers the versions it made, so that it can erase them by id."""

    def __init__(self, server: MinioServer, pair: Pair) -> None:
        self._server, self._pair = server, pair
        self._made: list[tuple[str, str, str]] = []

    @cached_property
    def s3(self) -> Any:
        """boto3's client, without retries: a refusal must show at once."""
        import boto3
        from botocore.config import Config

        scheme = "https" if self._server.secure else "http"
        config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 0}, connect_timeout=10, read_timeout=60)
        return boto3.client("s3", endpoint_url=f"{scheme}://{self._server.endpoint}", region_name=self._server.region, verify=self._server.ca or None,
                            aws_access_key_id=self._pair.access_key, aws_secret_access_key=self._pair.secret_key.reveal(), config=config)  # fmt: skip

    def _do(self, call: Callable[[], T]) -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except ClientError as error:
            code = error.response["Error"]["Code"]
        except (S3Error, MinioAdminException) as error:
            code = code_of(error)
        except (BotoCoreError, urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"MinIO at {self._server.endpoint}", str(error)[:200]) from None
        if code in _DENIED:
            raise Denied(code)
        raise LakeError("use", "MinIO as its user", f"it answered {code}", "Look at the policy and the key pair: ./lake plan")

    def put(self, bucket: str, key: str, data: bytes) -> str:
        """Write an object."""
        version = str(self._do(lambda: self.s3.put_object(Bucket=bucket, Key=key, Body=data)).get("VersionId", ""))
        self._made.append((bucket, key, version))
        return version

    def get(self, bucket: str, key: str) -> bytes:
        """Read it."""
        return self._do(lambda: bytes(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()))

    def list(self, bucket: str, prefix: str) -> list[str]:
        """List keys, a page of them at most."""
        return self._do(lambda: [str(o["Key"]) for o in self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])])

    def multipart(self, bucket: str, key: str) -> None:
        """Begin a multipart upload, list its parts, abort it."""

        def run() -> None:
            upload = self.s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
            try:
                self.s3.list_parts(Bucket=bucket, Key=key, UploadId=upload)
            finally:
                self.s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)

        self._do(run)

    def delete(self, bucket: str, key: str) -> None:
        """Delete it: a marker hides it."""
        marker = self._do(lambda: self.s3.delete_object(Bucket=bucket, Key=key)).get("VersionId", "")
        self._made.append((bucket, key, marker))

    def erase(self, bucket: str, key: str) -> None:
        """Remove every version of it that was made here, by its id."""
        for where, name, version in [m for m in self._made if m[:2] == (bucket, key)]:
            self._do(lambda w=where, n=name, v=version: self.s3.delete_object(Bucket=w, Key=n, **({"VersionId": v} if v else {})))  # type: ignore[misc]
        self._made = [m for m in self._made if m[:2] != (bucket, key)]

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket."""
        self._do(lambda: self.s3.create_bucket(Bucket=bucket))

    def put_policy(self, name: str) -> None:
        """Make a policy that allows everything."""
        body = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}]}
        self._do(lambda: self._server.admin(self._pair).policy_add(name, policy=body))

    def list_users(self) -> None:
        """Ask for all users."""
        self._do(self._server.admin(self._pair).user_list)

    def add_access_key(self) -> None:
        """Make another access key of its own."""
        secret = "homelake-probe-secret"  # never valid: the call must be refused
        self._do(lambda: self._server.admin(self._pair).add_service_account(access_key="HOMELAKEPROBE", secret_key=secret))

    def set_versioning(self, bucket: str) -> None:
        """Suspend a bucket's versioning."""
        self._do(lambda: self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}))
