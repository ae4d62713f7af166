"""How large a disk is, asked by the guest's own script: most SCSI controllers keep what they knew until the disk is looked at once more."""

from pathlib import Path

import pytest

from include.adapters.host.storage import BY_ID
from include.lake.resources.filesystem import FilesystemState
from tests.unit.adapters.host.scripts import Here

EXT4 = "Block count: 262144\nBlock size: 4096"  # 1 GiB


@pytest.fixture
def guest(tmp_path: Path) -> Here:
    guest = Here(tmp_path)
    disk = guest.file("/dev/disk/sdb")
    disk.touch()
    guest.file(BY_ID.format(slot="scsi1")).symlink_to(disk)
    for name in ("udevadm", "lsblk", "wipefs"):
        guest.stand_in(name, "")
    guest.stand_in("blkid", "printf 'TYPE=ext4\\nUUID=1\\nLABEL=data\\n'")
    guest.stand_in("dumpe2fs", f"echo '{EXT4}'")
    return guest


@pytest.mark.parametrize(("controller", "fills"), [("rescans", False), ("refuses", True), ("none", True)])
def test_a_disk_that_grew_is_seen(guest: Here, controller: str, fills: bool) -> None:
    rescan = guest.file("/sys/block/sdb/device/rescan")
    if controller == "rescans":
        rescan.write_text("0")
    elif controller == "refuses":
        rescan.mkdir()
    guest.stand_in("blockdev", f"grep -qs 1 {rescan} && echo {2 << 30} || echo {1 << 30}")
    found = guest.device("scsi1")
    assert found.state == FilesystemState("ext4", "1", "data", fills_device=fills)
