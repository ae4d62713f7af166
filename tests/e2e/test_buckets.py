"""Several buckets and users, as the how-to declares them: retention, lifecycle, roles and prefixes, as bare clients and the users themselves see them."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.e2e.conftest import Site
from tests.unit.test_docs import DOCS, blocks

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
PAGE = DOCS / "how-to/buckets-and-users.md"


class Several:
    """The lab with that lake on it."""

    def __init__(self, site: Site, file: Path) -> None:
        self.site, self.file = site, file

    def lake(self, *args: str, check: bool = True) -> tuple[int, str, str]:
        """`./lake ARGS` with this declaration: its exit code, output and errors."""
        done = self.site.lab.lake(*args, check=check, env={"HOMELAKE_FILE": str(self.file)})
        return done.returncode, done.stdout, done.stderr

    def drift(self) -> dict[str, set[str]]:
        """The fields of each resource that is not as declared."""
        rows = json.loads(self.lake("plan", "--json", check=False)[1])
        assert not [r for r in rows if r["error"]], rows
        return {r["resource"]: {c["field"] for c in r["changes"]} for r in rows if r["status"] != "ok"}

    def user(self, secret: str) -> Any:
        """S3 with the key pair of a Kubernetes secret."""
        data = json.loads(self.site.kubectl("-n", "spark-jobs", "get", "secret", secret, "-o", "json"))["data"]
        return self.site.s3(*(base64.b64decode(data[k]).decode() for k in ("access-key", "secret-key")))


@pytest.fixture(scope="module")
def several(converged: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    """The lake with further buckets and users; afterwards its users may do again what the shipped declaration says."""
    content = {**yaml.safe_load(Path("include/lake.yaml").read_text()), **yaml.safe_load(blocks(PAGE, "yaml")[0])}
    file = tmp_path_factory.mktemp("several") / "lake.yaml"
    file.write_text(yaml.safe_dump(content))
    made = Several(converged, file)
    _, out, err = made.lake("apply", "--yes")
    assert blocks(PAGE, "text")[0] in err, out + err
    yield made
    converged.lab.lake("apply", "--yes", "policy/spark-user")


def refused(call: Callable[[], Any]) -> bool:
    """Whether the object store refuses a call for want of a right."""
    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
        return True
    return False


def test_buckets_are_as_declared_to_a_bare_client(several: Several) -> None:
    s3 = several.site.s3()
    assert several.drift() == {}
    assert "Status" not in s3.get_bucket_versioning(Bucket="checkpoints")
    lock = s3.get_object_lock_configuration(Bucket="kept")["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"] == {"Mode": "GOVERNANCE", "Days": 2}
    assert "Rule" not in s3.get_object_lock_configuration(Bucket="datalake")["ObjectLockConfiguration"]
    rules = s3.get_bucket_lifecycle_configuration(Bucket="kept")["Rules"]
    assert {(r["Filter"].get("Prefix", ""), json.dumps(r.get("Expiration")), json.dumps(r.get("NoncurrentVersionExpiration"))) for r in rules} == {
        ("", '{"ExpiredObjectDeleteMarker": true}', '{"NoncurrentDays": 7}'),
        ("in/", '{"Days": 9}', "null"),
    }
    assert s3.get_bucket_lifecycle_configuration(Bucket="datalake")["Rules"][0]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}


@pytest.mark.long
def test_retention_and_lifecycle_changed_by_hand_are_drift_and_are_repaired(several: Several) -> None:
    s3 = several.site.s3()
    s3.put_object_lock_configuration(Bucket="kept", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    by_hand = {"ID": "mine", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    for bucket in ("kept", "datalake"):
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [by_hand]})
    assert several.drift() == {"bucket/kept": {"retention", "lifecycle"}, "bucket/datalake": {"lifecycle"}}
    several.lake("apply", "--yes", "bucket/kept", "bucket/datalake")
    assert several.drift() == {}


def test_what_is_retained_cannot_be_removed(several: Several) -> None:
    s3 = several.site.s3()
    version = s3.put_object(Bucket="kept", Key="in/retained", Body=b"x")["VersionId"]
    with pytest.raises(ClientError, match="WORM protected"):
        s3.delete_object(Bucket="kept", Key="in/retained", VersionId=version)
    assert s3.get_object(Bucket="kept", Key="in/retained", VersionId=version)["Body"].read() == b"x"


def test_a_reader_reads_and_nothing_else(several: Several) -> None:
    several.site.s3().put_object(Bucket="datalake", Key="someones/object", Body=b"x")
    s3 = several.user("reader-keys")
    assert s3.get_object(Bucket="datalake", Key="someones/object")["Body"].read() == b"x"
    assert s3.list_objects_v2(Bucket="datalake", Prefix="someones/")["KeyCount"] == 1
    assert refused(lambda: s3.put_object(Bucket="datalake", Key="someones/other", Body=b"x"))
    assert refused(lambda: s3.delete_object(Bucket="datalake", Key="someones/object"))
    assert refused(lambda: s3.list_objects_v2(Bucket="kept"))


def test_a_feed_adds_below_its_prefix_and_takes_nothing_away(several: Several) -> None:
    s3 = several.user("feed-keys")
    first = s3.put_object(Bucket="kept", Key="in/a", Body=b"1")["VersionId"]
    s3.put_object(Bucket="kept", Key="in/a", Body=b"2")
    assert s3.get_object(Bucket="kept", Key="in/a")["Body"].read() == b"2"
    assert several.site.s3().get_object(Bucket="kept", Key="in/a", VersionId=first)["Body"].read() == b"1", "what it replaced is kept"
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="kept", Prefix="in/a")["Contents"]] == ["in/a"]
    upload = s3.create_multipart_upload(Bucket="kept", Key="in/parts")["UploadId"]
    s3.abort_multipart_upload(Bucket="kept", Key="in/parts", UploadId=upload)
    assert refused(lambda: s3.delete_object(Bucket="kept", Key="in/a"))
    assert refused(lambda: s3.delete_object(Bucket="kept", Key="in/a", VersionId=first))
    assert refused(lambda: s3.put_object(Bucket="kept", Key="out/a", Body=b"x"))
    assert refused(lambda: s3.list_objects_v2(Bucket="kept"))
    assert refused(lambda: s3.list_objects_v2(Bucket="kept", Prefix="out/"))
    assert refused(lambda: s3.get_object(Bucket="datalake", Key="someones/object"))


@pytest.mark.long
def test_a_spark_job_works_with_rights_below_its_prefix_only(several: Several) -> None:
    s3 = several.user("minio-s3-keys")
    assert refused(lambda: s3.put_object(Bucket="datalake", Key="elsewhere/x", Body=b"x"))
    assert refused(lambda: s3.list_objects_v2(Bucket="datalake"))
    assert "✓ delete from datalake: allowed" in several.site.dag_with(several.file, "lake_bootstrap"), "verify probes below the prefix"
    assert "Read Success!" in several.site.dag_with(several.file, "lake_spark")


def test_a_quota_that_the_volume_does_not_hold_is_refused(several: Several) -> None:
    content = yaml.safe_load(several.file.read_text())
    content["buckets"][0]["quota"] = "600 GiB"
    wide = several.file.with_name("wide.yaml")
    wide.write_text(yaml.safe_dump(content))
    before = several.site.lab.lake("plan", "--json", "bucket/datalake", "--file", str(wide), check=False).stdout
    code, _, err = several.lake("apply", "--yes", "bucket/datalake", "--file", str(wide), check=False)
    assert code == 1
    assert "Unable to set the quota of bucket/datalake: it would be 600 GiB, and the volume holds 4" in err
    assert "Grow the disk and its filesystem first" in err
    assert several.site.lab.lake("plan", "--json", "bucket/datalake", "--file", str(wide), check=False).stdout == before
