"""Everything was made by hand: disk, filesystem, mount, account, MinIO, bucket, user, policy, namespace and secret. It is taken over without touching data."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from botocore.exceptions import ClientError, EndpointConnectionError

from include.adapters.binaries import Binaries
from tests.conftest import TestLab
from tests.e2e.conftest import Site
from tests.e2e.test_drift import admin
from tests.e2e.test_storage import Second

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1200)]
BODIES = {f"years/{n}.bin": bytes([n]) * 5000 for n in range(10)}
PASSWORD, SIZE, UUID = "a-password-of-spark-user", "20 GiB", "0b5e0f5c-3c1f-4b7e-9d52-5f0a6a5b1c11"
DEVICE = "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1"
# As many a guide has it: the data in the mount, a system account with a shell, a line by label, a short unit.
BY_HAND = f"""set -e
until [ -e {DEVICE} ]; do udevadm settle; sleep 0.2; done
mkfs.ext4 -q -U {UUID} -L old-data {DEVICE}
mkdir -p /mnt/minio_data; echo 'LABEL=old-data /mnt/minio_data ext4 defaults 0 2' >>/etc/fstab; systemctl daemon-reload; mount /mnt/minio_data
useradd --system --user-group --no-create-home --shell /bin/bash minio-user; chown minio-user:minio-user /mnt/minio_data
cp /usr/local/lib/by-hand/*/by-hand /usr/local/bin/minio; rm -rf /usr/local/lib/by-hand
cat >/etc/default/minio; chmod 600 /etc/default/minio
cat >/etc/systemd/system/minio.service <<'UNIT'
[Unit]
Description=MinIO, by hand
[Service]
User=minio-user
EnvironmentFile=/etc/default/minio
ExecStart=/usr/local/bin/minio server $MINIO_VOLUMES
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload; systemctl enable --quiet --now minio
"""
LOOK = "sudo sh -c 'cd /mnt/minio_data && find datalake -printf \"%p %i %U %m %C@\\n\" | sort; blkid -p -s UUID -o value {DEVICE}'"


@dataclass(frozen=True)
class Old:
    """What was made by hand, and the declaration that takes it over."""

    site: Site
    file: str

    def lake(self, *args: str, check: bool = True) -> tuple[int, str]:
        done = self.site.lab.lake(args[0], "--file", self.file, *args[1:], check=check, timeout=570)
        return done.returncode, done.stdout + done.stderr

    def data(self) -> str:
        """The bucket's files with inode, owner, mode and time of the last change, and the filesystem's UUID."""
        return self.site.lab.ssh(LOOK.replace("{DEVICE}", DEVICE))

    def objects(self) -> dict[str, bytes]:
        """Every object, read with the key pair of the secret as it is."""
        s3 = self.site.s3("spark-user", PASSWORD)
        return {k: s3.get_object(Bucket="datalake", Key=k)["Body"].read() for k in BODIES}

    def secret(self) -> dict[str, str]:
        return dict(json.loads(self.site.kubectl("-n", "spark-jobs", "get", "secret", "minio-s3-keys", "-o", "json"))["data"])


@pytest.fixture(scope="module")
def old(fresh_lab: TestLab, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    """Made by hand, on a VM as new; which it is again afterwards, since no other test could use this lake."""
    folder, lab = tmp_path_factory.mktemp("adopt"), fresh_lab
    Second(site, folder).proxmox("POST", "/config", scsi1="local-lvm:20,ssd=1,discard=on,iothread=1,backup=0")
    _send_program(site)
    lab.ssh("sudo tee /root/by-hand.sh >/dev/null", input=BY_HAND)
    settings = f"MINIO_VOLUMES=/mnt/minio_data\nMINIO_ROOT_USER={lab['S3_ROOT_USER']}\nMINIO_ROOT_PASSWORD={lab['S3_ROOT_PASSWORD']}\n"
    lab.ssh("sudo bash /root/by-hand.sh", input=settings)
    _fill(site)
    site.kubectl("create", "namespace", "spark-jobs")
    site.kubectl("-n", "spark-jobs", "create", "secret", "generic", "minio-s3-keys", "--from-literal=access-key=spark-user", f"--from-literal=secret-key={PASSWORD}",
                 "--from-literal=someones=other")  # fmt: skip
    content = yaml.safe_load(Path("include/lake.yaml").read_text())
    content["vm"]["disk"]["size"], content["filesystem"]["uuid"], content["buckets"][0]["quota"] = SIZE, UUID, "10 GiB"
    file = folder / "lake.yaml"
    file.write_text(yaml.safe_dump(content))
    yield Old(site, str(file))
    lab.reset()


def _send_program(site: Site) -> None:
    """MinIO's program, to where the script by hand takes it from."""
    from include.adapters.clients import Clients
    from include.settings import connections

    clients = Clients(connections(site.lab).__getitem__)
    source = site.lake.minio_binary.source
    _, sha256 = Binaries(print).fetch(source, "x86_64")
    clients.host.stage("by-hand", source, sha256)
    clients.close()


def _fill(site: Site) -> None:
    """Bucket, objects, a policy, a user with a password."""
    s3, deadline = site.s3(), time.monotonic() + 240
    while True:
        try:
            s3.create_bucket(Bucket="datalake", ObjectLockEnabledForBucket=True)
            break
        except (ClientError, EndpointConnectionError):
            assert time.monotonic() < deadline, "the MinIO started by hand does not answer"
            time.sleep(1)
    for key, body in BODIES.items():
        s3.put_object(Bucket="datalake", Key=key, Body=body)
    allowed = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::datalake", "arn:aws:s3:::datalake/*"]}
    admin(site).policy_add("everything", policy={"Version": "2012-10-17", "Statement": [allowed]})
    admin(site).user_add("spark-user", PASSWORD)
    admin(site).policy_set("everything", user="spark-user")


def test_without_the_uuid_the_disk_is_refused(old: Old) -> None:
    done = old.site.lab.lake("plan", "vm-disk/100/scsi1", "filesystem/scsi1", check=False)
    assert done.returncode == 1
    assert "already carries ext4" in done.stdout


def test_it_is_taken_over_without_touching_data(old: Old) -> None:
    data, secret = old.data(), old.secret()
    code, plan = old.lake("plan", check=False)
    assert code == 2, plan
    for line in ("    backup: no → yes", "    uuid: LABEL=old-data → " + UUID, "    protected: no → yes", "    login: yes → no", "      -everything", "      +spark-user",
                 "+ policy/spark-user", "    quota: 10 GiB", "+ service-account/spark-jobs/spark-sa"):  # fmt: skip
        assert line in plan, f"{line!r} is not in\n{plan}"
    for resource in ("filesystem/scsi1", "binary/minio", "namespace/spark-jobs", "keypair/spark-user"):
        assert resource not in plan, "what is as declared is not in a plan"
    assert old.data() == data

    old.lake("apply", "--yes")
    assert old.lake("plan")[1].startswith("No changes: the lake is as declared")
    assert old.data() == data, "inode, owner, mode and time of every file of the bucket"
    assert old.secret() == secret
    assert old.objects() == BODIES
    fstab = old.site.lab.ssh("cat /etc/fstab")
    assert f"UUID={UUID} /mnt/minio_data" in fstab
    assert "old-data" not in fstab


@pytest.mark.long
def test_a_removal_leaves_what_was_there_before(old: Old) -> None:
    data = old.data()
    code, text = old.lake("remove", "--yes", "homelake")
    assert code == 0
    for line in ("= keypair/spark-user  stays: Homelake did not make the secret", "= namespace/spark-jobs  stays: ", "= user/spark-user  stays: ",
                 "= binary/minio  stays: the program was put there by hand"):  # fmt: skip
        assert line in text
    assert "- service/minio" in text
    done = old.site.lab.lake("remove", "--file", old.file, "--yes", "homelake", "--data", "filesystem/scsi1", check=False)
    assert "= filesystem/scsi1  stays: the disk carries ext4 that Homelake did not make" in done.stdout
    old.lake("apply", "--yes")
    assert old.data() == data
    assert old.objects() == BODIES
