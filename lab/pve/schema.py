"""Parameters: what each call accepts; unknown names and bad values are refused, as the real API does."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from lab.pve.errors import bad_parameters

Check = Callable[[str], Any]


def string(pattern: str = r"[\s\S]*", maximum: int = 65536) -> Check:
    """Text that matches a pattern."""

    def check(text: str) -> str:
        if len(text) > maximum:
            raise ValueError(f"value may only be {maximum} characters long")
        if not re.fullmatch(pattern, text):
            raise ValueError(f"value does not match the regex pattern: {pattern}")
        return text

    return check


def integer(minimum: int | None = None, maximum: int | None = None) -> Check:
    """A whole number within bounds."""

    def check(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text):
            raise ValueError(f"type check ('integer') failed - got '{text}'")
        value = int(text)
        if minimum is not None and value < minimum:
            raise ValueError(f"value must have a minimum value of {minimum}")
        if maximum is not None and value > maximum:
            raise ValueError(f"value must have a maximum value of {maximum}")
        return value

    return check


def boolean(text: str) -> int:
    """0 or 1, in any of the spellings the real API takes."""
    if text.lower() in ("1", "on", "yes", "true"):
        return 1
    if text.lower() in ("0", "off", "no", "false"):
        return 0
    raise ValueError(f"type check ('boolean') failed - got '{text}'")


def choice(*values: str) -> Check:
    """One of a few words."""

    def check(text: str) -> str:
        if text not in values:
            raise ValueError(f"value '{text}' does not have a value in the enumeration '{', '.join(values)}'")
        return text

    return check


TEXT = string()
DRIVE_OPTIONS: dict[str, Check] = {
    "file": TEXT, "import-from": TEXT, "format": choice("raw", "qcow2", "vmdk"), "size": string(r"\d+(\.\d+)?[KMGT]?"),
    "backup": boolean, "ssd": boolean, "iothread": boolean, "replicate": boolean, "ro": boolean, "snapshot": boolean, "shared": boolean,
    "discard": choice("ignore", "on"), "detect_zeroes": boolean, "aio": choice("native", "threads", "io_uring"),
    "cache": choice("none", "writethrough", "writeback", "unsafe", "directsync"), "media": choice("cdrom", "disk"),
    "serial": string(r".{0,60}"), "wwn": string(r"0x[0-9a-fA-F]{16}"), "queues": integer(2), "scsiblock": boolean,
    "mbps": TEXT, "mbps_rd": TEXT, "mbps_wr": TEXT, "iops": integer(), "iops_rd": integer(), "iops_wr": integer(),
    "werror": choice("enospc", "ignore", "report", "stop"), "rerror": choice("ignore", "report", "stop"),
}  # fmt: skip
ON_OFF = {"discard"}  # words, not booleans


def drive(text: str) -> str:
    """A drive's property string, each option checked and put in the form the configuration shows."""
    volume, options = split_properties(text, "file")
    for name, value in options.items():
        if name not in DRIVE_OPTIONS:
            raise ValueError(f"invalid format - format error\n{name}: property is not defined in schema and the schema "
                             "does not allow additional properties\n")  # fmt: skip
        try:
            options[name] = str(DRIVE_OPTIONS[name](value))
        except ValueError as error:
            raise ValueError(f"invalid format - format error\n{name}: {error}\n") from None
    if not volume:
        raise ValueError("invalid format - format error\nfile: property is missing and it is not optional\n")
    return join_properties(volume, options)


def split_properties(text: str, key: str) -> tuple[str, dict[str, str]]:
    """`value,name=value,…` into its leading value (also given as `key=value`) and the named ones."""
    lead, named = "", {}
    for item in filter(None, text.split(",")):
        name, equals, value = item.partition("=")
        if not equals:
            lead = item
        elif name == key:
            lead = value
        else:
            named[name] = value
    return lead, named


def join_properties(lead: str, named: Mapping[str, str]) -> str:
    """The form in which a configuration shows a property string: options in the order of the alphabet."""
    return ",".join([lead, *(f"{k}={v}" for k, v in sorted(named.items()))])


DISK_KEY = re.compile(r"(scsi([0-9]|[12][0-9]|30)|virtio([0-9]|1[0-5])|sata[0-5]|ide[0-3])")
VOLUME_KEY = re.compile(DISK_KEY.pattern + r"|unused\d{1,3}|efidisk0|tpmstate0")

_CONFIG: dict[str, tuple[Check, str]] = {  # parameter: (check, privilege)
    "name": (string(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?"), "VM.Config.Options"),
    "memory": (string(r"(current=)?\d+"), "VM.Config.Memory"), "balloon": (integer(0), "VM.Config.Memory"),
    "shares": (integer(0, 50000), "VM.Config.Memory"), "cores": (integer(1), "VM.Config.CPU"), "sockets": (integer(1), "VM.Config.CPU"),
    "vcpus": (integer(1), "VM.Config.CPU"), "cpu": (TEXT, "VM.Config.CPU"), "numa": (boolean, "VM.Config.CPU"),
    "cpulimit": (TEXT, "VM.Config.CPU"), "cpuunits": (integer(1, 262144), "VM.Config.CPU"), "affinity": (TEXT, "VM.Config.CPU"),
    "scsihw": (choice("lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi"), "VM.Config.HWType"),
    "machine": (TEXT, "VM.Config.HWType"), "bios": (choice("seabios", "ovmf"), "VM.Config.Options"), "vga": (TEXT, "VM.Config.HWType"),
    "ostype": (choice("other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26", "solaris"), "VM.Config.Options"),
    "hotplug": (string(r"0|1|(network|disk|cpu|memory|usb|cloudinit)([,;](network|disk|cpu|memory|usb|cloudinit))*"), "VM.Config.Options"),
    "agent": (TEXT, "VM.Config.Options"), "boot": (TEXT, "VM.Config.Options"), "bootdisk": (TEXT, "VM.Config.Options"),
    "onboot": (boolean, "VM.Config.Options"), "protection": (boolean, "VM.Config.Options"), "description": (TEXT, "VM.Config.Options"),
    "tags": (TEXT, "VM.Config.Options"), "startup": (TEXT, "VM.Config.Options"), "tablet": (boolean, "VM.Config.Options"),
    "acpi": (boolean, "VM.Config.Options"), "kvm": (boolean, "VM.Config.Options"), "localtime": (boolean, "VM.Config.Options"),
    "freeze": (boolean, "VM.Config.Options"), "reboot": (boolean, "VM.Config.Options"), "template": (boolean, "VM.Config.Options"),
    "smbios1": (TEXT, "VM.Config.HWType"), "vmgenid": (TEXT, "VM.Config.HWType"), "rng0": (TEXT, "VM.Config.HWType"),
    "ciuser": (TEXT, "VM.Config.Cloudinit"), "cipassword": (TEXT, "VM.Config.Cloudinit"), "sshkeys": (TEXT, "VM.Config.Cloudinit"),
    "citype": (choice("configdrive2", "nocloud", "opennebula"), "VM.Config.Cloudinit"), "nameserver": (TEXT, "VM.Config.Cloudinit"),
    "searchdomain": (TEXT, "VM.Config.Cloudinit"), "ciupgrade": (boolean, "VM.Config.Cloudinit"), "args": (TEXT, "root"),
}  # fmt: skip
_INDEXED: list[tuple[re.Pattern[str], Check, str]] = [
    (DISK_KEY, drive, "VM.Config.Disk"), (re.compile(r"unused\d{1,3}"), TEXT, "VM.Config.Disk"),
    (re.compile(r"efidisk0|tpmstate0"), drive, "VM.Config.Disk"), (re.compile(r"net([0-9]|[12][0-9]|3[01])"), TEXT, "VM.Config.Network"),
    (re.compile(r"ipconfig([0-9]|[12][0-9]|3[01])"), TEXT, "VM.Config.Cloudinit"), (re.compile(r"serial[0-3]"), TEXT, "VM.Config.HWType"),
]  # fmt: skip


def config_parameter(name: str) -> tuple[Check, str] | None:
    """The check of a VM configuration parameter and the privilege that changing it takes; None for an unknown one."""
    return _CONFIG.get(name) or next(((c, p) for pattern, c, p in _INDEXED if pattern.fullmatch(name)), None)


def verify(given: Mapping[str, str], known: Mapping[str, Check], required: tuple[str, ...] = (), *, config: bool = False) -> dict[str, Any]:
    """Check a call's parameters. With `config` a VM's configuration parameters are accepted besides `known`."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {n: "property is missing and it is not optional" for n in required if n not in given}
    for name, text in given.items():
        check = known.get(name) or (config_parameter(name) or (None,))[0] if config else known.get(name)
        if check is None:
            errors[name] = "property is not defined in schema and the schema does not allow additional properties"
            continue
        try:
            values[name] = check(text)
        except ValueError as error:
            errors[name] = str(error)
    if errors:
        raise bad_parameters(errors)
    return values
