"""Changes of a VM's configuration: who may make them, what holds at once and what waits for the next start."""

import re
from typing import Any

from lab.pve import disks
from lab.pve.auth import Who
from lab.pve.config import VmConfig
from lab.pve.errors import ApiError, bad_parameters, failed
from lab.pve.schema import DISK_KEY, VOLUME_KEY, config_parameter, split_properties
from lab.pve.vms import Vms

HOT = re.compile(r"name|description|tags|onboot|protection|startup|hotplug|template|boot|bootdisk|ipconfig\d+|ciuser|cipassword|sshkeys|"
                 r"nameserver|searchdomain|citype|ciupgrade|unused\d+|agent|ostype")  # fmt: skip


def may_change(vms: Vms, who: Who, vmid: int, names: set[str]) -> None:
    """Raise unless the caller may change these parameters."""
    for name in sorted(names):
        _, privilege = config_parameter(name) or (None, "VM.Config.Options")
        if privilege == "root":
            if not who.root:
                raise ApiError(403, f"only root can set '{name}' config")
        else:
            who.need(f"/vms/{vmid}", privilege)


async def update(vms: Vms, vmid: int, who: Who, values: dict[str, Any], delete: set[str], revert: set[str], digest: str | None) -> None:
    """Change a VM's configuration; what a running VM cannot take on waits under pending."""
    config, machine = vms.files.read(vmid), vms.machine(vmid)
    if digest and digest != config.digest():
        raise failed("detected modified configuration - file changed by other user? Try again.")
    if overlap := delete.intersection(values):
        raise bad_parameters({next(iter(overlap)): "you can't use '-" + next(iter(overlap)) + "' and -delete at the same time"})
    for name in revert:
        config.pending.pop(name, None)
        config.delete.discard(name)
    running = machine.pid() is not None
    for name in sorted(delete):
        await _delete(vms, vmid, config, name, running=running)
    for name, value in values.items():
        config.delete.discard(name)
        if DISK_KEY.fullmatch(name):
            await disks.set_disk(vms, vmid, who, config, name, str(value), running=running)
        elif running and not HOT.fullmatch(name) and config.current.get(name) != str(value):
            config.pending[name] = str(value)
        else:
            config.pending.pop(name, None)
            config.current[name] = str(value)
    vms.files.write(vmid, config)


async def _delete(vms: Vms, vmid: int, config: VmConfig, name: str, *, running: bool) -> None:
    if name in config.pending:
        value = config.pending.pop(name)
        if VOLUME_KEY.fullmatch(name) and name not in config.current:
            vms.storages.free(split_properties(value, "file")[0])
    if name not in config.current:
        return
    if name.startswith("unused"):
        vms.storages.free(config.current.pop(name))
    elif DISK_KEY.fullmatch(name):
        await disks.detach(vms, vmid, config, name, running=running)
    elif running and not HOT.fullmatch(name):
        config.delete.add(name)
    else:
        del config.current[name]


async def unlink(vms: Vms, vmid: int, names: list[str], *, force: bool) -> None:
    """Take disks off a VM; with `force` remove their volumes too."""
    config, running = vms.files.read(vmid), vms.machine(vmid).pid() is not None
    for name in names:
        if not VOLUME_KEY.fullmatch(name):
            raise bad_parameters({"idlist": f"invalid format - unable to parse drive id '{name}'"})
        volume = split_properties(config.current.get(name, ""), "file")[0]
        await _delete(vms, vmid, config, name, running=running)
        if force and volume:
            for key in [k for k, v in config.current.items() if k.startswith("unused") and v == volume]:
                del config.current[key]
            vms.storages.free(volume)
    vms.files.write(vmid, config)
