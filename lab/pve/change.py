"""Changes of a VM's settings: who may make them; what a running VM takes on at once, and what waits for its next start.

As in the real one every change is first written as pending, and then applied as far as that goes.
"""

import re
from dataclasses import dataclass, field

from lab.pve import apply, disks
from lab.pve.auth import Who
from lab.pve.config import VmConfig
from lab.pve.errors import bad_parameters, failed
from lab.pve.options import ROOT, option
from lab.pve.properties import DRIVE_KEY, split_properties
from lab.pve.tasks import Task
from lab.pve.vms import Vms, new_uuid, with_mac


@dataclass
class Change:
    """What a caller wants: settings to set, to delete (with `force` volumes too), to take back; the digest of what it has read."""

    values: dict[str, str]
    delete: list[str] = field(default_factory=list)
    revert: list[str] = field(default_factory=list)
    force: bool = False
    digest: str | None = None
    skiplock: bool = False

    def check(self) -> None:
        """Raise when it contradicts itself or names what there is not."""
        if not self.values and not self.delete and not self.revert:
            raise failed("no options specified")
        for kind, listed in (("revert", self.revert), ("delete", self.delete)):
            for name in listed:
                if option(name) is None:
                    raise bad_parameters({kind: f"unknown option '{name}'"})
                if name in self.values:
                    raise bad_parameters({"delete": f"you can't use '-{name}' and -{kind} {name}' at the same time"})
        for name in set(self.delete).intersection(self.revert):
            raise bad_parameters({"revert": f"you can't use '-delete {name}' and -revert {name}' at the same time"})


def may_set(who: Who, vmid: int, names: list[str]) -> None:
    """Raise unless the caller may change these settings. Drives are judged by what they hold: see `disks.privileges`."""
    for name in names:
        known = option(name)
        if DRIVE_KEY.fullmatch(name) or name.startswith("unused") or known is None:
            continue
        if known.privileges == (ROOT,):
            if not who.root:
                raise failed(f"only root can set '{name}' config")
            continue
        who.need(f"/vms/{vmid}", *known.privileges)
        if name == "startup":
            who.need("/", "Sys.Modify")


def normalized(values: dict[str, str]) -> dict[str, str]:
    """Settings completed as the real one does: MACs for network cards, a new generation id."""
    values = {"ide2" if k == "cdrom" else k: v for k, v in values.items()}
    for name, value in values.items():
        if re.fullmatch(r"net\d+", name):
            values[name] = with_mac(value)
        elif name == "vmgenid" and value == "1":
            values[name] = new_uuid()
        elif name == "cdrom" or (name == "ide2" and "media=" not in value and split_properties(value, "file")[0].startswith("local:iso/")):
            values[name] = f"{value},media=cdrom"
    return values


def may_change(vms: Vms, who: Who, vmid: int, change: Change) -> None:
    """Raise unless the caller may make this change, as far as that shows before it begins."""
    change.check()
    if change.skiplock and not who.root:
        raise bad_parameters({"skiplock": "Only root may use this option."})
    may_set(who, vmid, [*change.delete, *change.values])
    for name, value in change.values.items():
        if DRIVE_KEY.fullmatch(name):
            disks.may_use(vms, who, vmid, name, value)
        elif name.startswith("net"):
            may_bridge(who, value)


def may_bridge(who: Who, net: str) -> None:
    """Raise unless the caller may use the bridge of a network card."""
    if bridge := split_properties(net, "")[1].get("bridge"):
        who.need(f"/sdn/zones/localnetwork/{bridge}", "SDN.Use")


def may_now(config: VmConfig, change: Change) -> None:
    """Raise when the VM is not what the caller has read, or is locked."""
    config.check_digest(change.digest)
    if not change.skiplock:
        config.check_lock()


async def update(vms: Vms, who: Who, vmid: int, change: Change, task: Task | None = None) -> None:
    """Make a change. Raises 400 with what a running VM could not take on although it should have; that stays pending."""
    config = vms.files.read(vmid)
    may_now(config, change)
    values, delete = dict(change.values), list(change.delete)
    for name in change.revert:
        if name in config.current:
            values[name] = config.current[name]
        elif name in config.pending:
            delete.append(name)
    for name in delete:
        _delete(vms, who, vmid, config, name, force=change.force, task=task)
        vms.files.write(vmid, config)
    for name, value in values.items():
        if config.pending.get(name) != value or name in config.delete:
            await _set(vms, who, vmid, config, name, value, others={*values} - {*delete})
            config.delete.pop(name, None)
            vms.files.write(vmid, config)
    _forget_unchanged(config)
    errors: dict[str, str] = {}
    if vms.running(vmid):
        await apply.hot(vms, who, vmid, config, {*values, *delete, "boot"}, errors)
    else:
        errors = apply.cold(vms, who, vmid, config)
    vms.files.write(vmid, config)
    if errors:
        raise bad_parameters(errors)


def _delete(vms: Vms, who: Who, vmid: int, config: VmConfig, name: str, *, force: bool, task: Task | None) -> None:
    value, waited = config.current.get(name, config.pending.get(name)), config.pending.pop(name, None)
    if value is None:
        if task:
            task.say(f"cannot delete '{name}' - not set in current configuration!")
        return
    _leave_boot_order(config, name)
    if name.startswith("unused"):
        config.check_protection(f"can't remove unused disk '{value}'")
        who.need(f"/vms/{vmid}", "VM.Config.Disk")
        disks.drop(vms, who, vmid, config, name, value)
        config.current.pop(name, None)
        return
    if DRIVE_KEY.fullmatch(name):
        config.check_protection(f"can't remove drive '{name}'")
        who.need(f"/vms/{vmid}", *disks.privileges(value))
        if waited is not None:
            disks.let_go(vms, vmid, config, waited)
    if name in config.current:
        config.delete[name] = force


def _leave_boot_order(config: VmConfig, name: str) -> None:
    order = config.effective().get("boot", "").removeprefix("order=").split(";")
    if name in order:
        order.remove(name)
        config.pending["boot"] = f"order={';'.join(order)}"


async def _set(vms: Vms, who: Who, vmid: int, config: VmConfig, name: str, value: str, others: set[str]) -> None:
    if DRIVE_KEY.fullmatch(name):
        for held in (config.current.get(name), value):
            if held is not None:
                who.need(f"/vms/{vmid}", *disks.privileges(held))
        replaced = config.pending.get(name)
        config.pending[name] = await disks.create(vms, vmid, name, value)
        if replaced is not None and split_properties(replaced, "file")[0] not in (split_properties(v, "file")[0] for v in config.effective().values()):
            disks.let_go(vms, vmid, config, replaced)
        return
    if name == "tags":
        value = ";".join(sorted({tag.lower() for tag in re.split(r"[,;\s]+", value) if tag}))
    if name == "boot" and value.startswith("order="):
        there = {*config.current, *config.pending, *others} - set(config.delete)
        if missing := [d for d in value.removeprefix("order=").split(";") if d and d not in there]:
            raise failed(f"invalid bootorder: device '{missing[0]}' does not exist'")
        if "bootdisk" in config.current:
            config.delete["bootdisk"] = False
    config.pending[name] = value


def _forget_unchanged(config: VmConfig) -> None:
    for name in [n for n, v in config.pending.items() if config.current.get(n) == v]:
        del config.pending[name]
    for name in [n for n in config.delete if n not in config.current]:
        del config.delete[name]
