"""The object store as one of its users sees it: S3 through boto3, the admin calls that must be refused through minio-py."""

import secrets
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import urllib3
from minio.error import MinioAdminException, S3Error

from include.adapters.minio import MinioServer, code_of
from include.adapters.network import network_cause
from include.lake.errors import LakeError, Unreachable
from include.lake.proof import Denied
from include.lake.resources.keypair import Pair

T = TypeVar("T")
_DENIED = {"AccessDenied", "XMinioAdminAccessDenied"}


class TenantS3:
    """S3 and admin calls with a user's own key pair. It remembers how to undo each call that was let through."""

    def __init__(self, server: MinioServer, pair: Pair) -> None:
        self._server, self._pair = server, pair
        self._undo: list[Callable[[], object]] = []

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
            raise Unreachable(f"MinIO at {self._server.endpoint}", network_cause(error), "Check the service (systemctl status minio in the VM)") from None
        if code in _DENIED:
            raise Denied(code)
        raise LakeError("use", "MinIO as its user", f"it answered {code}", "Look at the policy and the key pair: ./lake plan")

    def put(self, bucket: str, key: str, data: bytes) -> str:
        """Write an object."""
        answer = self._do(lambda: self.s3.put_object(Bucket=bucket, Key=key, Body=data))
        return self._made(bucket, key, answer)

    def _made(self, bucket: str, key: str, answer: Mapping[str, Any]) -> str:
        version = str(answer.get("VersionId", ""))
        self._undo.append(lambda: self.s3.delete_object(Bucket=bucket, Key=key, **({"VersionId": version} if version else {})))
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
        self._made(bucket, key, self._do(lambda: self.s3.delete_object(Bucket=bucket, Key=key)))

    def clear(self) -> None:
        """Undo what was made here, the last first: versions by their id. Raises the first error once everything was tried."""
        errors: list[Exception] = []
        while self._undo:
            try:
                self._do(self._undo.pop())
            except (Denied, LakeError) as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket."""
        self._do(lambda: self.s3.create_bucket(Bucket=bucket))
        self._undo.append(lambda: self.s3.delete_bucket(Bucket=bucket))

    def put_policy(self, name: str) -> None:
        """Make a policy that allows everything."""
        body = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}]}
        self._do(lambda: self._server.admin(self._pair).policy_add(name, policy=body))
        self._undo.append(lambda: self._server.admin(self._pair).policy_remove(name))

    def list_users(self) -> None:
        """Ask for all users."""
        self._do(self._server.admin(self._pair).user_list)

    def add_access_key(self) -> None:
        """Make another access key of its own."""
        access, secret = f"PROBE{secrets.token_hex(6).upper()}", secrets.token_hex(20)  # nobody's, should it be let through
        self._do(lambda: self._server.admin(self._pair).add_service_account(access_key=access, secret_key=secret))
        self._undo.append(lambda: self._server.admin(self._pair).delete_service_account(access))

    def set_versioning(self, bucket: str) -> None:
        """Switch a bucket's versioning on. Where it is on already, that changes nothing even if it is let through."""
        self._do(lambda: self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}))
