"""What the real rigs share: the lab's parts, and in its VM a second disk beside the lake's, with names of their own."""

from collections.abc import Callable
from dataclasses import dataclass

import requests

from include.adapters.clients import Clients
from include.connections import Connection
from include.lake.resources.filesystem import FilesystemState
from include.lake.resources.vm_disk import VmDiskState
from include.lake.units import Size
from tests.conftest import TestLab

SLOT, TARGET, NAME = "scsi4", "/mnt/hl-contract", "hl-contract"
UUID, OTHER = "6f1f2c5e-0a1b-4c2d-8e3f-123456789abc", "6f1f2c5e-0a1b-4c2d-8e3f-000000000000"
MADE = FilesystemState("ext4", UUID, "contract")
DEVICE = f"/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-{SLOT}"
MAKE = f"mkfs.ext4 -q -F -U {UUID} -L contract -m 0 $dev"
UNMOUNT = f"""
while mountpoint -q {TARGET}; do umount {TARGET}; done
chattr -i {TARGET} 2>/dev/null; rm -rf {TARGET}
sed -i '\\|{TARGET}|d' /etc/fstab
"""
RELOAD = "systemctl daemon-reload; systemctl reset-failed"  # costs an emulated VM seconds: left to the end


@dataclass(frozen=True)
class Parts:
    """The lab's real parts: the adapters' clients, as Homelake makes them. `further` are connections that a test adds."""

    lab: TestLab
    clients: Clients
    further: dict[str, Callable[[], Connection]]

    def root(self, script: str, *, check: bool = True) -> str:
        """Run a shell script in the VM as root, past the adapters; what it printed."""
        return self.lab.ssh("sudo bash -s", input=script, check=check)


@dataclass(frozen=True)
class Disk:
    """The VM with a disk of 2 GiB in SLOT."""

    parts: Parts

    def carry(self, script: str = "") -> None:
        """Clear the disk, and put on it what the script makes ($dev)."""
        clear = f"{UNMOUNT}\ndev={DEVICE}; wipefs -qaf $dev; partx -d $dev 2>/dev/null\n"
        self.parts.root(f"{clear}{script}\nsync; udevadm trigger --settle $dev")

    def plug(self) -> None:
        """Add the disk to the running VM, and wait until the guest has it."""
        self.parts.clients.proxmox.add_disk("pve", 100, SLOT, VmDiskState("local-lvm", Size(2 << 30), iothread=True))
        self.parts.root(f"until [ -e {DEVICE} ]; do udevadm settle; sleep 0.1; done")

    def clear(self) -> None:
        """Take away the mount, and the disk with its volume."""
        lab = self.parts.lab
        self.parts.root(UNMOUNT + RELOAD)
        if SLOT in self.parts.clients.proxmox.config("pve", 100):
            headers = {"Authorization": f"PVEAPIToken={lab['PVE_TOKEN_ID']}={lab['PVE_TOKEN_SECRET']}"}
            answer = requests.put(f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/100/unlink", {"idlist": SLOT, "force": 1}, headers=headers,
                                  verify=lab["PVE_CA"], timeout=120)  # fmt: skip
            assert answer.status_code == 200, answer.reason
