"""From a VM and a cluster to a lake: the plan, the DAG, what is there afterwards (A1–C4), and a second run that writes nothing."""

import base64
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.conftest import TestLab
from tests.e2e.conftest import Site
from tests.e2e.records import recording

pytestmark = pytest.mark.e2e
TASKS = ("declaration", "vm_disk", "filesystem", "mount", "account", "minio_binary", "minio_service", "governance", "iam",
         "kubernetes.namespace", "kubernetes.service_account", "kubernetes.secret", "verify")  # fmt: skip


def test_the_plan_of_a_fresh_lab_is_whole(fresh_lab: TestLab, site: Site) -> None:
    code, text = site.plan()
    assert code == 2, text
    marks = {line.split()[1]: line[0] for line in text.splitlines() if line[:2] in ("+ ", "? ", "~ ", "! ")}
    assert marks == {r.id: "?" for r in site.lake.resources()} | {"vm-disk/100/scsi1": "+", "binary/minio": "+", "namespace/spark-jobs": "+"}
    assert "(known after apply)" in text
    rows = json.loads(site.lab.lake("plan", "--json", check=False).stdout)
    assert [r["resource"] for r in rows] == [r.id for r in site.lake.resources()]
    assert site.lab.ssh("lsblk -nro NAME").split() == ["sda"], "a plan changed something"


def test_check_mode_changes_nothing(site: Site) -> None:
    """A check before anything exists goes through, and says what is known after apply."""
    text = site.dag("lake_bootstrap", "--conf", '{"check": true}')
    assert "vm-disk/100/scsi1: would change" in text
    for resource in ("filesystem/scsi1", "service/minio", "bucket/datalake", "keypair/spark-user"):
        assert f"{resource}: known after apply" in text
    assert site.lab.ssh("lsblk -nro NAME").split() == ["sda"]
    assert "spark-jobs" not in site.kubectl("get", "ns", "-o", "name")


def test_the_dag_makes_the_lake(site: Site) -> None:
    text = site.dag("lake_bootstrap")
    for task in TASKS:
        assert f"[DAG TEST] end task task_id={task}" in text, text[-5000:]
    password = site.lab["S3_ROOT_PASSWORD"]
    assert password not in text
    assert site.plan()[0] == 0


def _proxmox(lab: TestLab, path: str) -> object:
    token = f"PVEAPIToken={lab['PVE_TOKEN_ID']}={lab['PVE_TOKEN_SECRET']}"
    answer = requests.get(f"{lab['PVE_URL']}/api2/json{path}", headers={"Authorization": token}, verify=lab["PVE_CA"], timeout=30)
    answer.raise_for_status()
    return answer.json()["data"]


def test_a1_the_disk(site: Site) -> None:
    config = _proxmox(site.lab, "/nodes/pve/qemu/100/config")
    assert isinstance(config, dict)
    volume, *options = config["scsi1"].split(",")
    assert volume.startswith("local-lvm:vm-100-disk-")
    assert {"size=500G", "ssd=1", "backup=1", "discard=on"} <= set(options)
    name = site.lab.ssh("lsblk -ndo NAME $(readlink -f /dev/disk/by-id/*drive-scsi1)").strip()
    assert site.lab.ssh(f"cat /sys/block/{name}/queue/rotational /sys/block/{name}/queue/discard_max_bytes").split()[0] == "0"
    assert int(site.lab.ssh(f"cat /sys/block/{name}/queue/discard_max_bytes")) > 0
    assert site.lab.ssh(f"lsblk -bndo SIZE /dev/{name}").strip() == str(500 * 2**30)


def test_a2_a3_filesystem_and_mount(site: Site) -> None:
    device = site.lab.ssh("findmnt -n -o SOURCE /mnt/minio_data").strip()
    assert device == site.lab.ssh("readlink -f /dev/disk/by-id/*drive-scsi1").strip()
    uuid = site.lab.ssh(f"sudo blkid -s UUID -o value {device}").strip()
    lines = [line.split() for line in site.lab.ssh("cat /etc/fstab").splitlines() if "/mnt/minio_data" in line]
    assert len(lines) == 1
    assert lines[0][0] == f"UUID={uuid}"
    assert "nofail" in lines[0][3]
    assert "RequiresMountsFor=/mnt/minio_data" in site.lab.ssh("systemctl cat minio")


def test_a3_the_bare_mount_point_takes_nothing(site: Site) -> None:
    """Without its disk MinIO does not start, and not even root can write where the mount should be."""
    site.lab.ssh("sudo systemctl stop minio && sudo umount /mnt/minio_data")
    try:
        assert "not permitted" in site.lab.ssh("sudo touch /mnt/minio_data/x 2>&1", check=False)
        # The mount unit is masked for a moment, else RequiresMountsFor simply mounts it again.
        unit = "mnt-minio_data.mount"
        site.lab.ssh(f"sudo ln -s /dev/null /run/systemd/system/{unit}; sudo systemctl daemon-reload; sudo systemctl start minio 2>&1", check=False)
        assert site.lab.ssh("systemctl is-active minio", check=False).strip() != "active"
        assert site.lab.ssh("ls -A /mnt/minio_data | wc -l").strip() == "0"
    finally:
        site.lab.ssh("sudo rm -f /run/systemd/system/mnt-minio_data.mount; sudo systemctl daemon-reload; sudo systemctl start mnt-minio_data.mount minio")
    site.lab.lake("apply", "--yes", "service/minio")
    assert site.plan()[0] == 0


def test_a5_the_account(site: Site) -> None:
    passwd = site.lab.ssh("getent passwd minio-user").strip().split(":")
    assert int(passwd[2]) < 1000
    assert passwd[6].endswith("nologin")
    assert site.lab.ssh("stat -c %U:%G /mnt/minio_data").strip() == "minio-user:minio-user"


def test_b1_b2_b3_the_service(site: Site) -> None:
    assert "AGPL" in site.lab.ssh("/usr/local/bin/minio --version")
    assert site.lab.ssh("ps -o user= -p $(systemctl show minio -p MainPID --value)").strip() == "minio-user"
    assert site.lab.ssh("systemctl is-enabled minio").strip() == "enabled"
    assert site.lab.ssh("stat -c %a:%U:%G /etc/default/minio").strip() == "640:root:minio-user"
    everyone = site.lab.ssh("sudo cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    assert site.lab["S3_ROOT_PASSWORD"] not in everyone
    assert "MINIO_FS_OSYNC=on" in site.lab.ssh("sudo cat /proc/$(systemctl show minio -p MainPID --value)/environ | tr '\\0' '\\n'")


def test_b4_b5_b6_governance(site: Site) -> None:
    s3 = site.s3()
    assert s3.get_bucket_location(Bucket="datalake")["LocationConstraint"] == "ap-northeast-2"
    assert s3.get_bucket_versioning(Bucket="datalake")["Status"] == "Enabled"
    lock = s3.get_object_lock_configuration(Bucket="datalake")["ObjectLockConfiguration"]
    assert lock["ObjectLockEnabled"] == "Enabled"
    assert "Rule" not in lock, "default retention breaks what Spark rewrites"


def _pair(site: Site) -> tuple[str, str]:
    data = json.loads(site.kubectl("-n", "spark-jobs", "get", "secret", "minio-s3-keys", "-o", "json"))["data"]
    assert set(data) == {"access-key", "secret-key"}
    return tuple(base64.b64decode(data[k]).decode() for k in ("access-key", "secret-key"))  # type: ignore[return-value]


def test_c1_c2_the_key_pair_and_its_limits(site: Site) -> None:
    from botocore.exceptions import ClientError

    access, secret = _pair(site)
    assert access != site.lab["S3_ROOT_USER"]
    s3 = site.s3(access, secret)
    version = s3.put_object(Bucket="datalake", Key=".homelake/by-hand", Body=b"x")["VersionId"]
    assert s3.get_object(Bucket="datalake", Key=".homelake/by-hand")["Body"].read() == b"x"
    s3.delete_object(Bucket="datalake", Key=".homelake/by-hand", VersionId=version)
    for refused in (lambda: s3.create_bucket(Bucket="mine"), lambda: s3.list_objects_v2(Bucket="other"),
                    lambda: s3.put_bucket_versioning(Bucket="datalake", VersioningConfiguration={"Status": "Suspended"})):  # fmt: skip
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()


def test_c4_the_service_account(site: Site) -> None:
    def can(*what: str) -> str:
        from lab.k8s import build
        from lab.run import sh

        return sh(build.kube() / "kubectl", f"--kubeconfig={site.lab['KUBECONFIG']}", "auth", "can-i", *what, "-n", "spark-jobs",
                  "--as=system:serviceaccount:spark-jobs:spark-sa", check=False).strip()  # fmt: skip

    assert [can("create", "pods"), can("delete", "pods"), can("create", "configmaps")] == ["yes"] * 3
    assert [can("get", "secrets"), can("create", "roles"), can("create", "pods", "--subresource=exec")] == ["no"] * 3


def test_a_second_run_writes_nothing(site: Site) -> None:
    """Counted by the stand-in's, sshd's, MinIO's and Kubernetes' own records. Only `verify` writes, as spark-user, its probe."""
    with recording(site.lab) as records:
        text = site.dag("lake_bootstrap")
    assert len(re.findall(r": as declared", text)) == len(site.lake.resources()), text[-6000:]
    assert records.writes() == {}
    assert any(line.startswith("GET ") for line in records.proxmox), "the record is empty: it would see no write either"
    assert records.minio, "MinIO's trace shows no call of root: it would see no write either"
    assert any(line.startswith("PUT ") for line in records.minio_users), "the probe of verify does not show in MinIO's trace"
    assert records.logins == 1
    assert records.commands > 0


def test_doctor_finds_nothing_amiss_and_changes_nothing(site: Site) -> None:
    with recording(site.lab) as records:
        done = site.lab.lake("doctor")
    lines = done.stdout.splitlines()
    assert {line[0] for line in lines} == {"✓"}, done.stdout
    for part in ("proxmox: Proxmox VE", "lake_host: debian@", "kubernetes_default: Kubernetes v1."):
        assert any(line.startswith(f"✓ {part}") for line in lines), done.stdout
    assert records.writes() == {}


def test_doctor_tells_what_a_token_without_rights_lacks_and_how_to_give_it(site: Site) -> None:
    lab = site.lab
    url = urlsplit(lab["PVE_URL"])
    token = {"conn_type": "proxmox", "host": lab["PVE_URL"], "port": url.port, "login": lab["PVE_NOPRIV_TOKEN_ID"],
             "password": lab["PVE_NOPRIV_TOKEN_SECRET"], "extra": {"ca": lab["PVE_CA"]}}  # fmt: skip
    done = lab.lake("doctor", check=False, env={"AIRFLOW_CONN_PROXMOX": json.dumps(token)})
    assert (done.returncode, lab["PVE_NOPRIV_TOKEN_SECRET"] in done.stdout + done.stderr, done.stderr) == (1, False, "")
    wrong = [line for line in done.stdout.splitlines() if line.startswith("✗")]
    assert all(lab["PVE_NOPRIV_TOKEN_ID"] in line or "proxmox" in line.lower() or "VM 100" in line for line in wrong), done.stdout
    assert any("pveum acl modify /vms/100" in line for line in done.stdout.splitlines()), done.stdout
    assert any(line.startswith("✓ kubernetes_default: ") for line in done.stdout.splitlines()), "one part hides no other"


def test_nothing_of_the_probe_is_left(site: Site) -> None:
    left = site.s3().list_object_versions(Bucket="datalake", Prefix=".homelake/")
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")


def held_by_airflow(site: Site, home: Path) -> None:
    """Fail when a secret is in Airflow's database (XComs, rendered templates) or in its logs."""
    _, secret = _pair(site)
    needles = [s.encode() for s in (secret, site.lab["S3_ROOT_PASSWORD"], site.lab["PVE_BOOTSTRAP_TOKEN_SECRET"])]
    files = [file for file in home.rglob("*") if file.is_file()]
    assert [file for file in files if file.name == "airflow.db"], f"there is no database in {home}"
    for file in files:
        content = file.read_bytes()
        assert not [n for n in needles if n in content], f"a secret is in {file}"


def test_no_secret_is_in_airflow(site: Site) -> None:
    held_by_airflow(site, site.lab.state / "airflow")
