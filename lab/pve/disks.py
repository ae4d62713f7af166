"""A VM's drives: where their volumes come from, what becomes of those that are taken off, how they grow."""

import re

from lab.pve import boot
from lab.pve.auth import Who
from lab.pve.config import VmConfig
from lab.pve.errors import bad_parameters, failed
from lab.pve.properties import DISK_KEY, NEW_DISK, VOLUME_KEY, join_properties, size_bytes, size_text, split_properties
from lab.pve.storage import CLOUDINIT_SIZE, qemu_img
from lab.pve.storage import owner as volume_owner
from lab.pve.vms import Vms

STATE = {"efidisk0", "tpmstate0"}  # drives that hold a machine's state and are no disks of the guest's
STATE_SIZE = 4 << 20
_NO_VOLUME = ("none", "cdrom")


def may_use(vms: Vms, who: Who, vmid: int, slot: str, value: str, storage: str | None = None) -> None:
    """Raise unless the caller may put this into a slot: a new volume, an imported one, one that exists."""
    volume, options = split_properties(value, "file")
    place, _, name = volume.rpartition(":")
    new, source = NEW_DISK.fullmatch(volume), options.get("import-from")
    if source is not None and (new is None or float(new[2]) != 0):
        raise bad_parameters({slot: "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"})
    if volume in _NO_VOLUME or name == "cloudinit":
        return
    if new:
        target = new[1] or storage
        if target is None:
            raise failed("no storage ID specified (and no default storage)")
        who.need(f"/storage/{target}", "Datastore.AllocateSpace")
        vms.storages.check(target, images=True)
    elif not place:
        if not who.root:
            raise failed("Only root can pass arbitrary filesystem paths.")
        raise bad_parameters({slot: f"unable to associate path '{volume}' to any storage"})
    else:
        _may_read(vms, who, vmid, volume)
    if source is not None:
        _may_read(vms, who, vmid, source)


def _may_read(vms: Vms, who: Who, vmid: int, volume: str) -> None:
    storage, owner = vms.storages.check(volume.partition(":")[0]), volume_owner(volume)
    if who.may(f"/storage/{storage}", "Datastore.Allocate") or owner == vmid:
        return
    if owner is None:
        who.need(f"/storage/{storage}", "Datastore.AllocateSpace", "Datastore.Audit")
    else:
        who.need(f"/storage/{storage}", "Datastore.Audit")
        who.need(f"/vms/{owner}", "VM.Config.Disk")


def privileges(value: str) -> tuple[str, ...]:
    """The privileges of which changing this drive takes one."""
    volume, options = split_properties(value, "file")
    if "cloudinit" in volume:
        return ("VM.Config.Cloudinit", "VM.Config.CDROM")
    return ("VM.Config.CDROM",) if options.get("media") == "cdrom" else ("VM.Config.Disk",)


async def create(vms: Vms, vmid: int, slot: str, value: str, storage: str | None = None) -> str:
    """Make the volume that a drive's setting asks for, if it asks for one; returns the setting as the configuration shows it."""
    volume, options = split_properties(value, "file")
    place, _, name = volume.rpartition(":")
    if volume in _NO_VOLUME:
        options.pop("size", None)
        return join_properties(volume, options)
    if name == "cloudinit":
        # The lab's guests get what would be on it as systemd credentials: the drive is there and empty.
        volume = await vms.storages.allocate(place or storage or "", vmid, CLOUDINIT_SIZE, f"vm-{vmid}-cloudinit")
        options["media"] = "cdrom"
        options.pop("format", None)
    elif new := NEW_DISK.fullmatch(volume):
        target = new[1] or storage or ""
        if source := options.pop("import-from", None):
            volume = await vms.storages.copy(vms.storages.path(source), target, vmid)
        else:
            if (form := options.get("format", "raw")) != "raw":
                raise failed(f"unsupported format '{form}'")
            volume = await vms.storages.allocate(target, vmid, STATE_SIZE if slot in STATE else int(float(new[2]) * 2**30))
        options.pop("format", None)
    if volume_owner(volume) is not None:
        options["size"] = size_text(await vms.storages.size(volume))
    elif not vms.storages.path(volume).exists():
        raise failed(f"volume '{volume}' does not exist")
    return join_properties(volume, options)


def is_cloudinit(volume: str) -> bool:
    """Whether a volume is a cloud-init drive, which belongs to its VM's settings and holds nothing of its own."""
    return re.fullmatch(r"[^:]+:vm-\d+-cloudinit", volume) is not None


def let_go(vms: Vms, vmid: int, config: VmConfig, value: str) -> None:
    """Take leave of a drive that was taken off: a disk's volume is kept as `unusedN`, a cloud-init drive of the VM's own removed."""
    volume, _ = split_properties(value, "file")
    if is_cloudinit(volume) and volume_owner(volume) == vmid:
        vms.storages.free(volume)
    else:
        keep_unused(vmid, config, value)


async def renew_cloudinit(vms: Vms, vmid: int, config: VmConfig) -> None:
    """Make the cloud-init drives anew that a VM is about to start with and that are gone, as after a rollback."""
    for volume, _ in boot.drives(config.current).values():
        if is_cloudinit(volume) and volume_owner(volume) == vmid and not vms.storages.path(volume).exists():
            await vms.storages.allocate(volume.partition(":")[0], vmid, CLOUDINIT_SIZE, volume.partition(":")[2])


def keep_unused(vmid: int, config: VmConfig, value: str) -> None:
    """Keep the volume of a drive that was taken off as `unusedN`; one that belongs to another VM is only let go."""
    volume, options = split_properties(value, "file")
    if options.get("media") == "cdrom" or volume_owner(volume) != vmid or volume in [v for k, v in config.current.items() if k.startswith("unused")]:
        return
    number = next((n for n in range(256) if f"unused{n}" not in config.current), None)
    if number is None:
        raise failed("Too many unused volumes - please delete them first.")
    config.current[f"unused{number}"] = volume


def drop(vms: Vms, who: Who, vmid: int, config: VmConfig, name: str, value: str) -> None:
    """Remove the volume of a drive, when it is this VM's own and nothing else of the VM needs it."""
    volume, options = split_properties(value, "file")
    if (options.get("media") == "cdrom" and "cloudinit" not in volume) or volume_owner(volume) != vmid:
        return
    who.need(f"/storage/{volume.partition(':')[0]}", "Datastore.AllocateSpace")
    others = [v for s in (config.pending, *config.snapshots.values()) for k, v in s.items() if VOLUME_KEY.fullmatch(k)]
    others += [v for k, v in config.current.items() if VOLUME_KEY.fullmatch(k) and k != name]
    if volume in {split_properties(v, "file")[0] for v in others}:
        raise failed(f"unable to delete '{volume}' - volume is still in use (snapshot?)")
    vms.storages.free(volume)


async def resize(vms: Vms, who: Who, vmid: int, slot: str, text: str, digest: str | None) -> None:
    """Grow a disk to a size (`600G`) or by one (`+100G`); it never shrinks."""
    config, machine = vms.files.read(vmid), vms.machine(vmid)
    config.check_digest(digest)
    if slot not in config.current:
        raise failed(f"disk '{slot}' does not exist")
    volume, options = split_properties(config.current[slot], "file")
    if options.get("media") == "cdrom":
        raise failed("you can't resize a cdrom")
    who.need(f"/storage/{volume.partition(':')[0]}", "Datastore.AllocateSpace")
    now = await vms.storages.size(volume)
    new = now + size_bytes(text[1:]) if text.startswith("+") else size_bytes(text)
    if new < now:
        raise failed("shrinking disks is not supported")
    if new == now:
        return
    if machine.pid() and slot in boot.disks(config.current) and DISK_KEY.fullmatch(slot):
        await machine.qmp("block_resize", {"node-name": f"drive-{slot}", "size": new})
    else:
        await qemu_img("resize", "-q", vms.storages.path(volume), str(new))
    config.current[slot] = join_properties(volume, options | {"size": size_text(new)})
    vms.files.write(vmid, config)
