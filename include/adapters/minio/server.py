"""A MinIO server: how it is reached, and what its errors mean."""

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, MinioException, S3Error

from include.adapters.network import network_cause
from include.connections import Connection, store_at
from include.lake.errors import LakeError, Unreachable
from include.lake.resources.keypair import Pair

T = TypeVar("T")
TIMEOUT = urllib3.Timeout(connect=10, read=60)  # seconds; an admin call on a slow machine was seen to take 28
_ABSENT = {"XMinioAdminNoSuchPolicy", "XMinioAdminNoSuchUser", "XMinioInvalidIAMCredentials", "XMinioAdminServiceAccountNotFound",
           "XMinioAdminNoSuchQuotaConfiguration", "NoSuchBucket", "XMinioAdminNoSuchAccessKey", "XMinioIAMNoSuchAccessKey"}  # fmt: skip
STRANGER = ("InvalidAccessKeyId", "SignatureDoesNotMatch")  # what MinIO says to credentials that it does not know
ERRORS = (urllib3.exceptions.HTTPError, OSError, MinioException, MinioAdminException, ValueError, ParseError)


class Server:
    """A MinIO server as one key pair sees it: root's, of the connection `minio_admin`, or a user's."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        scheme, host, port = store_at(connection)
        self.secure, self.endpoint = scheme == "https", f"{host}:{port}"
        self.region, self.ca = connection.option("region", "us-east-1"), connection.option("ca")

    @cached_property
    def _http(self) -> urllib3.PoolManager:
        # No retries here: a resource that could not be reached says so, and Airflow retries.
        return urllib3.PoolManager(timeout=TIMEOUT, retries=False, maxsize=4, cert_reqs="CERT_REQUIRED", ca_certs=self.ca or None)

    def s3(self, pair: Pair | None = None) -> Minio:
        """An S3 client, as root or as the owner of a pair."""
        access, secret = self._keys(pair)
        return self._client(
            lambda: Minio(endpoint=self.endpoint, access_key=access, secret_key=secret, secure=self.secure, region=self.region, http_client=self._http)
        )

    def admin(self, pair: Pair | None = None) -> MinioAdmin:
        """An admin client, as root or as the owner of a pair."""
        credentials = StaticProvider(*self._keys(pair))
        return self._client(lambda: MinioAdmin(endpoint=self.endpoint, credentials=credentials, secure=self.secure, region=self.region, http_client=self._http))

    def _client(self, make: Callable[[], T]) -> T:
        """A client of minio-py, which looks at the values of the connection only when it is made."""
        try:
            return make()
        except ValueError as error:
            raise LakeError(
                "use", f"the connection {self._connection.id!r}", f"its host or its region cannot be used ({error})", "Correct it there, or in site.env"
            ) from None

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
        except ERRORS as error:
            raise self._told(what, error) from None

    def _find(self, what: str, call: Callable[[], T], absent: Collection[str] = _ABSENT) -> T | None:
        """As `_try`; None when MinIO itself says, by one of these codes, that there is no such thing."""
        try:
            return call()
        except ERRORS as error:
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
    if code in STRANGER:
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
