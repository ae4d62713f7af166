"""What the API does to VM 100, as the guest sees it: a disk plugged in, grown, pulled out; flags that wait for a reboot."""

import time
from typing import Any

import pytest

from tests.conftest import TestLab
from tests.lab.conftest import Task

pytestmark = pytest.mark.lab

DISK = "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi5"


def until(lab: TestLab, command: str, wanted: str, seconds: float = 60) -> None:
    """Run a command in the guest until it prints what is wanted."""
    deadline = time.monotonic() + seconds
    while (printed := lab.ssh(command, check=False).strip()) != wanted:
        assert time.monotonic() < deadline, f"{command}: {printed!r} instead of {wanted!r}"
        time.sleep(0.5)


def block(lab: TestLab, columns: str) -> list[str]:
    return lab.ssh(f"lsblk -dnb -o {columns} {DISK}").split()


def test_a_disk_from_plug_to_pull(fresh_lab: TestLab, node: Any, done: Task) -> None:
    lab, vm = fresh_lab, node.qemu(100)
    boot = lab.ssh("cat /proc/sys/kernel/random/boot_id")
    done(vm.config.post(scsi5="local-lvm:500,backup=1,discard=on,iothread=1,ssd=1"))
    until(lab, f"test -b {DISK} && echo there", "there")
    size, rota, discard = block(lab, "SIZE,ROTA,DISC-MAX")
    assert (int(size), rota) == (500 << 30, "0") and int(discard) > 0
    lab.ssh(f"sudo mkfs.ext4 -q {DISK} && sudo mkdir -p /mnt/x && sudo mount {DISK} /mnt/x && echo data | sudo tee /mnt/x/file >/dev/null")
    done(vm.resize.set(disk="scsi5", size="+100G"))
    until(lab, f"lsblk -dnb -o SIZE {DISK}", str(600 << 30))
    assert lab.ssh("cat /mnt/x/file") == "data\n"
    lab.ssh("sudo umount /mnt/x")
    volume = vm.config.get()["scsi5"].split(",")[0]
    vm.unlink.set(idlist="scsi5")
    until(lab, f"test -e {DISK} || echo gone", "gone")
    vm.config.set(scsi5=volume)
    until(lab, f"sudo mount {DISK} /mnt/x && cat /mnt/x/file", "data")
    assert block(lab, "ROTA") == ["1"], "the flags went with the slot"
    assert lab.ssh("cat /proc/sys/kernel/random/boot_id") == boot


@pytest.mark.long
def test_a_reboot_applies_what_waits(fresh_lab: TestLab, node: Any, done: Task) -> None:
    lab, vm = fresh_lab, node.qemu(100)
    if "scsi5" not in vm.config.get():
        done(vm.config.post(scsi5="local-lvm:600"))
        until(lab, f"test -b {DISK} && echo there", "there")
    volume = vm.config.get()["scsi5"].split(",")[0]
    vm.config.set(scsi5=f"{volume},ssd=1,discard=on")
    waiting = {r["key"]: r["pending"] for r in vm.pending.get() if "pending" in r}
    assert waiting == {"scsi5": f"{volume},discard=on,size=600G,ssd=1"} and block(lab, "ROTA") == ["1"]
    lab.close_ssh()
    status = done(vm.status.reboot.post(timeout=200))
    assert status["type"] == "qmreboot"
    until(lab, f"lsblk -dnb -o ROTA {DISK}", "0", seconds=420)
    assert [r for r in vm.pending.get() if "pending" in r] == []
    vm.unlink.set(idlist="scsi5", force=1)
    assert {v["volid"] for v in node.storage("local-lvm").content.get(vmid=100)} == {"local-lvm:vm-100-disk-0"}
