"""A VM's disks: what its slots hold, where the volumes come from, how they grow."""

import re

from lab.pve import boot, hotplug
from lab.pve.auth import Who
from lab.pve.config import VmConfig
from lab.pve.errors import failed
from lab.pve.schema import join_properties, split_properties
from lab.pve.storage import qemu_img, size_bytes, size_text
from lab.pve.vms import Vms

HOT_DRIVE = {"backup", "replicate", "mbps", "mbps_rd", "mbps_wr", "iops", "iops_rd", "iops_wr", "size", "shared"}


async def set_disk(vms: Vms, vmid: int, who: Who, config: VmConfig, slot: str, text: str, *, running: bool) -> None:
    """Put a drive into a slot, or change the flags of the one that is there."""
    volume, options = split_properties(text, "file")
    if volume == "none" or options.get("media") == "cdrom":
        config.current[slot] = text
        return
    old = config.current.get(slot)
    old_volume = split_properties(old, "file")[0] if old else None
    volume = await _volume(vms, vmid, who, volume, options)
    if old is not None and old_volume == volume:
        options.setdefault("size", split_properties(old, "file")[1].get("size", "0"))
        _change_flags(config, slot, join_properties(volume, options), running=running)
        return
    if old is not None:
        await detach(vms, vmid, config, slot, running=running)
    for key in [k for k, v in config.current.items() if k.startswith("unused") and v == volume]:
        del config.current[key]
    config.current[slot] = join_properties(volume, options)
    vms.files.write(vmid, config)  # before it is plugged in: a killed stand-in must know of the volume
    if running:
        if not slot.startswith("scsi"):
            config.pending[slot] = config.current.pop(slot)
            return
        await hotplug.plug(vms, vmid, config, slot)


async def _volume(vms: Vms, vmid: int, who: Who, volume: str, options: dict[str, str]) -> str:
    storage, _, rest = volume.partition(":")
    vms.storages.check(storage) if ":" in volume else None
    if ":" not in volume:
        raise failed(f"unable to parse volume ID '{volume}'")
    if source := options.pop("import-from", None):
        who.need(f"/storage/{storage}", "Datastore.AllocateSpace")
        volume = await vms.storages.copy(vms.storages.path(source), storage, vmid)
    elif re.fullmatch(r"\d+(\.\d+)?", rest):
        who.need(f"/storage/{storage}", "Datastore.AllocateSpace")
        if float(rest) <= 0:
            raise failed("unable to allocate a volume of size 0")
        volume = await vms.storages.allocate(storage, vmid, int(float(rest) * 2**30))
    elif not (match := re.fullmatch(r"vm-(\d+)-disk-\d+", rest)) or int(match[1]) != vmid:
        who.need(f"/storage/{storage}", "Datastore.Allocate")
    options["size"] = size_text(await vms.storages.size(volume))
    return volume


def _change_flags(config: VmConfig, slot: str, new: str, *, running: bool) -> None:
    (_, was), (volume, now) = split_properties(config.current[slot], "file"), split_properties(new, "file")
    changed = {k for k in was.keys() | now.keys() if was.get(k) != now.get(k)}
    config.pending.pop(slot, None)
    if not running or changed <= HOT_DRIVE:
        config.current[slot] = new
    elif changed:
        config.pending[slot] = join_properties(volume, now)


async def detach(vms: Vms, vmid: int, config: VmConfig, slot: str, *, running: bool) -> None:
    """Take a slot's drive off; its volume is kept as `unusedN`."""
    if running and slot.startswith("scsi"):
        await hotplug.unplug(vms, vmid, config, slot)
    volume = split_properties(config.current.pop(slot), "file")[0]
    number = next(n for n in range(256) if f"unused{n}" not in config.current)
    config.current[f"unused{number}"] = volume


async def resize(vms: Vms, vmid: int, slot: str, text: str, digest: str | None) -> None:
    """Grow a disk to a size (`600G`) or by one (`+100G`); it never shrinks."""
    config, machine = vms.files.read(vmid), vms.machine(vmid)
    if digest and digest != config.digest():
        raise failed("detected modified configuration - file changed by other user? Try again.")
    if slot not in boot.disks(config.current):
        raise failed(f"disk '{slot}' does not exist")
    volume, options = boot.disks(config.current)[slot]
    now = await vms.storages.size(volume)
    new = now + size_bytes(text[1:]) if text.startswith("+") else size_bytes(text)
    if new < now:
        raise failed("shrinking disks is not supported")
    if new > now:
        if machine.pid():
            await machine.qmp("block_resize", {"node-name": f"drive-{slot}", "size": new})
        else:
            await qemu_img("resize", "-q", vms.storages.path(volume), str(new))
    config.current[slot] = join_properties(volume, options | {"size": size_text(new)})
    vms.files.write(vmid, config)
