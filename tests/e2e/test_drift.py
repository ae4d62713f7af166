"""A change by hand is shown by `./lake plan` as exactly that drift, and `./lake apply` takes it back."""

import base64
import json
from collections.abc import Callable

import pytest
import requests
from minio import MinioAdmin
from minio.credentials import StaticProvider

from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.long]  # make test finds a change of every kind at once: test_governance.py


def admin(site: Site) -> MinioAdmin:
    """MinIO's admin API as root."""
    host = site.lab["S3_ENDPOINT"].removeprefix("http://")
    provider = StaticProvider(site.lab["S3_ROOT_USER"], site.lab["S3_ROOT_PASSWORD"])
    return MinioAdmin(endpoint=host, credentials=provider, secure=False, region=site.lab["S3_REGION"])


def quota(site: Site) -> None:
    admin(site).bucket_quota_set("datalake", 5 << 30)


def policy(site: Site) -> None:
    allowed = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}
    admin(site).policy_add("spark-user", policy={"Version": "2012-10-17", "Statement": [allowed]})


def user(site: Site) -> None:
    admin(site).user_disable("spark-user")


def fstab(site: Site) -> None:
    site.lab.ssh(r"sudo sed -i 's/,nofail//' /etc/fstab")


def bare_directory(site: Site) -> None:
    site.lab.ssh("sudo unshare -m sh -c 'mount --make-rprivate /; umount -l /mnt/minio_data; chattr -i /mnt/minio_data'")


def owner(site: Site) -> None:
    site.lab.ssh("sudo chmod 0777 /mnt/minio_data")


def login(site: Site) -> None:
    site.lab.ssh("sudo usermod --shell /bin/bash minio-user")


def stopped(site: Site) -> None:
    site.lab.ssh("sudo systemctl stop minio")


def settings(site: Site) -> None:
    site.lab.ssh("sudo sed -i 's/MINIO_FS_OSYNC=on/MINIO_FS_OSYNC=off/' /etc/default/minio")


def readable(site: Site) -> None:
    site.lab.ssh("sudo chmod 0644 /etc/default/minio")


def unit(site: Site) -> None:
    site.lab.ssh("sudo sed -i 's/^NoNewPrivileges=yes/NoNewPrivileges=no/' /etc/systemd/system/minio.service")


def binary(site: Site) -> None:
    site.lab.ssh("sudo sh -c 'cp --remove-destination /bin/true /usr/local/bin/minio'")


def secret(site: Site) -> None:
    patch = {"data": {"secret-key": base64.b64encode(b"not-what-minio-knows").decode()}}
    site.kubectl("-n", "spark-jobs", "patch", "secret", "minio-s3-keys", "-p", json.dumps(patch))


def role(site: Site) -> None:
    patch = [{"op": "add", "path": "/rules/-", "value": {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}}]
    site.kubectl("-n", "spark-jobs", "patch", "role", "spark-sa", "--type=json", "-p", json.dumps(patch))


CASES: list[tuple[Callable[[Site], None], str, set[str]]] = [
    (quota, "bucket/datalake", {"quota"}),
    (policy, "policy/spark-user", {"grants"}),
    (user, "user/spark-user", {"enabled"}),
    (fstab, "mount/mnt/minio_data", {"options"}),
    (bare_directory, "mount/mnt/minio_data", {"protected"}),
    (owner, "account/minio-user", {"owns_data"}),
    (login, "account/minio-user", {"login"}),
    (settings, "service/minio", {"environment", "current"}),
    (readable, "service/minio", {"closed"}),
    (unit, "service/minio", {"unit", "current"}),
    (binary, "binary/minio", {"sha256"}),
    (secret, "keypair/spark-user", {"accepted"}),
    (role, "service-account/spark-jobs/spark-sa", {"rules"}),
]


def _drift(site: Site) -> dict[str, set[str]]:
    done = site.lab.lake("plan", "--json", check=False)
    rows = json.loads(done.stdout)
    assert not [r for r in rows if r["error"]], rows
    return {r["resource"]: {c["field"] for c in r["changes"]} for r in rows if r["status"] != "ok"}


@pytest.mark.parametrize(("change", "resource", "fields"), CASES, ids=[f.__name__ for f, _, _ in CASES])
def test_one_change_is_shown_as_exactly_that(converged: Site, change: Callable[[Site], None], resource: str, fields: set[str]) -> None:
    """That the repair holds is shown by the next one, which must find its own drift and no other."""
    change(converged)
    found = _drift(converged)
    if resource == "binary/minio":  # what runs is then another program than the one in place
        found.pop("service/minio", None)
    assert found == {resource: fields}
    converged.lab.lake("apply", "--yes", resource, *(["service/minio"] if resource == "binary/minio" else []))


def test_a_stopped_service_is_shown_and_hides_only_what_is_in_it(converged: Site) -> None:
    stopped(converged)
    found = _drift(converged)
    inside = {r.id for r in converged.lake.resources() if r.id.split("/")[0] in ("bucket", "policy", "user", "keypair")}
    assert found == {"service/minio": {"serving"}} | {r: set() for r in inside}
    converged.lab.lake("apply", "--yes")
    assert _drift(converged) == {}


def test_a_disk_flag_waits_for_a_restart_and_is_told_so(converged: Site) -> None:
    """Changed on an attached disk it is pending in Proxmox: taken back while it waits, it is no change at all."""
    lab = converged.lab
    url, headers = f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/100", {"Authorization": f"PVEAPIToken={lab['PVE_TOKEN_ID']}={lab['PVE_TOKEN_SECRET']}"}

    def config() -> dict[str, str]:
        return requests.get(f"{url}/config", headers=headers, verify=lab["PVE_CA"], timeout=30).json()["data"]  # type: ignore[no-any-return]

    was = config()["scsi1"]
    answer = requests.put(f"{url}/config", headers=headers, data={"scsi1": was.replace("backup=1", "backup=0")}, verify=lab["PVE_CA"], timeout=30)
    assert answer.status_code == 200, answer.text
    found = _drift(converged)
    assert found in ({"vm-disk/100/scsi1": {"backup"}}, {}), found  # what Proxmox applies at once, and what it keeps pending
    lab.lake("apply", "--yes", "vm-disk/100/scsi1")
    assert _drift(converged) == {}
    assert "backup=0" not in config()["scsi1"]
