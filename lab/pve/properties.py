"""Property strings, as `local-lvm:vm-100-disk-1,backup=1,size=500G`: drives, network cards, the agent's settings."""

import re
from collections.abc import Mapping
from typing import Any

from lab.pve.schema import SIZE, TEXT, Check, FormatError, choice, flag, integer, number, string

DISK_KEY = re.compile(r"(scsi([0-9]|[12][0-9]|30)|virtio([0-9]|1[0-5])|sata[0-5]|ide[0-3])")
DRIVE_KEY = re.compile(DISK_KEY.pattern + r"|efidisk0|tpmstate0")
VOLUME_KEY = re.compile(DRIVE_KEY.pattern + r"|unused\d{1,3}")
NEW_DISK = re.compile(r"(?:([^/:\s]+):)?(\d+(?:\.\d+)?)")  # `local-lvm:32` asks for a new volume of 32 GiB
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

_THROTTLE: dict[str, Check] = {k: integer(0) for k in ("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr", "iops_max", "iops_rd_max", "iops_wr_max")}
_THROTTLE |= {f"{k}_max_length": integer(1) for k in ("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")}
_THROTTLE |= dict.fromkeys(("mbps", "mbps_rd", "mbps_wr", "mbps_max", "mbps_rd_max", "mbps_wr_max"), number)
_DRIVE: dict[str, Check] = _THROTTLE | {
    "file": TEXT, "import-from": TEXT, "media": choice("cdrom", "disk"), "snapshot": flag, "size": SIZE, "backup": flag, "replicate": flag,
    "cache": choice("none", "writethrough", "writeback", "unsafe", "directsync"), "format": choice("raw", "qcow", "qed", "qcow2", "vmdk", "cloop"),
    "rerror": choice("ignore", "report", "stop"), "werror": choice("enospc", "ignore", "report", "stop"), "shared": flag,
    "aio": choice("native", "threads", "io_uring"), "discard": choice("ignore", "on"), "detect_zeroes": flag, "serial": string(maximum=60),
    "cyls": integer(), "heads": integer(), "secs": integer(), "trans": choice("none", "lba", "auto"),
}  # fmt: skip
_WWN = string(r"0x[0-9a-fA-F]{16}")
_BUS: dict[str, dict[str, Check]] = {
    "ide": _DRIVE | {"model": string(maximum=120), "ssd": flag, "wwn": _WWN},
    "sata": _DRIVE | {"model": string(maximum=120), "ssd": flag, "wwn": _WWN},
    "virtio": _DRIVE | {"iothread": flag, "ro": flag},
    "scsi": _DRIVE | {"iothread": flag, "ro": flag, "ssd": flag, "wwn": _WWN, "queues": integer(2), "scsiblock": flag,
                      "product": string(r"[\w\s-]{0,16}"), "vendor": string(r"[\w\s-]{0,8}")},
    "efidisk": {"file": TEXT, "import-from": TEXT, "format": _DRIVE["format"], "size": SIZE, "efitype": choice("2m", "4m"), "pre-enrolled-keys": flag},
    "tpmstate": {"file": TEXT, "import-from": TEXT, "size": SIZE, "version": choice("v1.2", "v2.0")},
}  # fmt: skip
_MAC = string(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
NIC_MODELS = ("e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er", "ne2k_isa", "ne2k_pci", "pcnet",
              "rtl8139", "virtio", "vmxnet3")  # fmt: skip
_NET: dict[str, Check] = {
    "model": choice(*NIC_MODELS), "macaddr": _MAC, "bridge": string(r"[\w.-]{1,15}"), "queues": integer(0, 64), "rate": number, "tag": integer(1, 4094),
    "trunks": string(r"\d+(-\d+)?(;\d+(-\d+)?)*"), "firewall": flag, "link_down": flag, "mtu": integer(1, 65520),
}  # fmt: skip
_AGENT: dict[str, Check] = {"enabled": flag, "fstrim_cloned_disks": flag, "freeze-fs-on-backup": flag, "type": choice("virtio", "isa")}


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


def checked(text: str, schema: Mapping[str, Check], lead: str | None, aliases: Mapping[str, str] = {}, *, required: bool = True) -> dict[str, Any]:
    """The values of a property string. `lead` names the one that may stand without its name, and that with `required` must be there."""
    given: dict[str, str] = {}
    for item in text.split(","):
        name, equals, value = item.partition("=")
        if not item.strip():
            continue
        if not equals and lead is None:
            raise ValueError("invalid format - value without key, but schema does not define a default key")
        name, value = (aliases.get(name, name), value) if equals else (lead or "", name)
        if name in given:
            raise ValueError(f"invalid format - duplicate key in comma-separated list property: {name}")
        if name not in schema:
            raise ValueError(f"invalid format - invalid key in comma-separated list property: {name}")
        given[name] = value
    errors, values = {}, {}
    if required and lead is not None and lead not in given:
        errors[lead] = "property is missing and it is not optional"
    for name, value in given.items():
        try:
            values[name] = schema[name](value)
        except ValueError as error:
            errors[name] = str(error)
    if errors:
        raise FormatError(errors)
    return values


def drive(slot: str) -> Check:
    """The check of a drive in that slot; gives it in the form the configuration shows."""

    def check(value: object) -> str:
        values = checked(TEXT(value), _BUS[slot.rstrip("0123456789")], "file", {"volume": "file"})
        if values["file"] in ("none", "cdrom"):
            values.setdefault("media", "cdrom")
        if "size" in values:
            values["size"] = size_text(size_bytes(values["size"]))
        return join_properties(str(values.pop("file")), {k: str(v) for k, v in values.items()})

    return check


def network(value: object) -> str:
    """A network card, its model first with the MAC where there is one: `virtio=BC:24:11:00:00:01,bridge=vmbr0`."""
    items = []
    for item in TEXT(value).split(","):
        name, equals, mac = item.partition("=")
        items += [f"model={name}", f"macaddr={mac}"] if equals and name in NIC_MODELS else [item]
    values = checked(",".join(items), _NET, "model")
    model, mac = values.pop("model"), values.pop("macaddr", None)
    return join_properties(f"{model}={mac.upper()}" if mac else str(model), {k: str(v) for k, v in values.items()})


def agent(value: object) -> str:
    """The guest agent's settings, as they were given."""
    text = str(TEXT(value))
    checked(text, _AGENT, "enabled")
    return text


def agent_enabled(text: str) -> bool:
    """Whether a VM's `agent` setting turns it on."""
    return split_properties(text, "enabled")[0] in ("1", "on", "yes", "true")


def size_bytes(text: str) -> int:
    """Bytes from Proxmox's form, as `500G`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    if not match:
        raise ValueError(f"invalid format - value does not look like a valid disk size: {text}")
    return int(float(match[1]) * UNITS[match[2]])


def size_text(size: int) -> str:
    """Proxmox's form of a number of bytes: the largest unit that leaves it whole."""
    for unit in ("T", "G", "M", "K"):
        if size and size % UNITS[unit] == 0:
            return f"{size // UNITS[unit]}{unit}"
    return str(size)
