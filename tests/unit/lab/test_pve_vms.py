"""What the Proxmox VE stand-in does to its VMs' settings and volumes, without QEMU."""

import asyncio
from pathlib import Path

import pytest

from lab.pve import archives, change, copies, power
from lab.pve.change import Change
from lab.pve.errors import ApiError
from lab.pve.properties import split_properties
from lab.pve.restore import restore
from lab.pve.vms import Vms
from tests.unit.lab.rig import ROOT, machine, make, task

MEMORY = Change({"memory": "256"})


def update(vms: Vms, vmid: int, wanted: Change) -> None:
    asyncio.run(change.update(vms, ROOT, vmid, wanted))


def waiting(vms: Vms, vmid: int = 100) -> dict[str, str]:
    return vms.files.read(vmid).pending


@pytest.fixture
def running(vms: Vms) -> Vms:
    """A node with VM 100, which runs; a change of its memory waits."""
    asyncio.run(make(vms, 100, memory="128", scsi0="local-lvm:1"))
    asyncio.run(power.start(vms, 100))
    update(vms, 100, MEMORY)
    assert waiting(vms) == {"memory": "256"}
    return vms


@pytest.mark.parametrize("how", ["stop", "shutdown", "shutdown by force", "reboot"])
def test_what_waits_is_applied_when_the_api_stops_the_vm(running: Vms, how: str) -> None:
    machine(running, 100).obeys = how != "shutdown by force"
    asyncio.run({"stop": lambda: power.stop(running, 100), "shutdown": lambda: power.shutdown(running, 100, 1),
                 "shutdown by force": lambda: power.shutdown(running, 100, 1, force=True), "reboot": lambda: power.reboot(running, 100, 1)}[how]())  # fmt: skip
    assert waiting(running) == {} and running.files.read(100).current["memory"] == "256"
    assert running.running(100) == (how == "reboot")


def test_what_waits_goes_on_waiting_when_the_vm_is_not_stopped_by_the_api(running: Vms) -> None:
    machine(running, 100).obeys = False
    with pytest.raises(ApiError, match="got timeout"):
        asyncio.run(power.shutdown(running, 100, 1))
    assert waiting(running) == {"memory": "256"}
    machine(running, 100).up = False  # the guest's own poweroff, or a crash
    asyncio.run(power.stop(running, 100))
    asyncio.run(power.shutdown(running, 100, 1))
    assert waiting(running) == {"memory": "256"}
    asyncio.run(power.start(running, 100))
    assert waiting(running) == {} and running.files.read(100).current["memory"] == "256"


WITH_STATE = {"scsi0": "local-lvm:1", "ide2": "local-lvm:cloudinit", "efidisk0": "local-lvm:1", "tpmstate0": "local-lvm:1"}


@pytest.mark.parametrize("linked", [False, True])
def test_a_clone_has_volumes_of_its_own(vms: Vms, linked: bool) -> None:
    asyncio.run(make(vms, 100, **WITH_STATE))
    if linked:
        asyncio.run(copies.template(vms, 100, None))
    before = vms.storages.owned(100)
    copies.reserve(vms, 101, "clone")
    asyncio.run(copies.clone(vms, ROOT, 100, 101, {}))
    config = vms.files.read(101).current
    held = {slot: split_properties(config[slot], "file")[0] for slot in WITH_STATE}
    assert set(held.values()) == set(vms.storages.owned(101)) and len(set(held.values())) == 4
    assert config["ide2"] == "local-lvm:vm-101-cloudinit,media=cdrom,size=4M" and vms.storages.owned(100) == before


def test_tpm_state_of_a_running_vm_is_not_cloned(vms: Vms) -> None:
    asyncio.run(make(vms, 100, **WITH_STATE))
    asyncio.run(power.start(vms, 100))
    with pytest.raises(ApiError, match="cannot clone TPM state while VM is running"):
        copies.clone_source(vms, ROOT, 100, {})


@pytest.mark.parametrize("wanted", [Change({}, ["ide2"]), Change({"ide2": "none,media=cdrom"})], ids=["deleted", "ejected"])
@pytest.mark.parametrize("up", [False, True])
def test_a_cloudinit_drive_that_is_taken_off_is_gone(vms: Vms, wanted: Change, up: bool) -> None:
    asyncio.run(make(vms, 100, **WITH_STATE))
    volume = "local-lvm:vm-100-cloudinit"
    if up:
        asyncio.run(power.start(vms, 100))
    update(vms, 100, wanted)
    if up and wanted.delete:  # IDE cannot be plugged: it goes when the VM is stopped
        assert volume in vms.storages.owned(100)
        asyncio.run(power.stop(vms, 100))
    assert volume not in vms.storages.owned(100) and "unused0" not in vms.files.read(100).current


def test_a_cloudinit_drive_that_is_gone_is_made_for_the_start(vms: Vms) -> None:
    asyncio.run(make(vms, 100, **WITH_STATE))
    vms.storages.free("local-lvm:vm-100-cloudinit")
    asyncio.run(power.start(vms, 100))
    assert "local-lvm:vm-100-cloudinit" in vms.storages.owned(100)


@pytest.mark.parametrize("how", ["create", "clone", "restore"])
def test_what_fails_leaves_what_was_there_before(vms: Vms, tmp_path: Path, how: str) -> None:
    asyncio.run(make(vms, 100, scsi0="local-lvm:1", scsi1="local-lvm:1"))
    kept = asyncio.run(vms.storages.allocate("local-lvm", 101, 1 << 30, "vm-101-data"))
    copies.reserve(vms, 101, "create")

    async def act() -> None:
        if how == "create":
            await copies.create(vms, 101, {"scsi0": "local-lvm:1", "scsi1": kept, "scsi2": "local-lvm:0,import-from=local:import/none.raw"}, None, task())
        elif how == "clone":
            vms.storages.free("local-lvm:vm-100-disk-1")
            await copies.clone(vms, ROOT, 100, 101, {})
        else:
            await restore(vms, 101, archives.new(vms.storages, "local", 100, "0", 0), {}, None, task(), unique=False)

    with pytest.raises(ApiError):
        asyncio.run(act())
    assert vms.storages.owned(101) == [kept]
    if how == "restore":  # as Proxmox VE 8.4 (PVE::API2::Qemu, create_vm): "VM state is NOT cleaned up"
        assert vms.files.read(101).current == {"memory": "128"}
        asyncio.run(copies.destroy(vms, 101, unreferenced=False))
    assert vms.files.ids() == [100]
