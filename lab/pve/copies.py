"""VMs made, copied, removed, turned into templates."""

import re
import time
from typing import Any

from lab.pve import boot, change, disks
from lab.pve.auth import Who
from lab.pve.config import VmConfig
from lab.pve.errors import bad_parameters, failed
from lab.pve.properties import DRIVE_KEY, join_properties, split_properties
from lab.pve.snapshots import META
from lab.pve.storage import CLOUDINIT_SIZE
from lab.pve.tasks import Task
from lab.pve.vms import Vms, new_mac, new_uuid


def reserve(vms: Vms, vmid: int, lock: str) -> None:
    """Take a VM's id with an empty, locked configuration."""
    if vmid in vms.files.ids():
        raise failed(f"VM {vmid} already exists on node '{vms.settings.node}'")
    vms.files.write(vmid, VmConfig({"lock": lock}))


def may_create(vms: Vms, who: Who, vmid: int, values: dict[str, str], storage: str | None) -> None:
    """Raise unless the caller may make a VM with these settings."""
    who.need(f"/vms/{vmid}", "VM.Allocate")
    for name, value in values.items():
        if DRIVE_KEY.fullmatch(name):
            disks.may_use(vms, who, vmid, name, value, storage)
        elif name.startswith("net"):
            change.may_bridge(who, value)
    change.may_set(who, vmid, list(values))


async def create(vms: Vms, vmid: int, values: dict[str, str], storage: str | None, task: Task) -> None:
    """Make a VM whose id is reserved; if that fails nothing of it is left."""
    config, before = VmConfig({"lock": "create"}), vms.storages.owned(vmid)
    try:
        async with vms.locked(vmid, 1):
            for name, value in values.items():
                if DRIVE_KEY.fullmatch(name):
                    value = await disks.create(vms, vmid, name, value, storage)
                    task.say(f"{name}: successfully created disk '{value}'")
                config.current[name] = value
            if not config.current.get("boot") and (order := _default_order(config.current)):
                config.current["boot"] = f"order={';'.join(order)}"
            config.current.setdefault("smbios1", f"uuid={new_uuid()}")
            config.current.setdefault("vmgenid", new_uuid())
            config.current["meta"] = f"creation-qemu=7.2.0,ctime={int(time.time())}"
            del config.current["lock"]
            vms.files.write(vmid, config)
    except BaseException as error:
        vms.undo(vmid, before)
        if isinstance(error, Exception):
            raise failed(f"unable to create VM {vmid} - {error}") from None
        raise


def _default_order(config: dict[str, str]) -> list[str]:
    """What a VM boots from when it does not say: its first disk, CD-ROM and network card."""
    found = boot.drives(config)
    disk = next((s for s in sorted(found, key=lambda s: ("scsi", "virt", "ide", "sata").index(re.sub(r"(virt|[a-z]+).*", r"\1", s))) if
                 found[s][1].get("media") != "cdrom"), None)  # fmt: skip
    cdrom = next((s for s in found if found[s][1].get("media") == "cdrom"), None)
    card = next((k for k in sorted(config) if re.fullmatch(r"net\d+", k)), None)
    return [d for d in (disk, cdrom, card) if d]


async def may_destroy(vms: Vms, vmid: int) -> None:
    """Raise unless the VM can be removed."""
    config = vms.files.read(vmid)
    config.check_protection(f"can't remove VM {vmid}")
    if vms.running(vmid):
        raise failed(f"VM {vmid} is running - destroy failed")


async def destroy(vms: Vms, vmid: int, *, unreferenced: bool, skiplock: bool = False) -> None:
    """Remove a stopped VM and its volumes."""
    async with vms.locked(vmid):
        await may_destroy(vms, vmid)
        config = vms.files.read(vmid)
        if not skiplock:
            config.check_lock()
        for volume, _ in boot.disks(config.current).values():
            if await vms.storages.clones(volume):
                raise failed(f"base volume '{volume}' is still in use by linked cloned")
        vms.forget(vmid, config)
        for volume in vms.storages.owned(vmid) if unreferenced else ():
            vms.storages.free(volume)


def clone_source(vms: Vms, who: Who, vmid: int, wanted: dict[str, Any]) -> tuple[dict[str, str], bool]:
    """The settings to copy, and whether in full. Raises unless the caller may make this copy."""
    config, snapshot, storage = vms.files.read(vmid), wanted.get("snapname"), wanted.get("storage")
    if storage:
        vms.storages.check(storage, images=True)
    config.check_lock()
    section = config.section(snapshot)
    full = bool(wanted.get("full", config.current.get("template") != "1"))
    for name in ("storage", "format"):
        if wanted.get(name) and not full:
            raise failed(f"parameter '{name}' not allowed for linked clones")
    if full and not snapshot and "tpmstate0" in section and vms.running(vmid):
        raise failed("cannot clone TPM state while VM is running")
    for slot in section.keys() & disks.STATE:
        who.need(f"/storage/{storage or section[slot].partition(':')[0]}", "Datastore.AllocateSpace")
    for slot, (volume, _) in boot.disks(section).items():
        who.need(f"/storage/{storage or volume.partition(':')[0]}", "Datastore.AllocateSpace")
        if not full and ":base-" not in volume:
            raise failed(f"Linked clone feature is not supported for '{volume}' ({slot})")
    for name, value in section.items():
        if name.startswith("net"):
            change.may_bridge(who, value)
    return section, full


async def clone(vms: Vms, who: Who, vmid: int, newid: int, wanted: dict[str, Any]) -> None:
    """Copy a VM to an id that is reserved: its disks in full, or as overlays on a template's."""
    config, before = VmConfig({"lock": "clone"}), vms.storages.owned(newid)
    try:
        async with vms.locked(vmid, 1), vms.locked(newid, 1):
            section, full = clone_source(vms, who, vmid, wanted)
            unwanted = {*META, "template", "lock", *(k for k in section if k.startswith("unused"))}
            config.current |= {k: v for k, v in section.items() if k not in unwanted}
            found = boot.disks(section)
            copies = await _copy_others(vms, newid, section, wanted.get("storage")) | await _copy_disks(vms, vmid, newid, found, wanted, full=full)
            config.current |= {slot: join_properties(volume, split_properties(section[slot], "file")[1]) for slot, volume in copies.items()}
            _new_identity(config.current)
            config.current["name"] = wanted.get("name") or f"Copy-of-VM-{section.get('name', vmid)}"
            if wanted.get("description"):
                config.current["description"] = wanted["description"]
            del config.current["lock"]
            vms.files.write(newid, config)
    except BaseException as error:
        vms.undo(newid, before)
        if isinstance(error, Exception):
            raise failed(f"clone failed: {error}") from None
        raise


async def _copy_others(vms: Vms, newid: int, section: dict[str, str], storage: str | None) -> dict[str, str]:
    """Copy volumes that are no disks of the guest's, in full even for a linked clone; a cloud-init drive is made anew. Returns slot → new volume."""
    copies = {}
    for slot in sorted(k for k in section if DRIVE_KEY.fullmatch(k)):
        volume, _ = split_properties(section[slot], "file")
        target = storage or volume.partition(":")[0]
        if disks.is_cloudinit(volume):
            copies[slot] = await vms.storages.allocate(target, newid, CLOUDINIT_SIZE, f"vm-{newid}-cloudinit")
        elif slot in disks.STATE:  # of a snapshot too: nothing writes to them in the lab, so they are as they were
            copies[slot] = await vms.storages.copy(vms.storages.path(volume), target, newid)
    return copies


async def _copy_disks(vms: Vms, vmid: int, newid: int, found: dict[str, tuple[str, dict[str, str]]], wanted: dict[str, Any], *,
                      full: bool) -> dict[str, str]:  # fmt: skip
    """Copy volumes; returns slot → new volume. Those of a running VM are copied by QEMU, all as of one moment, while it runs on."""
    snapshot, machine = wanted.get("snapname"), vms.machine(vmid)
    target = {slot: wanted.get("storage") or volume.partition(":")[0] for slot, (volume, _) in found.items()}
    if not full:
        return {slot: await vms.storages.link(volume, newid) for slot, (volume, _) in found.items()}
    if machine.pid() is None or snapshot:
        return {slot: await vms.storages.copy(vms.storages.path(volume), target[slot], newid, snapshot=snapshot) for slot, (volume, _) in found.items()}
    copies, jobs = {}, []
    for slot, (volume, _) in found.items():
        copies[slot] = await vms.storages.allocate(target[slot], newid, await vms.storages.size(volume))
        jobs.append({"type": "drive-backup", "data": {"device": f"drive-{slot}", "job-id": f"clone-{slot}", "target": str(vms.storages.path(copies[slot])),
                                                      "format": "qcow2", "mode": "existing", "sync": "full", "auto-dismiss": False}})  # fmt: skip
    await machine.qmp("transaction", {"actions": jobs})
    for slot in found:
        await machine.until_done(f"clone-{slot}")
    return copies


def _new_identity(config: dict[str, str]) -> None:
    for key in [k for k in config if re.fullmatch(r"net\d+", k)]:
        config[key] = re.sub(r"=[0-9A-Fa-f:]{17}", f"={new_mac()}", config[key], count=1)
    _, smbios = split_properties(config.get("smbios1", ""), "")
    config["smbios1"] = ",".join([f"uuid={new_uuid()}", *(f"{k}={v}" for k, v in sorted(smbios.items()) if k != "uuid")])
    if config.get("vmgenid", "0") != "0":
        config["vmgenid"] = new_uuid()


def may_template(vms: Vms, vmid: int, disk: str | None) -> VmConfig:
    """Raise unless the VM can become a template; returns its configuration."""
    config = vms.files.read(vmid)
    config.check_lock()
    if config.snapshots:
        raise failed("unable to create template, because VM contains snapshots")
    if config.current.get("template") == "1" and not disk:
        raise failed("you can't convert a template to a template")
    if vms.running(vmid):
        raise failed("you can't convert a VM to template if VM is running")
    if disk and disk not in config.current:
        raise bad_parameters({"disk": f"disk '{disk}' does not exist"})
    return config


async def template(vms: Vms, vmid: int, disk: str | None) -> None:
    """Make a stopped VM a template: its volumes become base volumes, which linked clones are overlays of."""
    async with vms.locked(vmid):
        config = may_template(vms, vmid, disk)
        config.current["template"] = "1"
        for slot, (volume, options) in boot.disks(config.current).items():
            if disk in (None, slot) and ":vm-" in volume:
                config.current[slot] = join_properties(vms.storages.make_base(volume), options)
        vms.files.write(vmid, config)
