"""Disks plugged into a running VM and taken out of it."""

import asyncio
import contextlib

from lab.pve import boot
from lab.pve.config import VmConfig
from lab.pve.errors import ApiError, failed
from lab.pve.machine import Machine
from lab.pve.vms import Vms


async def plug(vms: Vms, vmid: int, config: VmConfig, slot: str) -> None:
    """Plug a slot's drive into the running VM; what QEMU refuses waits for the next start."""
    machine, (volume, options) = vms.machine(vmid), boot.disks(config.current)[slot]
    single = config.current.get("scsihw") == "virtio-scsi-single"
    try:
        await machine.qmp("blockdev-add", boot.block_node(slot, vms.storages.path(volume), options))
        if single:
            await machine.qmp("device_add", boot.controller(slot))
        await machine.qmp("device_add", boot.disk_device(slot, options, single=single))
    except ApiError as error:
        config.pending[slot] = config.current.pop(slot)
        vms.files.write(vmid, config)
        raise failed(f"hotplug problem - adding drive failed: {error.message}") from None


async def unplug(vms: Vms, vmid: int, config: VmConfig, slot: str) -> None:
    """Take a slot's drive out of the running VM."""
    machine = vms.machine(vmid)
    present = {d["qdev"] for d in await machine.qmp("query-block") if d.get("qdev")}
    if slot in {p.rpartition("/")[2] for p in present}:
        await machine.qmp("device_del", {"id": slot})
        await _until_gone(machine, slot)
    if config.current.get("scsihw") == "virtio-scsi-single":
        with contextlib.suppress(ApiError):
            await machine.qmp("device_del", {"id": f"virtioscsi{slot[4:]}"})
            await _until_gone(machine, f"virtioscsi{slot[4:]}")
    for _ in range(50):
        if f"drive-{slot}" not in {n["node-name"] for n in await machine.qmp("query-named-block-nodes", {"flat": True})}:
            return
        with contextlib.suppress(ApiError):
            await machine.qmp("blockdev-del", {"node-name": f"drive-{slot}"})
        await asyncio.sleep(0.1)
    raise failed(f"hotplug problem - error unplugging drive '{slot}'")


async def _until_gone(machine: Machine, device: str) -> None:
    for _ in range(150):
        found = await machine.qmp("qom-list", {"path": "/machine/peripheral"})
        if device not in {d["name"] for d in found}:
            return
        await asyncio.sleep(0.1)
    raise failed(f"error unplugging device '{device}': the guest did not let go of it")
