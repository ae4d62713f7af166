"""Formats of settings: what the Proxmox VE stand-in takes, and in which words it refuses the rest."""

import pytest

from lab.pve.errors import ApiError
from lab.pve.options import option_check
from lab.pve.schema import verify

ADDRESS, WITHIN = "value does not look like a valid address: ", "invalid format - format error\n"
NETWORK = "invalid format - value does not look like a valid ipv{} network configuration\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sshkeys", "ssh-ed25519%20AAAA%2BBB%3D%3D%20me%40there%0A"), ("name", "web-1.example.org"), ("ipconfig0", "ip=192.0.2.10/24,gw=192.0.2.1"),
        ("ipconfig1", "ip=dhcp,ip6=auto"), ("ipconfig31", "ip6=2001:db8::5/64,gw6=2001:db8::1"), ("tags", "a;B_2,c+d.e f"), ("tags", ""),
        ("nameserver", "192.0.2.1 2001:db8::1,dns.example.org"), ("memory", "16"), ("memory", "current=4096"), ("startup", "order=1,up=30,down=60"),
        ("startup", "7"), ("vga", "serial0"), ("vga", "memory=16"), ("vga", "type=std,memory=32"), ("smbios1", "uuid=0a1b2c3d-0000-1111-2222-333344445555"),
        ("smbios1", "base64=1,manufacturer=QUJD,uuid=0A1B2C3D-0000-1111-2222-333344445555"),
    ],
)  # fmt: skip
def test_what_is_taken_is_kept_as_it_was_given(name: str, value: str) -> None:
    assert verify({name: value}, {}, further=option_check) == {name: value}


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("sshkeys", "ssh-ed25519 AAAA me", "invalid format - invalid urlencoded string: ssh-ed25519 AAAA me"),
        ("sshkeys", "a%2Bb\n", "invalid format - invalid urlencoded string: a%2Bb\n"),
        ("name", "under_score", "invalid format - value does not look like a valid DNS name"),
        ("ipconfig0", "ip=192.0.2.10", WITHIN + "ipconfig0.ip: " + NETWORK.format(4)),
        ("ipconfig0", "ip=192.0.2.10/255.255.255.0", WITHIN + "ipconfig0.ip: " + NETWORK.format(4)),
        ("ipconfig0", "ip=192.0.2.300/24", WITHIN + "ipconfig0.ip: " + NETWORK.format(4)),
        ("ipconfig0", "ip6=2001:db8::5", WITHIN + "ipconfig0.ip6: " + NETWORK.format(6)),
        ("ipconfig0", "ip=192.0.2.10/24,gw=here", WITHIN + "ipconfig0.gw: invalid format - value does not look like a valid IPv4 address\n"),
        ("ipconfig2", "gw=192.0.2.1", WITHIN + "ipconfig2.ip: missing property - 'ipconfig2.gw' requires this property\n"),
        ("ipconfig0", "dhcp", "invalid format - value without key, but schema does not define a default key"),
        ("tags", "fine;-wrong", "invalid format - invalid characters in tag"),
        ("tags", "ä", "invalid format - invalid characters in tag"),
        ("nameserver", "192.0.2.1 not_one", f"invalid format - {ADDRESS}not_one"),
        ("memory", "8", WITHIN + "memory.current: value must have a minimum value of 16\n"),
        ("memory", "lots", WITHIN + "memory.current: type check ('integer') failed - got 'lots'\n"),
        ("startup", "first", "invalid format - unable to parse startup options"),
        ("vga", "type=3d", WITHIN + "vga.type: value '3d' does not have a value in the enumeration 'cirrus, qxl, qxl2, qxl3, qxl4, none, serial0, "
         "serial1, serial2, serial3, std, virtio, virtio-gl, vmware'\n"),
        ("vga", "std,memory=1024", WITHIN + "vga.memory: value must have a maximum value of 512\n"),
        ("smbios1", "uuid=mine", WITHIN + "smbios1.uuid: value does not match the regex pattern\n"),
        ("smbios1", "colour=red", "invalid format - invalid key in comma-separated list property: colour"),
    ],
)  # fmt: skip
def test_what_is_refused(name: str, value: str, complaint: str) -> None:
    with pytest.raises(ApiError) as caught:
        verify({name: value}, {}, further=option_check)
    assert caught.value.errors == {name: complaint}
