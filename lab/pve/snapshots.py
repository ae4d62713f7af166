"""Snapshots: QEMU's own, inside the qcow2 volumes; with `vmstate` the memory too, so that a rollback is a warm start."""

import time

from lab.pve import boot, power
from lab.pve.config import VmConfig
from lab.pve.disks import keep_unused
from lab.pve.errors import ApiError, failed
from lab.pve.machine import Machine
from lab.pve.properties import agent_enabled
from lab.pve.storage import qemu_img
from lab.pve.tasks import Task
from lab.pve.vms import Vms

META = ("snaptime", "vmstate", "parent", "runningmachine")
AWAKE = 30  # seconds within which a guest that was just woken, on a busy machine, answers
_NOT_KEPT = ("lock", "description", "digest")  # what is the VM's own, not a snapshot's


def _copied(section: dict[str, str], without: tuple[str, ...] = ()) -> dict[str, str]:
    return {k: v for k, v in section.items() if k not in (*_NOT_KEPT, *without) and not k.startswith("unused")}


async def create(vms: Vms, vmid: int, name: str, description: str | None, *, memory: bool) -> None:
    """Take a snapshot of a VM's disks, and with `memory` of the running machine."""

    def check(config: VmConfig) -> None:
        if config.current.get("template") == "1":
            raise failed("you can't take a snapshot if it's a template")
        if name in config.snapshots:
            raise failed(f"snapshot name '{name}' already used")

    async with vms.marked(vmid, "snapshot", check):
        config, machine = vms.files.read(vmid), vms.machine(vmid)
        found = boot.disks(config.current)
        memory = memory and machine.pid() is not None
        extra = {"snaptime": str(int(time.time()))} | ({"description": description} if description else {})
        if memory:
            extra |= {"vmstate": f"local-lvm:vm-{vmid}-state-{name}", "runningmachine": (await machine.describe())["running-machine"]}
        await _save(vms, vmid, name, found, memory=memory)
        config.snapshots[name] = _copied(config.current) | extra
        config.current["parent"] = name
        vms.files.write(vmid, config)


async def _save(vms: Vms, vmid: int, name: str, found: dict[str, tuple[str, dict[str, str]]], *, memory: bool) -> None:
    machine, nodes = vms.machine(vmid), [f"drive-{slot}" for slot in found]
    if memory:
        if not nodes:
            raise failed("a snapshot with memory needs a disk to keep it on")
        await machine.job(f"save-{name}", "snapshot-save", {"tag": name, "vmstate": nodes[0], "devices": nodes})
    elif machine.pid():
        actions = [{"type": "blockdev-snapshot-internal-sync", "data": {"device": node, "name": name}} for node in nodes]
        await machine.qmp("transaction", {"actions": actions})  # all as of one moment
    else:
        for volume, _ in found.values():
            await qemu_img("snapshot", "-c", name, vms.storages.path(volume))


async def rollback(vms: Vms, vmid: int, name: str, task: Task) -> None:
    """Take a VM back to a snapshot. One with memory runs on from there, its clock set right."""

    def check(config: VmConfig) -> None:
        if config.current.get("template") == "1":
            raise failed("you can't rollback if vm is a template")
        config.section(name)

    async with vms.marked(vmid, "rollback", check):
        config, machine = vms.files.read(vmid), vms.machine(vmid)
        section = config.snapshots[name]
        await machine.kill()
        kept = {volume for volume, _ in boot.disks(section).values()}
        for volume in kept:
            await qemu_img("snapshot", "-a", name, vms.storages.path(volume))
        for volume, _ in boot.disks(config.current).values():
            if volume not in kept:
                keep_unused(vmid, config, volume)
        own = {k: v for k, v in config.current.items() if k in ("lock", "description") or k.startswith("unused")}
        config.current = own | _copied(section, META) | {"parent": name}
        config.pending, config.delete = {}, {}
        vms.files.write(vmid, config)
        if "vmstate" in section:
            await power.start(vms, vmid, paused=True)
            nodes = [f"drive-{slot}" for slot in boot.disks(section)]
            await machine.job(f"load-{name}", "snapshot-load", {"tag": name, "vmstate": nodes[0], "devices": nodes})
            await machine.qmp("cont")
            if agent_enabled(section.get("agent", "0")):
                try:
                    await set_clock(machine)
                except ApiError as error:  # a guest may have none, whatever its setting says
                    task.say(f"WARNING: the guest's clock stands where it was: {error.message}")


async def set_clock(machine: Machine) -> None:
    """Tell the guest what time it is: it slept, and signatures of S3 requests depend on it. Raises when it does not take it on."""
    await machine.agent("guest-ping", timeout=AWAKE)  # slow, just woken; so the time is told after it
    for _ in range(5):
        await machine.agent("guest-set-time", {"time": time.time_ns()}, timeout=AWAKE)
        before = time.time()
        guest = await machine.agent("guest-get-time", timeout=AWAKE) / 1e9
        if before - 0.5 < guest < time.time() + 0.5:
            return
    raise failed("the guest's clock could not be set")


async def delete(vms: Vms, vmid: int, name: str) -> None:
    """Forget a snapshot; those that came after it stay."""

    def check(config: VmConfig) -> None:
        config.section(name)

    async with vms.marked(vmid, "snapshot-delete", check):
        config, machine = vms.files.read(vmid), vms.machine(vmid)
        section = config.snapshots.pop(name)
        live = {volume: slot for slot, (volume, _) in boot.disks(config.current).items()} if machine.pid() else {}
        nodes = []
        for volume, _ in boot.disks(section).values():
            if volume in live:
                nodes.append(f"drive-{live[volume]}")
            elif vms.storages.path(volume).exists():
                await qemu_img("snapshot", "-d", name, vms.storages.path(volume))
        if nodes:
            await machine.job(f"delete-{name}", "snapshot-delete", {"tag": name, "devices": nodes})
        for holder in (config.current, *config.snapshots.values()):
            if holder.get("parent") == name:
                holder.pop("parent")
                holder |= {"parent": section["parent"]} if "parent" in section else {}
        vms.files.write(vmid, config)


async def describe(vms: Vms, vmid: int, name: str, description: str) -> None:
    """Change a snapshot's description."""
    async with vms.locked(vmid):
        config = vms.files.read(vmid)
        config.check_lock()
        config.section(name)["description"] = description
        vms.files.write(vmid, config)


def listing(vms: Vms, vmid: int) -> list[dict[str, object]]:
    """All snapshots of a VM, and `current`, what it is now."""
    config = vms.files.read(vmid)
    rows: list[dict[str, object]] = []
    for name, section in config.snapshots.items():
        row: dict[str, object] = {"name": name, "description": section.get("description", ""), "snaptime": int(section.get("snaptime", 0)),
                                  "vmstate": int("vmstate" in section)}  # fmt: skip
        rows.append(row | ({"parent": section["parent"]} if "parent" in section else {}))
    now: dict[str, object] = {"name": "current", "description": "You are here!", "digest": config.digest(), "running": int(vms.running(vmid))}
    return [*rows, now | ({"parent": config.current["parent"]} if "parent" in config.current else {})]
