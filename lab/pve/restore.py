"""VMs made from a backup."""

import re
import shutil
import time

from lab.pve import archives, boot, disks
from lab.pve.config import VmConfig, parse
from lab.pve.errors import failed
from lab.pve.properties import join_properties, size_text, split_properties
from lab.pve.tasks import Task
from lab.pve.vms import HALF_RESTORED, Vms, new_mac, new_uuid


async def restore(vms: Vms, vmid: int, archive: archives.Archive, values: dict[str, str], storage: str | None, task: Task, *, unique: bool) -> None:
    """Make a VM, whose id is reserved, from a backup; `values` win over what is in it. If that fails its volumes go, and the VM stays, with nothing in it."""
    config, before, folder = VmConfig(), vms.storages.owned(vmid), vms.storages.folder / "local-lvm" / f".restore-{vmid}.tmp"
    try:
        async with vms.locked(vmid, 1):
            vms.files.write(vmid, VmConfig(dict(HALF_RESTORED)))
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            task.say(f"restore vma archive: vma extract -v -r - /var/lib/vz/dump/{archive.path.name}")
            await archive.unpack(folder)
            saved = parse((folder / archives.SETTINGS).read_text()).current
            for copy in sorted(folder.glob("drive-*.qcow2")):
                slot = copy.stem.removeprefix("drive-")
                volume, options = split_properties(saved[slot], "file")
                target = vms.storages.check(storage or volume.partition(":")[0], images=True)
                new = vms.storages.next_name(target, vmid)
                copy.rename(vms.storages.path(new))
                options["size"] = size_text(await vms.storages.size(new))
                config.current[slot] = join_properties(new, options)
                task.say(f"new volume ID is '{new}'")
                task.say(f"map 'drive-{slot}' to '/dev/pve/{new.partition(':')[2]}' (write zeros = 0)")
            config.current |= _settings(saved, config.current, unique=unique) | values
            for slot, (volume, _) in boot.drives(saved).items():
                if "cloudinit" in volume:
                    config.current[slot] = await disks.create(vms, vmid, slot, f"{storage or volume.partition(':')[0]}:cloudinit,media=cdrom")
            vms.files.write(vmid, config)
            task.say(f"restored at {time.strftime('%Y-%m-%d %H:%M:%S')}")
    except BaseException as error:
        vms.free(vmid, before)  # "VM state is NOT cleaned up"
        if isinstance(error, Exception):
            raise failed(f"unable to restore VM {vmid} - {error}") from None
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settings(saved: dict[str, str], restored: dict[str, str], *, unique: bool) -> dict[str, str]:
    """The settings of a backup as a restored VM has them, without its disks. A disk that was not in the backup is told in the description."""
    kept = {k: v for k, v in saved.items() if k not in ("lock", "parent", "template") and not k.startswith("unused")}
    drives = boot.disks(saved)
    lost = [slot for slot in drives if slot not in restored]
    kept = {k: v for k, v in kept.items() if k not in drives}
    if lost:
        kept["description"] = kept.get("description", "") + "".join(f"{slot}: {saved[slot]}\n" for slot in lost)
    if kept.get("vmgenid", "0") != "0":
        kept["vmgenid"] = new_uuid()
    if unique:
        for key in [k for k in kept if re.fullmatch(r"net\d+", k)]:
            kept[key] = re.sub(r"=[0-9A-Fa-f:]{17}", f"={new_mac()}", kept[key], count=1)
        kept["smbios1"] = re.sub(r"(^|,)uuid=[^,]*", rf"\g<1>uuid={new_uuid()}", kept.get("smbios1", f"uuid={new_uuid()}"))
    return kept
