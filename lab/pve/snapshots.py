"""Snapshots: QEMU's own, inside the qcow2 volumes; with `vmstate` the memory too, so that a rollback is a warm start."""

import time

from lab.pve import boot
from lab.pve.errors import ApiError, failed
from lab.pve.storage import qemu_img
from lab.pve.vms import Vms

META = ("snaptime", "vmstate", "parent", "description", "runningmachine")


async def create(vms: Vms, vmid: int, name: str, description: str, *, memory: bool) -> None:
    """Take a snapshot of a VM's disks, and with `memory` of the running machine."""
    config, machine = vms.files.read(vmid), vms.machine(vmid)
    if name in config.snapshots:
        raise failed(f"snapshot name '{name}' already used")
    disks = boot.disks(config.current)
    nodes = [f"drive-{slot}" for slot in disks]
    memory = memory and machine.pid() is not None
    if memory:
        await machine.job(f"save-{name}", "snapshot-save", {"tag": name, "vmstate": nodes[0], "devices": nodes})
    elif machine.pid():
        await machine.qmp("stop")
        try:
            for node in nodes:
                await machine.qmp("blockdev-snapshot-internal-sync", {"device": node, "name": name})
        finally:
            await machine.qmp("cont")
    else:
        for volume, _ in disks.values():
            await qemu_img("snapshot", "-c", name, vms.storages.path(volume))
    config = vms.files.read(vmid)
    config.snapshots[name] = {k: v for k, v in config.current.items() if k != "parent"} | {"snaptime": str(int(time.time()))}
    if "parent" in config.current:
        config.snapshots[name]["parent"] = config.current["parent"]
    if memory:
        config.snapshots[name]["vmstate"] = "1"
    if description:
        config.snapshots[name]["description"] = description
    config.current["parent"] = name
    vms.files.write(vmid, config)


async def rollback(vms: Vms, vmid: int, name: str, *, start: bool) -> None:
    """Take a VM back to a snapshot. One with memory runs on from there, its clock set right."""
    config, machine = vms.files.read(vmid), vms.machine(vmid)
    section = _section(config.snapshots, name)
    await machine.kill()
    kept = {volume for volume, _ in boot.disks(section).values()}
    for volume, _ in boot.disks(config.current).values():
        if volume not in kept and all(volume not in s.values() and volume not in str(s) for s in config.snapshots.values()):
            vms.storages.free(volume)
    for volume in kept:
        await qemu_img("snapshot", "-a", name, vms.storages.path(volume))
    config.current = {k: v for k, v in section.items() if k not in META} | {"parent": name}
    config.pending, config.delete = {}, set()
    vms.files.write(vmid, config)
    if section.get("vmstate") == "1":
        await vms.start(vmid, paused=True)
        nodes = [f"drive-{slot}" for slot in boot.disks(section)]
        await machine.job(f"load-{name}", "snapshot-load", {"tag": name, "vmstate": nodes[0], "devices": nodes})
        await machine.qmp("cont")
        await set_clock(vms, vmid)
    elif start:
        await vms.start(vmid)


async def set_clock(vms: Vms, vmid: int) -> None:
    """Tell the guest what time it is: it slept, and signatures of S3 requests depend on it."""
    for _ in range(5):
        try:
            await vms.machine(vmid).agent("guest-set-time", {"time": time.time_ns()}, timeout=4)
        except ApiError:
            continue
        return


async def delete(vms: Vms, vmid: int, name: str) -> None:
    """Forget a snapshot; those that came after it stay."""
    config, machine = vms.files.read(vmid), vms.machine(vmid)
    section = _section(config.snapshots, name)
    slots = boot.disks(section)
    if machine.pid():
        nodes = [f"drive-{slot}" for slot, (volume, _) in slots.items() if boot.disks(config.current).get(slot, ("",))[0] == volume]
        await machine.job(f"delete-{name}", "snapshot-delete", {"tag": name, "devices": nodes})
    else:
        for volume, _ in slots.values():
            await qemu_img("snapshot", "-d", name, vms.storages.path(volume))
    config = vms.files.read(vmid)
    del config.snapshots[name]
    for holder in (config.current, *config.snapshots.values()):
        if holder.get("parent") == name:
            holder.pop("parent")
            if "parent" in section:
                holder["parent"] = section["parent"]
    vms.files.write(vmid, config)


def listing(vms: Vms, vmid: int) -> list[dict[str, object]]:
    """All snapshots of a VM, and `current`, what it is now."""
    config = vms.files.read(vmid)
    rows: list[dict[str, object]] = []
    for name, section in config.snapshots.items():
        row: dict[str, object] = {"name": name, "description": section.get("description", ""), "snaptime": int(section["snaptime"]),
                                  "vmstate": int(section.get("vmstate", 0))}  # fmt: skip
        rows.append(row | ({"parent": section["parent"]} if "parent" in section else {}))
    now: dict[str, object] = {"name": "current", "description": "You are here!", "digest": config.digest(),
                              "running": int(vms.machine(vmid).pid() is not None)}  # fmt: skip
    return [*rows, now | ({"parent": config.current["parent"]} if "parent" in config.current else {})]


def _section(snapshots: dict[str, dict[str, str]], name: str) -> dict[str, str]:
    if name not in snapshots:
        raise failed(f"snapshot '{name}' does not exist")
    return snapshots[name]
