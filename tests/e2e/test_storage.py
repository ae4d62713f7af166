"""Disk, filesystem and mount on real parts (A1–A3): adding, growing online, and everything that must be refused. A second disk is used, never the lake's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
MOUNT = "/mnt/second_lake"
IDS = ("vm-disk/100/scsi2", "filesystem/scsi2", f"mount{MOUNT}")
# One Linux partition of 1 GiB and the table's signature: the guest has no tool that makes them.
MBR = r"\x00\x00\x02\x00\x83\x00\x00\x00\x00\x08\x00\x00\x00\x00\x20\x00" + r"\x00" * 48 + r"\x55\xaa"
BY_ID = "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi2"


class Second:
    """A second declaration on the same VM: slot scsi2, a mount point of its own."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.file = site, folder / "lake.yaml"
        self.declare("10 GiB")

    def declare(self, size: str, **disk: Any) -> None:
        """Write the declaration with this size."""
        content = yaml.safe_load(Path("include/lake.yaml").read_text())
        content["name"] = "second"
        content["vm"]["disk"] |= {"slot": "scsi2", "size": size, **disk}
        content["filesystem"]["mount_point"] = MOUNT
        self.file.write_text(yaml.safe_dump(content))

    def apply(self, *ids: str, force: str = "") -> tuple[int, str]:
        """`./lake apply` of disk, filesystem and mount."""
        forced = ["--force", force] if force else []
        done = self.site.lab.lake("apply", "--yes", "--file", str(self.file), *forced, *(ids or IDS), check=False)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    def proxmox(self, method: str, path: str, **data: str) -> Any:
        """A bare call of the Proxmox VE API."""
        lab = self.site.lab
        headers = {"Authorization": f"PVEAPIToken={lab['PVE_TOKEN_ID']}={lab['PVE_TOKEN_SECRET']}"}
        answer = requests.request(method, f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/100{path}", headers=headers, data=data, verify=lab["PVE_CA"], timeout=60)
        assert answer.status_code == 200, answer.reason
        return answer.json()["data"]

    def clear(self) -> None:
        """Take mount, line and disk away, as an owner would by hand."""
        ssh = self.site.lab.ssh
        ssh(f"sudo umount {MOUNT} 2>/dev/null; sudo chattr -i {MOUNT} 2>/dev/null; sudo rmdir {MOUNT} 2>/dev/null; true")
        ssh(f"sudo sed -i '\\|{MOUNT}|d' /etc/fstab; sudo systemctl daemon-reload")
        if "scsi2" in self.proxmox("GET", "/config"):
            self.proxmox("PUT", "/unlink", idlist="scsi2", force="1")


@pytest.fixture
def second(site: Site, tmp_path: Path) -> Iterator[Second]:
    """A second disk may be made; afterwards it is gone."""
    made = Second(site, tmp_path)
    made.clear()
    yield made
    made.clear()


def test_it_grows_online_with_its_filesystem_and_never_shrinks(second: Second) -> None:
    ssh = second.site.lab.ssh
    assert second.apply()[0] == 0
    ssh(f"sudo sh -c 'echo kept >{MOUNT}/file'")
    before = int(ssh(f"findmnt -bno SIZE {MOUNT}"))
    second.declare("12 GiB")
    code, text = second.apply()
    assert code == 0, text
    assert "size: 10 GiB → 12 GiB" in text
    assert int(ssh(f"lsblk -bndo SIZE $(readlink -f {BY_ID})")) == 12 << 30
    assert int(ssh(f"findmnt -bno SIZE {MOUNT}")) > before * 1.15
    assert ssh(f"sudo cat {MOUNT}/file") == "kept\n"
    assert "No changes" in second.apply()[1]
    second.declare("11 GiB")
    code, text = second.apply(force="vm-disk/100/scsi2")
    assert code == 1
    assert "Unable to shrink vm-disk/100/scsi2: it has 12 GiB and 11 GiB are declared; a disk never shrinks" in text


@pytest.mark.long
def test_a_flag_waits_for_a_restart_and_is_told_as_pending(second: Second) -> None:
    assert second.apply(IDS[0])[0] == 0
    second.declare("10 GiB", ssd=False)
    code, text = second.apply(IDS[0])
    assert code == 0, text
    assert "waits until the VM is stopped and started" in text
    posts = _posts(second)
    code, text = second.apply(IDS[0])
    assert code == 0
    assert "No changes" in text
    assert _posts(second) == posts, "what is pending was written again"


def _posts(second: Second) -> int:
    log = (second.site.lab.state / "pve" / "access.log").read_text()
    return sum(" POST /api2/json/nodes/pve/qemu/100/config " in line for line in log.splitlines())


@pytest.mark.parametrize("what", ["filesystem", *(pytest.param(w, marks=pytest.mark.long) for w in ("partition table", "swap"))])
def test_a_disk_that_carries_anything_is_never_formatted(second: Second, what: str) -> None:
    ssh = second.site.lab.ssh
    assert second.apply(IDS[0])[0] == 0
    made = {
        "partition table": f"bash -c \"printf '{MBR}'\" | sudo dd of={BY_ID} bs=1 seek=446 conv=notrunc,fsync status=none; sudo blockdev --rereadpt {BY_ID}",
        "filesystem": f"sudo mkfs.ext4 -q -F -L someones {BY_ID}",
        "swap": f"sudo mkswap {BY_ID} >/dev/null",
    }[what]
    ssh(f"set -e; sudo udevadm settle; test -e {BY_ID}; {made}; sudo udevadm settle")
    before = ssh(f"sudo dd if={BY_ID} bs=1M count=8 status=none | sha256sum")
    for force in ("", "filesystem/scsi2"):
        code, text = second.apply(IDS[1], force=force)
        assert code == 1
        assert "Unable to format filesystem/scsi2" in text
        assert "never formats a disk that carries something" in text
    assert ssh(f"sudo dd if={BY_ID} bs=1M count=8 status=none | sha256sum") == before


@pytest.mark.long
def test_a_mkfs_that_was_killed_half_way_is_made_again(second: Second) -> None:
    ssh = second.site.lab.ssh
    assert second.apply(IDS[0], IDS[1])[0] == 0
    uuid = ssh(f"sudo blkid -p -s UUID -o value {BY_ID}").strip()
    ssh(f"sudo e2label {BY_ID} homelake-making")  # what a killed run leaves: ours by its UUID, not complete by its label
    code, text = second.apply()
    assert code == 0, text
    assert ssh(f"sudo blkid -p -s LABEL -s UUID -o value {BY_ID}").split() in ([["second", uuid], [uuid, "second"]])
    assert ssh(f"findmnt -no UUID {MOUNT}").strip() == uuid


@pytest.mark.long
def test_what_is_in_the_way_of_a_mount_is_refused(second: Second) -> None:
    ssh = second.site.lab.ssh
    ssh(f"sudo mkdir -p {MOUNT}; sudo touch {MOUNT}/someones-file")
    assert second.apply(IDS[0], IDS[1])[0] == 0
    code, text = second.apply(IDS[2])
    assert code == 1
    assert "holds 1 entries, which the mount would hide" in text
    ssh(f"sudo rm {MOUNT}/someones-file")
    ssh(f"echo '/dev/sda9 {MOUNT} ext4 defaults 0 2' | sudo tee -a /etc/fstab >/dev/null")
    code, text = second.apply(IDS[2])
    assert code == 1
    assert "/etc/fstab names another filesystem" in text


def test_a_slot_with_a_foreign_volume_is_refused(second: Second) -> None:
    second.proxmox("PUT", "/config", scsi2="none,media=cdrom")
    code, text = second.apply(IDS[0])
    assert code == 1
    assert "Unable to use slot scsi2 of VM 100: it holds none, which is not a disk of this VM" in text


@pytest.mark.long
def test_a_vm_whose_disk_is_gone_still_boots(second: Second) -> None:
    """`nofail`: shown by systemd's own reading of the line, since the lake's test of a whole reboot is elsewhere."""
    assert second.apply()[0] == 0
    unit = MOUNT.strip("/").replace("/", "-") + ".mount"
    wants = second.site.lab.ssh("systemctl show local-fs.target -p Requires,Wants")
    lines = dict(line.split("=", 1) for line in wants.splitlines())
    assert unit in lines["Wants"]
    assert unit not in lines["Requires"]
