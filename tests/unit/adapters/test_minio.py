"""MinIO's answers, as they were recorded, told with their cause and what to do."""

import json
import socket
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
import urllib3
from minio.commonconfig import Filter, Tag
from minio.error import MinioAdminException, S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, NoncurrentVersionExpiration, Rule
from minio.objectlockconfig import ObjectLockConfig

from include.adapters.keypair import KeyPairs
from include.adapters.minio import MinioServer, code_of, explained
from include.adapters.minio.versions import VersionStore
from include.connections import Connection, from_environment
from include.lake.errors import LakeError, Unreachable
from include.lake.resources.bucket import BucketState, Expiry, Retention
from include.lake.resources.keypair import Pair
from include.lake.resources.user import UserState
from include.lake.secret import Secret
from include.lake.units import Size
from tests.unit.conftest import recorded

ANSWERS: dict[str, dict[str, Any]] = json.loads(recorded("minio/answers.json"))


def answer(name: str) -> Exception:
    """The exception that minio-py makes of a recorded answer."""
    found = ANSWERS[name]
    if found["kind"] == "s3":
        return S3Error.fromxml(urllib3.HTTPResponse(found["body"].encode(), status=found["status"]))  # type: ignore[type-var]
    return MinioAdminException(str(found["status"]), found["body"])


def test_every_recorded_error_has_its_code() -> None:
    errors = {name: code_of(answer(name)) for name, a in ANSWERS.items() if a["kind"] != "answer"}
    assert len(errors) > 15
    assert not [name for name, code in errors.items() if not code or code == "None"]
    assert (errors["no such user"], errors["no such bucket"], errors["no such policy"]) == ("XMinioAdminNoSuchUser", "NoSuchBucket", "XMinioAdminNoSuchPolicy")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s3 wrong secret", "Unable to log in to MinIO: it does not accept the root credentials (SignatureDoesNotMatch). Check the connection 'minio_admin'"),
        ("s3 unknown key", "Unable to log in to MinIO: it does not accept the root credentials (InvalidAccessKeyId). Check the connection 'minio_admin'"),
        ("admin wrong secret", "Unable to log in to MinIO: it does not accept the root credentials (SignatureDoesNotMatch). Check the connection 'minio_admin'"),
        ("admin unknown key", "Unable to log in to MinIO: it does not accept the root credentials (InvalidAccessKeyId). Check the connection 'minio_admin'"),
        ("s3 starting", "Unable to reach MinIO: it is still starting."),
        ("admin starting", "Unable to reach MinIO: it is still starting."),
        ("s3 wrong region", "Unable to use it in MinIO: The authorization header is malformed; the region is wrong; expecting 'ap-northeast-2'. Declare that region in lake.yaml"),
        ("malformed policy", "Unable to use it in MinIO: unsupported action 's3:Nonsense' (XMinioMalformedIAMPolicy)."),
        ("suspend locked", "Unable to use it in MinIO: An Object Lock configuration is present on this bucket, versioning cannot be suspended. (InvalidBucketState)."),
        ("access key too short", "Unable to use it in MinIO: The access key is invalid. (access key length should be between 3 and 20) (XMinioAdminInvalidAccessKey)."),
        ("s3 denied", "Unable to use it in MinIO: Access Denied. (AccessDenied)."),
        ("admin denied", "Unable to use it in MinIO: Access Denied. (AccessDenied)."),
    ],
)  # fmt: skip
def test_a_recorded_answer_is_told_with_its_cause(name: str, text: str) -> None:
    error = explained("it", answer(name))
    assert str(error).startswith(text)
    assert error.retry is (name in ("s3 starting", "admin starting"))


def test_a_store_says_whether_it_lets_in() -> None:
    for said, let_in in (([], True), (answer("s3 wrong secret"), False), (answer("s3 unknown key"), False)):
        store = VersionStore(Connection("minio_admin", "minio", "http://127.0.0.1:1", "root", Secret("root-password")))
        store.__dict__["_s3"] = Mock(list_buckets=Mock(side_effect=[said]))
        assert store.lets_in() is let_in
    store.__dict__["_s3"] = Mock(list_buckets=Mock(side_effect=answer("s3 starting")))
    with pytest.raises(Unreachable, match="it is still starting"):
        store.lets_in()


def test_an_answer_that_is_not_minios_is_still_told() -> None:
    error = MinioAdminException("502", "<html>Bad Gateway</html>")
    assert code_of(error) == ""
    assert "Bad Gateway" in str(explained("it", error))


class Prepared(MinioServer):
    """A server whose clients give recorded answers: by method name, an exception to raise or a value to return."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(Connection("minio_admin", "minio", "http://127.0.0.1:9", "root", Secret("the-root-password")))
        self.answers = answers
        self.__dict__["_s3"] = self.__dict__["_admin"] = self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in self.__dict__.get("answers", {}):
            raise AttributeError(name)

        def call(*args: Any, **options: Any) -> Any:
            value = self.answers[name]
            if isinstance(value, Exception):
                raise value
            return value

        return call


class Status:
    def __init__(self, status: str | None) -> None:
        self.status = status


LOCK, RULES = (
    ObjectLockConfig("GOVERNANCE", 1, "Years"),
    LifecycleConfig(
        [
            Rule("Enabled", rule_filter=Filter(prefix="raw/"), noncurrent_version_expiration=NoncurrentVersionExpiration(7), rule_id="a"),
            Rule("Disabled", rule_filter=Filter(prefix=""), expiration=Expiration(days=3), rule_id="b"),
            Rule("Enabled", rule_filter=Filter(tag=Tag("a", "b")), expiration=Expiration(expired_object_delete_marker=True), rule_id="c"),
            Rule("Enabled", rule_filter=Filter(prefix=""), noncurrent_version_expiration=NoncurrentVersionExpiration(1, 5), rule_id="d"),
        ]
    ),
)
EXPIRIES = frozenset({Expiry("raw/", noncurrent_days=7), Expiry(expire_days=3, other="switched off"), Expiry(delete_markers=True, other="by tags"),
                      Expiry(noncurrent_days=1, other="but the 5 newest noncurrent")})  # fmt: skip
QUOTA = ANSWERS["bucket_quota_get"]["body"]
NONE = '{"quota":0,"size":0,"rate":0,"requests":0}'


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ({"get_bucket_versioning": answer("no such bucket"), "bucket_exists": False}, None),
        ({"get_bucket_versioning": Status(None), "bucket_exists": True, "bucket_quota_get": NONE, "get_object_lock_config": answer("no object lock")},
         BucketState(object_lock=False, versioning=False)),
        ({"get_bucket_versioning": Status("Enabled"), "bucket_quota_get": QUOTA, "get_object_lock_config": ObjectLockConfig(None, None, None)}, BucketState(True, True, Size(1 << 20))),
        ({"get_bucket_versioning": Status("Suspended"), "bucket_quota_get": NONE, "get_object_lock_config": answer("no object lock")}, BucketState(False, False)),
        ({"get_bucket_versioning": Status("Enabled"), "bucket_quota_get": answer("quota of no bucket"), "get_object_lock_config": LOCK, "get_bucket_lifecycle": RULES},
         BucketState(True, True, None, Retention("governance", 365), EXPIRIES)),
    ],
    ids=["absent", "plain", "locked with a quota", "suspended", "quota unknown, with retention and rules"],
)  # fmt: skip
def test_a_bucket_is_read(answers: dict[str, Any], state: BucketState | None) -> None:
    assert Prepared(**{"get_bucket_lifecycle": None, **answers}).bucket("datalake") == state


def test_absent_is_what_minio_itself_calls_absent() -> None:
    assert Prepared(policy_info=answer("no such policy")).policy("x") is None
    assert Prepared(user_info=answer("no such user")).user("x") is None
    assert Prepared(get_service_account=answer("no such access key")).owner("x") is None


@pytest.mark.parametrize("name", ["s3 starting", "admin denied", "admin wrong secret"])
def test_any_other_answer_is_never_absent(name: str) -> None:
    for call in ("policy", "user", "owner", "bucket"):
        with pytest.raises(LakeError):
            error = answer(name)
            getattr(Prepared(policy_info=error, user_info=error, get_service_account=error, get_bucket_versioning=error), call)("x")


def test_a_policy_and_a_user_are_read_from_real_answers() -> None:
    server = Prepared(policy_info=ANSWERS["policy_info"]["body"], user_info=ANSWERS["user_info"]["body"])
    assert server.user("spark-user") == UserState(enabled=True, policies=frozenset({"spark-user"}))
    assert len((server.policy("spark-user") or {})["Statement"]) == 4


@pytest.mark.parametrize(
    ("host", "port", "endpoint", "secure"),
    [
        ("http://datalake:9000", None, "datalake:9000", False),
        ("https://datalake.example.org", None, "datalake.example.org:443", True),
        ("datalake", 9000, "datalake:9000", False),
        ("http://10.0.0.1:9000/", 1234, "10.0.0.1:9000", False),
    ],
)
def test_an_endpoint_is_read_from_its_connection(host: str, port: int | None, endpoint: str, secure: bool) -> None:
    server = MinioServer(Connection("minio_admin", "minio", host, port=port))
    assert (server.endpoint, server.secure) == (endpoint, secure)


@pytest.mark.parametrize("host", ["http://x:80x", "http://a b:1", "http://", "", "http://[::1", "ftp://x", "http://a..b:1"])
def test_a_host_that_is_no_address_is_told_of_its_connection(host: str) -> None:
    with pytest.raises(LakeError, match=r"^Unable to read the connection 'minio_admin': .*\. Write it as http://HOST:PORT\.$"):
        MinioServer(Connection("minio_admin", "minio", host))


def test_what_minios_client_does_not_take_is_no_fault_of_the_declaration() -> None:
    server = MinioServer(Connection("minio_admin", "minio", "http://127.0.0.1:1", "root", Secret("the-root-password"), extra={"region": "no region"}))
    with pytest.raises(LakeError, match=r"^Unable to (use|reach) .*onnection 'minio_admin'") as caught:
        server.bucket_names()
    assert "lake.yaml" not in str(caught.value)


def test_nobody_there_is_out_of_reach_at_once_and_names_the_connection() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        server = MinioServer(Connection("minio_admin", "minio", f"http://127.0.0.1:{port}", "root", Secret("the-root-password")))
        for call in (lambda: server.bucket("datalake"), lambda: server.user("x"), lambda: server.accepts(Pair("AKEXAMPLE", Secret("12345678")))):
            with pytest.raises(Unreachable, match=rf"MinIO at 127\.0\.0\.1:{port}: connection refused\..*'minio_admin'") as caught:
                call()
            assert "password" not in str(caught.value)


def pairs(**environment: str) -> KeyPairs:
    return KeyPairs(from_environment(environment), Mock(), Mock())


def test_the_owners_pair_is_that_of_its_connection() -> None:
    given = pairs(AIRFLOW_CONN_LAKE_USER_SPARK_USER='{"conn_type": "generic", "login": "AKOWN", "password": "the-secret-key"}').given("spark-user")
    assert given == Pair("AKOWN", Secret("the-secret-key"))
    assert pairs().given("spark-user") is None


def test_an_owners_pair_that_cannot_be_read_is_not_taken_for_none() -> None:
    with pytest.raises(LakeError, match="lake_user_spark_user"):
        pairs(AIRFLOW_CONN_LAKE_USER_SPARK_USER='{"login": ').given("spark-user")


def test_a_new_pair_is_one_that_minio_takes_and_never_the_same() -> None:
    made = [pairs().new_pair() for _ in range(50)]
    assert all(p.well_formed() for p in made)
    assert len({p.access_key for p in made}) == len({p.secret_key.reveal() for p in made}) == 50
