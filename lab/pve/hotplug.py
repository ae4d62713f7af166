"""Drives plugged into a running VM, taken out of it, and changed in it."""

import asyncio
import contextlib

from lab.pve import boot
from lab.pve.errors import ApiError, failed
from lab.pve.machine import Machine
from lab.pve.properties import split_properties
from lab.pve.storage import Storages

PATIENCE = 5.0  # seconds for the guest to let go of a device
_NO_MEDIUM = ("none", "cdrom")


async def plug(machine: Machine, storages: Storages, config: dict[str, str], slot: str, value: str) -> None:
    """Plug a drive into a SCSI or VirtIO slot of a running VM."""
    if slot in await machine.devices():  # a stand-in that was killed had come this far
        return
    volume, options = split_properties(value, "file")
    single = config.get("scsihw") == "virtio-scsi-single"
    device = boot.drive_device(slot, options, single=single)
    if volume in _NO_MEDIUM:
        del device["drive"]
    else:
        await machine.qmp("blockdev-add", boot.block_node(slot, storages.path(volume), options))
    try:
        if single and slot.startswith("scsi") and f"virtioscsi{slot[4:]}" not in await machine.devices():
            await machine.qmp("device_add", boot.controller(slot))
        await machine.qmp("device_add", device)
    except ApiError as error:
        with contextlib.suppress(ApiError):
            await machine.qmp("blockdev-del", {"node-name": f"drive-{slot}"})
        raise failed(f"adding drive failed: {error.message}") from None


async def unplug(machine: Machine, config: dict[str, str], slot: str) -> None:
    """Take a slot's drive out of a running VM. Raises when the guest does not let go of it."""
    if slot in await machine.devices():
        await machine.qmp("device_del", {"id": slot})
        if not await _gone(machine, slot):
            raise failed(f"error on hot-unplugging device '{slot}'")
    controller = f"virtioscsi{slot[4:]}"
    if slot.startswith("scsi") and config.get("scsihw") == "virtio-scsi-single" and controller in await machine.devices():
        # A guest that has not booted keeps the empty controller; the next drive in this slot uses it.
        with contextlib.suppress(ApiError):
            await machine.qmp("device_del", {"id": controller})
            await _gone(machine, controller)
    for _ in range(50):
        if f"drive-{slot}" not in {n["node-name"] for n in await machine.qmp("query-named-block-nodes", {"flat": True})}:
            return
        with contextlib.suppress(ApiError):
            await machine.qmp("blockdev-del", {"node-name": f"drive-{slot}"})
        await asyncio.sleep(0.1)
    raise failed(f"error unplugging drive '{slot}'")


async def _gone(machine: Machine, device: str) -> bool:
    for _ in range(int(PATIENCE / 0.1)):
        if device not in await machine.devices():
            return True
        await asyncio.sleep(0.1)
    return False


async def change_medium(machine: Machine, storages: Storages, slot: str, value: str) -> None:
    """Put another medium into a CD-ROM drive, or none."""
    volume, _ = split_properties(value, "file")
    await machine.qmp("blockdev-open-tray", {"id": slot, "force": True})
    with contextlib.suppress(ApiError):
        await machine.qmp("blockdev-remove-medium", {"id": slot})
    if volume in _NO_MEDIUM:
        return
    path = storages.path(volume)
    await machine.qmp("blockdev-change-medium", {"id": slot, "filename": str(path), "format": "qcow2" if path.suffix == ".qcow2" else "raw"})


async def throttle(machine: Machine, slot: str, options: dict[str, str]) -> None:
    """Limit what a drive may do."""
    limits: dict[str, object] = {"id": slot}
    for suffix in ("", "_rd", "_wr"):
        limits[f"bps{suffix}"] = int(float(options.get(f"mbps{suffix}", 0)) * 2**20)
        limits[f"iops{suffix}"] = int(options.get(f"iops{suffix}", 0))
    await machine.qmp("block_set_io_throttle", limits)


async def set_link(machine: Machine, card: str, *, up: bool) -> None:
    """Plug a network card's cable in, or pull it."""
    await machine.qmp("set_link", {"name": card, "up": up})
