"""VMs made, copied and removed."""

import re
import secrets
import time
from typing import Any

from lab.pve import boot, disks
from lab.pve.auth import Who
from lab.pve.config import VmConfig
from lab.pve.errors import failed
from lab.pve.schema import DISK_KEY, VOLUME_KEY, join_properties, split_properties
from lab.pve.tasks import Task
from lab.pve.vms import Vms, new_mac


async def create(vms: Vms, vmid: int, who: Who, values: dict[str, Any], task: Task) -> None:
    """Make a VM; if that fails nothing of it is left."""
    config = VmConfig()
    try:
        for name, value in values.items():
            if DISK_KEY.fullmatch(name):
                await disks.set_disk(vms, vmid, who, config, name, str(value), running=False)
                task.log.append(f"{name}: successfully created disk '{config.current[name]}'")
            else:
                config.current[name] = _with_mac(str(value)) if re.fullmatch(r"net\d+", name) else str(value)
        config.current.setdefault("smbios1", f"uuid={secrets.token_hex(4)}-{secrets.token_hex(2)}-4{secrets.token_hex(2)[1:]}-"
                                             f"a{secrets.token_hex(2)[1:]}-{secrets.token_hex(6)}")  # fmt: skip
        config.current.setdefault("meta", f"creation-qemu=7.2.0,ctime={int(time.time())}")
        vms.files.write(vmid, config)
    except BaseException:
        for volume, _ in boot.disks(config.current).values():
            vms.storages.free(volume)
        vms.files.remove(vmid)
        raise


async def destroy(vms: Vms, vmid: int, *, unreferenced: bool) -> None:
    """Remove a stopped VM and its volumes."""
    config = vms.files.read(vmid)
    if config.current.get("protection") == "1":
        raise failed(f"can't remove VM {vmid} - protection mode enabled")
    for section in (config.current, config.pending, *config.snapshots.values()):
        for key, value in section.items():
            if VOLUME_KEY.fullmatch(key):
                vms.storages.free(split_properties(value, "file")[0])
    if unreferenced:
        for volume in await vms.storages.content("local-lvm", vmid=vmid):
            vms.storages.free(str(volume["volid"]))
    vms.files.remove(vmid)


async def clone(vms: Vms, vmid: int, newid: int, name: str | None, storage: str | None, *, full: bool, snapshot: str | None) -> None:
    """Copy a VM: its disks in full, or as overlays on a template's."""
    source = vms.files.read(vmid)
    section = source.snapshots.get(snapshot, {}) if snapshot else source.current
    config = VmConfig({k: v for k, v in section.items() if not k.startswith("unused") and k not in ("template", "vmgenid", "parent", "snaptime")})
    if not full and section.get("template") != "1":
        raise failed("Linked clone feature is not supported for drive 'scsi0'")
    if vms.machine(vmid).pid():
        await vms.machine(vmid).qmp("stop")
    try:
        for slot, (volume, options) in boot.disks(section).items():
            copy = await vms.storages.copy(vms.storages.path(volume), storage or volume.partition(":")[0], newid, linked=not full)
            config.current[slot] = join_properties(copy, options)
    finally:
        if vms.machine(vmid).pid():
            await vms.machine(vmid).qmp("cont")
    for key in [k for k in config.current if re.fullmatch(r"net\d+", k)]:
        config.current[key] = re.sub(r"=[0-9A-Fa-f:]{17}", f"={new_mac()}", config.current[key])
    config.current["name"] = name or f"Copy-of-VM-{section.get('name', vmid)}"
    vms.files.write(newid, config)


def _with_mac(net: str) -> str:
    return net if re.search(r"=[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", net) else re.sub(r"^(model=)?([\w-]+)", rf"\2={new_mac()}", net, count=1)
