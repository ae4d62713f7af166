"""Pending changes of a VM's settings applied: all of them to a VM that is stopped, what it can take on to one that runs."""

import re

from lab.pve import disks, hotplug
from lab.pve.auth import Who
from lab.pve.config import VmConfig
from lab.pve.errors import ApiError, failed
from lab.pve.options import option
from lab.pve.properties import DISK_KEY, DRIVE_KEY, split_properties
from lab.pve.vms import Vms

# Options of a drive whose change waits for the next start of the VM.
COLD_DRIVE = {"aio", "discard", "iothread", "queues", "product", "cache", "ssd", "vendor", "ro"}


def cold(vms: Vms, who: Who | None, vmid: int, config: VmConfig) -> dict[str, str]:
    """Apply all that waits to a VM that does not run; what could not be, by setting, goes on waiting.

    `who` is None at the VM's start: whoever asked for the change was judged then.
    """
    errors: dict[str, str] = {}
    for name, force in sorted(config.delete.items()):
        try:
            _take_off(vms, who, vmid, config, name, config.current[name], force=force)
        except ApiError as error:
            errors[name] = f"unable to apply pending change {name} : {error.message}"
            continue
        del config.current[name], config.delete[name]
    for name, value in config.pending.items():
        if DRIVE_KEY.fullmatch(name) and name in config.current and _volume(config.current[name]) != _volume(value):
            disks.let_go(vms, vmid, config, config.current[name])
        config.current[name] = value
    config.pending = {}
    return errors


def _take_off(vms: Vms, who: Who | None, vmid: int, config: VmConfig, name: str, value: str, *, force: bool) -> None:
    if DRIVE_KEY.fullmatch(name):
        if force:
            disks.drop(vms, who or Who("root@pam"), vmid, config, name, value)
        else:
            disks.let_go(vms, vmid, config, value)


def _volume(drive: str) -> str:
    return split_properties(drive, "file")[0]


async def hot(vms: Vms, who: Who, vmid: int, config: VmConfig, chosen: set[str], errors: dict[str, str]) -> None:
    """Apply to a running VM what it can take on, of what was chosen; `errors` gets what went wrong, by setting."""
    for name in [n for n in config.pending if _is_hot(n)]:
        config.current[name] = config.pending.pop(name)
    for name, force in sorted(config.delete.items()):
        if name in chosen:
            try:
                if await _delete_hot(vms, vmid, config, name):
                    _take_off(vms, who, vmid, config, name, config.current[name], force=force)
                    del config.current[name], config.delete[name]
            except ApiError as error:
                errors[name] = f"hotplug problem - {error.message}"
    for name, value in sorted(config.pending.items()):
        if name in chosen:
            try:
                if await _change_hot(vms, vmid, config, name, value):
                    config.current[name] = config.pending.pop(name)
            except ApiError as error:
                errors[name] = f"hotplug problem - {error.message}"


def _is_hot(name: str) -> bool:
    known = option(name)
    return known is not None and known.hot


def _disks_plug(config: VmConfig, slot: str) -> bool:
    features = config.current.get("hotplug", "1")
    return DISK_KEY.fullmatch(slot) is not None and not slot.startswith(("ide", "sata")) and (features == "1" or "disk" in features)


async def _delete_hot(vms: Vms, vmid: int, config: VmConfig, name: str) -> bool:
    if DRIVE_KEY.fullmatch(name):
        if not _disks_plug(config, name):
            return False
        await hotplug.unplug(vms.machine(vmid), config.current, name)
        return True
    return _is_hot(name) or name == "hotplug"


async def _change_hot(vms: Vms, vmid: int, config: VmConfig, name: str, value: str) -> bool:
    """Make one change on a running VM; False when it has to wait."""
    if name in ("hotplug", "agent"):
        return name == "hotplug" or _agent(config.current.get("agent", "")) == _agent(value)
    if re.fullmatch(r"net\d+", name) and name in config.current:
        return await _change_link(vms, vmid, name, config.current[name], value)
    if not DISK_KEY.fullmatch(name):
        return False
    machine, old = vms.machine(vmid), config.current.get(name)
    if old is not None:
        (old_volume, was), (volume, now) = split_properties(old, "file"), split_properties(value, "file")
        if was.get("media", "disk") != now.get("media", "disk"):
            raise failed("unable to change media type")
        if was.get("media") == "cdrom":
            await hotplug.change_medium(machine, vms.storages, name, value)
            if volume == "none":
                disks.let_go(vms, vmid, config, old)
            return True
        if old_volume == volume:
            changed = {k for k in was.keys() | now.keys() if was.get(k) != now.get(k)}
            if changed & COLD_DRIVE:
                return False
            if any(k.startswith(("mbps", "iops")) for k in changed):
                await hotplug.throttle(machine, name, now)
            return True
        if not _disks_plug(config, name):
            return False
        await hotplug.unplug(machine, config.current, name)
        disks.keep_unused(vmid, config, config.current.pop(name))
        vms.files.write(vmid, config)
    if not _disks_plug(config, name):
        return False
    await hotplug.plug(machine, vms.storages, config.current, name, value)
    return True


async def _change_link(vms: Vms, vmid: int, card: str, old: str, new: str) -> bool:
    """Plug the cable in or pull it; anything else about a card waits."""
    was, now = (split_properties(text, "")[1] for text in (old, new))
    down = [options.pop("link_down", "0") for options in (was, now)]
    if was != now:
        return False
    if down[0] != down[1]:
        await hotplug.set_link(vms.machine(vmid), card, up=down[1] == "0")
    return True


def _agent(text: str) -> tuple[str, dict[str, str]]:
    lead, named = split_properties(text, "enabled")
    named.pop("fstrim_cloned_disks", None)  # the one that does not need another virtual device
    return lead, named
