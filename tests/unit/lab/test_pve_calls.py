"""Calls of the Proxmox VE stand-in from end to end, without QEMU: what a client sees."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lab.pve import power, routes_backup, routes_copies, routes_power, routes_storage, routes_vm  # noqa: F401 (they declare the calls)
from lab.pve.auth import Who
from lab.pve.config import VmConfig
from lab.pve.errors import ApiError
from lab.pve.server import Server
from lab.pve.tasks import Task
from lab.pve.vms import Vms
from tests.unit.lab.rig import ROOT, make

QEMU = "/nodes/pve/qemu"


async def request(vms: Vms, method: str, path: str, who: Who = ROOT, **given: Any) -> Any:
    """A call's `data`."""
    server = Server(vms, None, "192.0.2.1", Path("pve.pem"))  # type: ignore[arg-type]

    async def read() -> dict[str, Any]:
        return given

    return (await server.call(method, path, who, read))["data"]


def call(vms: Vms, method: str, path: str, who: Who = ROOT, **given: Any) -> Any:
    return asyncio.run(request(vms, method, path, who, **given))


def ended(vms: Vms, method: str, path: str, **given: Any) -> Task:
    """The task of a call, after its end."""

    async def act() -> Task:
        return await vms.tasks.wait(await request(vms, method, path, **given), 10)

    return asyncio.run(act())


def refused(vms: Vms, method: str, path: str, **given: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call(vms, method, path, **given)
    return caught.value


@pytest.mark.parametrize("verb", ["start", "stop", "shutdown"])
def test_power_of_a_vm_that_does_not_exist_fails_in_its_task(vms: Vms, verb: str) -> None:
    status = ended(vms, "POST", f"{QEMU}/999/status/{verb}").exitstatus
    assert status == ("Configuration file 'nodes/pve/qemu-server/999.conf' does not exist" if verb == "start" else
                      "unable to find configuration file for VM 999 on node 'pve'")  # fmt: skip


@pytest.mark.parametrize("verb", ["reset", "reboot", "suspend", "resume"])
def test_what_needs_a_running_vm_refuses_one_that_does_not_exist(vms: Vms, verb: str) -> None:
    error = refused(vms, "POST", f"{QEMU}/999/status/{verb}")
    assert (error.status, error.message) == (500, "unable to find configuration file for VM 999 on node 'pve'")


def test_a_backup_of_a_vm_that_does_not_exist_fails_in_its_task(vms: Vms) -> None:
    task = ended(vms, "POST", "/nodes/pve/vzdump", vmid="999", storage="local")
    assert task.exitstatus == "job errors" and "ERROR: Backup of VM 999 failed - unable to find VM '999'" in task.log


def test_a_disk_of_a_format_that_its_storage_does_not_have_is_refused(vms: Vms) -> None:
    task = ended(vms, "POST", QEMU, vmid="100", scsi0="local-lvm:1,format=qcow2")
    assert task.exitstatus == "unable to create VM 100 - unsupported format 'qcow2'" and vms.files.ids() == []
    asyncio.run(make(vms, 100, scsi0="local-lvm:1,format=raw", ide2="local-lvm:cloudinit,format=qcow2"))
    assert vms.files.read(100).current["ide2"] == "local-lvm:vm-100-cloudinit,media=cdrom,size=4M"
    error = refused(vms, "PUT", f"{QEMU}/100/config", scsi1="local-lvm:1,format=qcow2")
    assert (error.status, error.message) == (500, "unsupported format 'qcow2'")
    assert ended(vms, "POST", f"{QEMU}/100/config", scsi1="local-lvm:1,format=qcow2").exitstatus == "unsupported format 'qcow2'"
    assert vms.storages.owned(100) == ["local-lvm:vm-100-cloudinit", "local-lvm:vm-100-disk-0"] and "scsi1" not in vms.files.read(100).effective()


def test_doubled_slashes_are_one_but_inside_a_volumes_id(vms: Vms) -> None:
    assert call(vms, "GET", "//nodes//pve/qemu") == [] and call(vms, "GET", "/nodes/pve//storage/local///status")["type"] == "dir"
    error = refused(vms, "GET", "/nodes/pve/storage/local/content//local:iso//debian.iso")
    assert error.message == "unable to parse volume ID 'local:iso//debian.iso'"


def test_the_standing_of_a_vm(vms: Vms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    asyncio.run(make(vms, 100, cores="8", sockets="2", balloon="256", scsi0="local-lvm:1"))
    status = call(vms, "GET", f"{QEMU}/100/status/current")
    assert (status["cpus"], status["balloon_min"], status["shares"], status["netin"]) == (4, 256 << 20, 1000, 5)
    assert {"nics", "blockstat", "proxmox-support"}.isdisjoint(call(vms, "GET", QEMU)[0]) and "blockstat" not in status
    asyncio.run(power.start(vms, 100))
    status = call(vms, "GET", f"{QEMU}/100/status/current")
    assert status["nics"] == {"tap100i0": {"netin": 2, "netout": 1}, "tap100i1": {"netin": 3, "netout": 0}}
    assert status["blockstat"] == {"scsi0": {"rd_bytes": 1, "wr_bytes": 2}, "virtio1": {"rd_bytes": 3, "wr_bytes": 4}, "ide2": {"rd_bytes": 0, "wr_bytes": 0}}
    assert (status["diskread"], status["diskwrite"], status["proxmox-support"]) == (4, 6, {})


@pytest.mark.parametrize("force", ["0", "1"])
def test_force_needs_something_to_delete(vms: Vms, force: str) -> None:
    asyncio.run(make(vms, 100))
    assert refused(vms, "PUT", f"{QEMU}/100/config", force=force, cores="2").errors == {"delete": "missing property - 'force' requires this property"}


def test_a_lock_is_passed_over_by_root_who_says_so(vms: Vms) -> None:
    asyncio.run(make(vms, 100, scsi0="local-lvm:1"))
    vms.files.write(100, VmConfig(vms.files.read(100).current | {"lock": "backup"}))
    resize, bigger = f"{QEMU}/100/resize", {"disk": "scsi0", "size": "2G"}
    assert ended(vms, "PUT", resize, **bigger).exitstatus == ended(vms, "DELETE", f"{QEMU}/100").exitstatus == "VM is locked (backup)"
    assert ended(vms, "PUT", resize, **bigger, skiplock="1").exitstatus == "OK" and "size=2G" in vms.files.read(100).current["scsi0"]
    assert ended(vms, "DELETE", f"{QEMU}/100", skiplock="1").exitstatus == "OK" and vms.files.ids() == []


def test_volumes_are_in_the_order_of_the_alphabet(vms: Vms) -> None:
    for name in ("vm-100-b", "vm-100-A", "vm-100-C"):
        asyncio.run(vms.storages.allocate("local-lvm", 100, 1, name))
    rows = call(vms, "GET", "/nodes/pve/storage/local-lvm/content")
    assert [r["volid"] for r in rows] == [f"local-lvm:vm-100-{n}" for n in "AbC"]


def test_a_vm_that_is_made_is_started_by_a_task_of_its_own(vms: Vms) -> None:
    async def act() -> list[Task]:
        made = await vms.tasks.wait(await request(vms, "POST", QEMU, vmid="100", start="1", machine="q35"), 10)
        started = next(t for t in vms.tasks.known.values() if t.type == "qmstart")
        return [made, await vms.tasks.wait(started.upid, 10)]

    made, started = asyncio.run(act())
    assert (made.exitstatus, made.log[-2:]) == ("OK", ["Execute autostart", "TASK OK"])
    assert (started.id, started.user, started.exitstatus) == ("100", ROOT.token, "machine type 'q35' is not covered by this stand-in")
