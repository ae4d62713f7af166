"""A VM's settings: what each accepts, the privilege to change it, and whether a running VM takes it on at once.

Those that the lab's QEMU has no use for (limits, sound, passthrough, …) are kept and shown as the real one does, without effect.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.pve import formats, properties
from lab.pve.schema import TEXT, Check, boolean, choice, integer, number, string

ROOT = "root"  # instead of a privilege: only root itself


@dataclass(frozen=True)
class Option:
    """One setting. `numeric`: the API shows it as a number. `hot`: it never waits for a start of the VM."""

    check: Check
    privileges: tuple[str, ...]
    numeric: bool = False
    hot: bool = False


_HOTPLUG = string(r"0|1|(network|disk|cpu|memory|usb|cloudinit)([,;](network|disk|cpu|memory|usb|cloudinit))*")
_OSTYPE = choice("other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26", "solaris")
_SCSIHW = choice("lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi")
_LOCK = choice("backup", "clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete", "suspending", "suspended")
_VMGENID = string(formats.UUID + "|[01]")
_BOOT = string(r"(legacy=)?[acdn]{1,4}|order=([a-z]+\d+([;][a-z]+\d+)*)?|order=")

_BY_PRIVILEGE: dict[str, dict[str, Check]] = {
    "VM.Config.CPU": {"cores": integer(1), "cpu": TEXT, "cpulimit": number, "cpuunits": integer(1, 262144), "numa": boolean, "smp": integer(1),
                      "sockets": integer(1), "vcpus": integer(1)},
    "VM.Config.Memory": {"memory": formats.memory, "balloon": integer(0), "shares": integer(0, 50000)},
    "VM.Config.HWType": {"acpi": boolean, "hotplug": _HOTPLUG, "kvm": boolean, "machine": TEXT, "scsihw": _SCSIHW, "smbios1": formats.smbios,
                         "tablet": boolean, "vga": formats.vga, "watchdog": TEXT, "audio0": TEXT, "rng0": TEXT},
    "VM.Config.Options": {"agent": properties.agent, "autostart": boolean, "bios": choice("seabios", "ovmf"), "description": string(maximum=8192),
                          "keyboard": TEXT, "localtime": boolean, "migrate_downtime": number, "migrate_speed": integer(0), "name": formats.DNS_NAME,
                          "onboot": boolean, "ostype": _OSTYPE, "protection": boolean, "reboot": boolean, "startdate": TEXT, "startup": formats.startup,
                          "tdf": boolean, "template": boolean, "tags": formats.tags},
    "VM.PowerMgmt": {"freeze": boolean},
    "VM.Config.Disk": {"boot": _BOOT, "bootdisk": string(r"(ide|sata|scsi|virtio)\d+"), "vmstatestorage": TEXT},
    "VM.Config.Cloudinit": {"cicustom": TEXT, "cipassword": TEXT, "citype": choice("configdrive2", "nocloud", "opennebula"), "ciuser": TEXT,
                            "ciupgrade": boolean, "nameserver": formats.addresses, "searchdomain": TEXT, "sshkeys": formats.URLENCODED},
    ROOT: {"affinity": TEXT, "amd-sev": TEXT, "arch": choice("x86_64", "aarch64"), "args": TEXT, "hookscript": TEXT, "hugepages": choice("any", "2", "1024"),
           "ivshmem": TEXT, "keephugepages": boolean, "lock": _LOCK, "spice_enhancements": TEXT, "vmgenid": _VMGENID},
}  # fmt: skip
_HOT = {"description", "hookscript", "lock", "migrate_downtime", "migrate_speed", "name", "onboot", "protection", "shares", "startup", "tags",
        "vmstatestorage", "cpulimit", "cpuunits", *_BY_PRIVILEGE["VM.Config.Cloudinit"]}  # fmt: skip
_WHOLE = {"cores", "cpuunits", "smp", "sockets", "vcpus", "balloon", "shares", "migrate_speed", "snaptime"}
_EITHER = {"VM.Config.Cloudinit": ("VM.Config.Cloudinit", "VM.Config.Network")}


def _option(name: str, check: Check, privilege: str) -> Option:
    return Option(check, _EITHER.get(privilege, (privilege,)), check is boolean or name in _WHOLE, name in _HOT)


_NAMED = {name: _option(name, check, privilege) for privilege, checks in _BY_PRIVILEGE.items() for name, check in checks.items()}
_INDEXED: list[tuple[re.Pattern[str], Callable[[str], Option]]] = [
    (properties.DRIVE_KEY, lambda name: Option(properties.drive(name), ("VM.Config.Disk",))),
    (re.compile(r"unused\d{1,3}"), lambda name: Option(TEXT, ("VM.Config.Disk",))),
    (re.compile(r"net([0-9]|[12][0-9]|3[01])"), lambda name: Option(properties.network, ("VM.Config.Network",))),
    (re.compile(r"ipconfig([0-9]|[12][0-9]|3[01])"), lambda name: Option(formats.ipconfig(name), _EITHER["VM.Config.Cloudinit"], hot=True)),
    (re.compile(r"numa[0-7]"), lambda name: Option(TEXT, ("VM.Config.CPU",))),
    (re.compile(r"serial[0-3]"), lambda name: Option(string(r"/dev/.+|socket"), ("VM.Config.HWType",))),
    (re.compile(r"(usb([0-9]|1[0-4])|hostpci([0-9]|1[0-5])|virtiofs[0-9])"), lambda name: Option(TEXT, ("VM.Config.HWType",))),
    (re.compile(r"parallel[0-2]"), lambda name: Option(TEXT, (ROOT,))),
]


def option(name: str) -> Option | None:
    """The setting of that name, or None."""
    return _NAMED.get(name) or next((make(name) for pattern, make in _INDEXED if pattern.fullmatch(name)), None)


def option_check(name: str) -> Check | None:
    """The check of a setting, or None."""
    found = option("ide2" if name == "cdrom" else name)
    return found.check if found else None


def typed(values: dict[str, str]) -> dict[str, Any]:
    """A configuration's values as the API shows them: numbers as numbers, no white space after the description, the password hidden."""
    answer: dict[str, Any] = {}
    for name, value in values.items():
        known = _NAMED.get(name)
        answer[name] = int(value) if (known and known.numeric) or name == "snaptime" else value
    answer |= {"description": values["description"].rstrip()} if "description" in values else {}
    return answer | ({"cipassword": "**********"} if "cipassword" in values else {})
