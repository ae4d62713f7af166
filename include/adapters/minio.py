"""MinIO: S3 through minio-py, and its admin API, which boto3 does not have. Admin calls live here and nowhere else."""

import json
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio, MinioAdmin
from minio.commonconfig import ENABLED
from minio.credentials import StaticProvider
from minio.crypto import encrypt
from minio.error import MinioAdminException, MinioException, S3Error
from minio.minioadmin import _COMMAND
from minio.versioningconfig import SUSPENDED, VersioningConfig

from include.adapters.network import network_cause
from include.connections import Connection
from include.lake.errors import LakeError, NotConverged, Unreachable
from include.lake.resources.bucket import BucketState
from include.lake.resources.keypair import Pair
from include.lake.resources.user import UserState
from include.lake.units import Size

T = TypeVar("T")
TIMEOUT = urllib3.Timeout(connect=10, read=60)  # seconds; an admin call on a slow machine was seen to take 28
_ABSENT = {"XMinioAdminNoSuchPolicy", "XMinioAdminNoSuchUser", "XMinioInvalidIAMCredentials", "XMinioAdminServiceAccountNotFound",
           "XMinioAdminNoSuchQuotaConfiguration", "NoSuchBucket", "XMinioAdminNoSuchAccessKey", "XMinioIAMNoSuchAccessKey"}  # fmt: skip
_ERRORS = (urllib3.exceptions.HTTPError, OSError, MinioException, MinioAdminException, ValueError, ParseError)


class MinioServer:
    """A MinIO server as one key pair sees it: root's, of the connection `minio_admin`, or a user's."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        url = urlsplit(connection.host if "//" in connection.host else f"http://{connection.host}")
        self.secure, port = url.scheme == "https", url.port or connection.port
        self.endpoint = f"{url.hostname}:{port}" if port else str(url.hostname)
        self.region, self.ca = connection.option("region", "us-east-1"), connection.option("ca")

    @cached_property
    def _http(self) -> urllib3.PoolManager:
        # No retries here: a resource that could not be reached says so, and Airflow retries.
        return urllib3.PoolManager(timeout=TIMEOUT, retries=False, maxsize=4, cert_reqs="CERT_REQUIRED", ca_certs=self.ca or None)

    def s3(self, pair: Pair | None = None) -> Minio:
        """An S3 client, as root or as the owner of a pair."""
        access, secret = self._keys(pair)
        return Minio(endpoint=self.endpoint, access_key=access, secret_key=secret, secure=self.secure, region=self.region, http_client=self._http)

    def admin(self, pair: Pair | None = None) -> MinioAdmin:
        """An admin client, as root or as the owner of a pair."""
        credentials = StaticProvider(*self._keys(pair))
        return MinioAdmin(endpoint=self.endpoint, credentials=credentials, secure=self.secure, region=self.region, http_client=self._http)

    def _keys(self, pair: Pair | None) -> tuple[str, str]:
        access, secret = (pair.access_key, pair.secret_key) if pair else (self._connection.login, self._connection.password)
        if not access or not secret:
            raise LakeError("log in to", "MinIO", f"the connection {self._connection.id!r} has no {'password' if access else 'login'}",
                            "Set login and password of the connection to MinIO's root credentials (S3_ROOT_USER, S3_ROOT_PASSWORD in site.env)")  # fmt: skip
        return access, secret.reveal()

    @cached_property
    def _s3(self) -> Minio:
        return self.s3()

    @cached_property
    def _admin(self) -> MinioAdmin:
        return self.admin()

    def _try(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except _ERRORS as error:
            raise self._told(what, error) from None

    def _find(self, what: str, call: Callable[[], T], absent: Collection[str] = _ABSENT) -> T | None:
        """As `_try`; None when MinIO itself says, by one of these codes, that there is no such thing."""
        try:
            return call()
        except _ERRORS as error:
            if code_of(error) in absent:
                return None
            raise self._told(what, error) from None

    def _read(self, what: str, call: Callable[[], str], key: str) -> dict[str, Any] | None:
        """As `_find`, for an admin call that answers in JSON: an object with that key, when it is MinIO that answers."""

        def read() -> dict[str, Any]:
            found = json.loads(call())
            if not isinstance(found, dict) or key not in found:
                raise ParseError(key)
            return found

        return self._find(what, read)

    def _told(self, what: str, error: Exception) -> LakeError:
        other = isinstance(error, (json.JSONDecodeError, ParseError)) or (isinstance(error, MinioAdminException) and not code_of(error))
        if isinstance(error, (S3Error, MinioAdminException)) and not other:
            return explained(what, error)
        if isinstance(error, ValueError) and not other:  # minio-py's own check of a name, before any call
            return LakeError("use", f"{what} in MinIO", str(error), "Correct it in lake.yaml")
        cause = "what answers there does not answer as MinIO does" if other else network_cause(error)
        remedy = "Check the service (systemctl status minio in the VM) and the connection 'minio_admin'"
        return Unreachable(f"MinIO at {self.endpoint}", cause, remedy)

    # Buckets

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

    # Policies and users

    def policy(self, name: str) -> dict[str, Any] | None:
        """The policy's document."""
        return self._read(f"policy {name}", lambda: self._admin.policy_info(name), "Statement")

    def put_policy(self, name: str, document: dict[str, Any]) -> None:
        """Make or replace it."""
        self._try(f"policy {name}", lambda: self._admin.policy_add(name, policy=document))

    def user(self, name: str) -> UserState | None:
        """The user."""
        found = self._read(f"user {name}", lambda: self._admin.user_info(name), "status")
        if found is None:
            return None
        return UserState(found.get("status") == "enabled", frozenset(p for p in (found.get("policyName") or "").split(",") if p))

    def add_user(self, name: str) -> None:
        """Add it with a random password that is thrown away."""
        self._try(f"user {name}", lambda: self._admin.user_add(name, secrets.token_hex(20)))

    def enable_user(self, name: str) -> None:
        """Let it log in again."""
        self._try(f"user {name}", lambda: self._admin.user_enable(name))

    def hold(self, name: str, policies: frozenset[str]) -> None:
        """Make these the policies it holds."""
        self._try(f"user {name}", lambda: self._admin.policy_set(",".join(sorted(policies)), user=name))

    # Access keys

    def owner(self, access_key: str) -> str | None:
        """The user whose access key this is."""
        found = self._read("an access key", lambda: self._admin.get_service_account(access_key), "parentUser")
        return str(found["parentUser"]) if found else None

    def accepts(self, pair: Pair) -> bool:
        """Whether S3 lets someone in with it: what it may do then is another question."""
        try:
            # Not HEAD: its answer has no body, so a wrong key and a missing right look the same.
            list(self.s3(pair).list_buckets())
        except _ERRORS as error:
            if code_of(error) in ("InvalidAccessKeyId", "SignatureDoesNotMatch"):
                return False
            if code_of(error) != "AccessDenied":
                raise self._told("the key pair", error) from None
        return True

    def put_access_key(self, user: str, pair: Pair, *, new: bool) -> None:
        """Make an access key of the user, as root; or give an existing one this secret key, and switch it on."""
        access, secret = pair.access_key, pair.secret_key.reveal()
        if new:
            self._try("an access key", lambda: self._add_access_key(user, access, secret))
        else:
            self._try("an access key", lambda: self._admin.update_service_account(access_key=access, secret_key=secret, status="on"))
        if not self.accepts(pair):
            raise NotConverged(f"access key of {user}", "MinIO does not accept the pair it was just given")

    def _add_access_key(self, user: str, access: str, secret: str) -> None:
        # minio-py's add_service_account cannot name the user (no targetUser), so its own pieces are put together here.
        body = json.dumps({"targetUser": user, "status": "enabled", "accessKey": access, "secretKey": secret, "name": "homelake"}).encode()
        self._admin._url_open(method="PUT", command=_COMMAND.SERVICE_ACCOUNT_ADD, body=encrypt(body, self._connection.password.reveal()))


def code_of(error: Exception) -> str:
    """The error code that MinIO gave, in S3 and in admin answers alike."""
    if isinstance(error, S3Error):
        return str(error.code)
    with suppress(ValueError, AttributeError):
        return str(json.loads(error._body).get("Code"))  # type: ignore[attr-defined]
    return ""


def explained(what: str, error: Exception) -> LakeError:
    """A LakeError that names cause and remedy."""
    code = code_of(error)
    text = getattr(error, "message", None) or getattr(error, "_body", "") or str(error)
    with suppress(ValueError):
        text = json.loads(text).get("Message", text)
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return LakeError(
            "log in to",
            "MinIO",
            f"it does not accept the root credentials ({code})",
            "Check the connection 'minio_admin'; the service task writes them into the VM",
        )
    if code == "AccessDenied":
        remedy = "Set login and password of the connection 'minio_admin' to MinIO's root credentials: a user's are not enough"
        return LakeError("use", f"{what} in MinIO", f"{text} ({code})", remedy)
    if code in ("XMinioServerNotInitialized", "XMinioAdminServerNotInitialized"):
        return Unreachable("MinIO", "it is still starting", "Run again in a minute")
    if code == "AuthorizationHeaderMalformed":
        return LakeError("use", f"{what} in MinIO", text, "Declare that region in lake.yaml (minio.region) and in extra.region of the connection 'minio_admin'")
    return LakeError("use", f"{what} in MinIO", f"{text or 'no message'} ({code or type(error).__name__})")
