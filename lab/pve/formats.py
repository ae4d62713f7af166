"""Named formats of settings: addresses, tags, keys, and property strings that are kept as they were given."""

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, NetmaskValueError

from lab.pve.properties import checked
from lab.pve.schema import TEXT, Check, FormatError, choice, flag, formatted, integer, string

URLENCODED = formatted(r"[-%a-zA-Z0-9_.!~*'()]*", "invalid urlencoded string: {}")
_NAME = r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"
DNS_NAME = formatted(rf"(?=.{{1,253}}$){_NAME}(\.{_NAME})*", "value does not look like a valid DNS name")
UUID = r"[a-fA-F0-9]{8}(-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}"
_BASE64 = string(r"[A-Za-z0-9+/]+={0,2}")
_SMBIOS: dict[str, Check] = {**dict.fromkeys(("version", "serial", "manufacturer", "product", "sku", "family"), _BASE64), "uuid": string(UUID), "base64": flag}
_VGA: dict[str, Check] = {
    "type": choice("cirrus", "qxl", "qxl2", "qxl3", "qxl4", "none", "serial0", "serial1", "serial2", "serial3", "std", "virtio", "virtio-gl", "vmware"),
    "memory": integer(4, 512), "clipboard": choice("vnc"),
}  # fmt: skip


def _properties(schema: Mapping[str, Check], lead: str | None = None, *, required: bool = False) -> Check:
    """A property string, checked and kept as it was given."""

    def check(value: object) -> str:
        text = str(TEXT(value))
        checked(text, schema, lead, required=required)
        return text

    return check


smbios = _properties(_SMBIOS)
vga = _properties(_VGA, "type")
memory = _properties({"current": integer(16)}, "current", required=True)


def _items(text: str) -> list[str]:
    return [item for item in re.split(r"[,;\s\0]+", text) if item]


def tags(value: object) -> str:
    """A list of tags."""
    text = str(TEXT(value))
    if not all(re.fullmatch(r"\w[\w+.-]*", tag, re.ASCII) for tag in _items(text)):
        raise ValueError("invalid format - invalid characters in tag")
    return text


def addresses(value: object) -> str:
    """A list of addresses or names."""
    text = str(TEXT(value))
    for item in _items(text):
        try:
            DNS_NAME(item)  # which an IPv4 address looks like, too
        except ValueError:
            if not _address(IPv6Address, item):
                raise ValueError(f"invalid format - value does not look like a valid address: {item}") from None
    return text


def startup(value: object) -> str:
    """When a VM is started with the node, as `order=1,up=30,down=60`."""
    text = str(TEXT(value))
    if not text or not all(re.fullmatch(r"\s*|(order=)?\d+|(up|down)=\d+", item) for item in text.split(",")):
        raise ValueError("invalid format - unable to parse startup options")
    return text


def _address(kind: type[IPv4Address | IPv6Address | IPv4Interface | IPv6Interface], text: str) -> bool:
    try:
        kind(text)
    except (AddressValueError, NetmaskValueError):
        return False
    return True


def _network(kind: type[IPv4Interface | IPv6Interface], words: str, longest: int) -> Check:
    def check(value: object) -> str:
        text = str(TEXT(value))
        prefix = text.rpartition("/")[2]
        network = "/" in text and prefix.isdecimal() and 8 <= int(prefix) <= longest and _address(kind, text)
        if not network and not re.fullmatch(words, text):
            raise ValueError(f"invalid format - value does not look like a valid ipv{6 if kind is IPv6Interface else 4} network configuration")
        return text

    return check


def _gateway(kind: type[IPv4Address | IPv6Address]) -> Check:
    def check(value: object) -> str:
        text = str(TEXT(value))
        if not _address(kind, text):
            raise ValueError(f"invalid format - value does not look like a valid IPv{6 if kind is IPv6Address else 4} address")
        return text

    return check


_IPCONFIG: dict[str, Check] = {"ip": _network(IPv4Interface, "dhcp|manual", 32), "gw": _gateway(IPv4Address),
                               "ip6": _network(IPv6Interface, "auto|dhcp|manual", 128), "gw6": _gateway(IPv6Address)}  # fmt: skip


def ipconfig(name: str) -> Check:
    """The check of a card's addresses for cloud-init, as `ip=192.0.2.10/24,gw=192.0.2.1`."""

    def check(value: object) -> str:
        text = str(TEXT(value))
        given = checked(text, _IPCONFIG, None)
        for gateway, address in (("gw", "ip"), ("gw6", "ip6")):
            if gateway in given and address not in given:
                raise FormatError({address: f"missing property - '{name}.{gateway}' requires this property"})
        return text

    return check
