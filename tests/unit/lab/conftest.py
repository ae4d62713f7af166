"""A node of the Proxmox VE stand-in for the unit tests."""

from pathlib import Path

import pytest

from lab.pve import disks, snapshots, storage, vzdump
from lab.pve.vms import Settings, Vms
from tests.unit.lab.rig import FakeMachine, qemu_img


@pytest.fixture
def vms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vms:
    """A node without a VM."""
    for module in (storage, disks, snapshots, vzdump):
        monkeypatch.setattr(module, "qemu_img", qemu_img)
    made, machines = Vms(Settings("pve", tmp_path, "vmbr0", "tcg")), dict[int, FakeMachine]()
    monkeypatch.setattr(made, "machine", lambda vmid: machines.setdefault(vmid, FakeMachine(tmp_path)))
    return made
