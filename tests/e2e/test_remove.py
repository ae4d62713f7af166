"""A lake is taken down on real parts: what Homelake made goes, the data stay and come back, and go only by name."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import CoreV1Api
from kubernetes.config import new_client_from_config

from tests.conftest import ROOT
from tests.e2e.conftest import Site
from tests.e2e.test_storage import Second

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]
BODIES = {f"kept/{n}.bin": bytes([n]) * 1000 for n in range(12)}
IN_VM = "ls -d /etc/systemd/system/minio.service /etc/default/minio /usr/local/bin/minio /usr/local/lib/minio /mnt/minio_data /var/lib/homelake 2>/dev/null; grep minio /etc/fstab; true"


@pytest.fixture(scope="module")
def lake(converged: Site) -> Iterator[Site]:
    """The lake as declared, with objects, each in two versions. At the end there is none: who needs one makes it."""
    s3 = converged.s3()
    for key, body in BODIES.items():
        s3.put_object(Bucket="datalake", Key=key, Body=b"first")
        s3.put_object(Bucket="datalake", Key=key, Body=body)
    yield converged


def take_down(site: Site, *args: str) -> dict[str, Any]:
    done = site.lab.lake("remove", "--yes", "homelake", "--json", *args)
    return dict(json.loads(done.stdout))


def objects(site: Site) -> dict[str, bytes]:
    return {k: site.s3().get_object(Bucket="datalake", Key=k)["Body"].read() for k in BODIES}


def test_locked_objects_refuse_it_before_anything_is_touched(lake: Site) -> None:
    s3 = lake.s3()
    until = datetime.now(UTC) + timedelta(days=1)
    version = s3.put_object(Bucket="datalake", Key="kept/locked", Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)["VersionId"]
    s3.delete_object(Bucket="datalake", Key="kept/locked")  # hidden, and locked all the same
    for data in ("bucket/datalake", "vm-disk/100/scsi1", "filesystem/scsi1"):
        done = lake.lab.lake("remove", "--yes", "homelake", "--data", data, check=False)
        assert done.returncode == 1
        assert "Unable to delete bucket/datalake: it holds locked objects (kept/locked: governance until 20" in done.stderr
    assert lake.plan()[0] == 0, "nothing was touched"
    s3.delete_object(Bucket="datalake", Key="kept/locked", VersionId=version, BypassGovernanceRetention=True)
    done = lake.lab.lake("remove", "--yes", "another", check=False)
    assert (done.returncode, "the lake that is declared is homelake" in done.stderr) == (1, True)


def test_it_goes_killed_in_the_middle_and_comes_back_on_the_same_data(lake: Site) -> None:
    process: Any = subprocess.Popen([str(ROOT / "lake"), "remove", "--yes", "homelake"], cwd=ROOT, env=lake.lab.environment(), stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, text=True, start_new_session=True)  # fmt: skip
    for line in process.stdout:
        if line.startswith("- policy/spark-user  ("):  # then comes the service
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    gone = take_down(lake)
    assert set(gone["removed"]) <= {"service/minio", "binary/minio", "mount/mnt/minio_data"}
    assert set(gone["stays"]) == {"bucket/datalake", "account/minio-user", "filesystem/scsi1", "vm-disk/100/scsi1"}
    assert lake.lab.ssh(IN_VM) == ""
    assert lake.lab.ssh("systemctl is-active minio; findmnt /mnt/minio_data; true").split() == ["inactive"]
    names = {n.metadata.name for n in CoreV1Api(new_client_from_config(lake.lab["KUBECONFIG"])).list_namespace().items}
    assert "spark-jobs" not in names
    assert "spark-operator" in names
    assert take_down(lake)["removed"] == []
    done = lake.lab.lake("remove")
    assert done.stdout.endswith("There is nothing left of homelake but what stays.\n")
    done = lake.lab.lake("remove", "--yes", "homelake", "--data", "vm-disk/100/scsi1", check=False)
    assert "whether they hold locked objects cannot be known. Run ./lake apply" in done.stderr

    lake.lab.lake("apply", "--yes")
    assert lake.plan()[0] == 0
    assert objects(lake) == BODIES
    versions = lake.s3().list_object_versions(Bucket="datalake", Prefix="kept/")["Versions"]
    assert len([v for v in versions if v["Key"] in BODIES]) >= 2 * len(BODIES)


def test_a_bucket_goes_by_name_with_every_version(lake: Site) -> None:
    lake.s3().create_bucket(Bucket="others")
    gone = take_down(lake, "--data", "bucket/datalake")
    assert "bucket/datalake" in gone["removed"]
    lake.lab.lake("apply", "--yes")
    buckets = {b["Name"] for b in lake.s3().list_buckets()["Buckets"]}
    assert buckets >= {"datalake", "others"}, "another bucket is no business of it"
    assert not lake.s3().list_object_versions(Bucket="datalake").get("Versions")
    lake.s3().delete_bucket(Bucket="others")


def test_the_disk_goes_by_name_and_the_vm_stays(lake: Site, tmp_path: Path) -> None:
    lake.s3().put_object(Bucket="datalake", Key="last", Body=b"x")
    gone = take_down(lake, "--data", "vm-disk/100/scsi1")
    assert gone["removed"][-1] == "vm-disk/100/scsi1"
    assert gone["stays"] == {}
    config = Second(lake, tmp_path).proxmox("GET", "/config")
    assert not [k for k in config if k == "scsi1" or k.startswith("unused")]
    assert lake.lab.ssh("getent passwd minio-user; test -e /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1 && echo there; true") == ""
    assert lake.lab.ssh("systemctl is-system-running; true").strip() in ("running", "degraded")
    assert lake.lab.lake("remove", "--data", "vm-disk/100/scsi1").stdout == "There is nothing left of homelake.\n"
