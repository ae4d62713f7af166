"""The network of a restored guest, changed through its agent while its cable is unplugged: it must never answer at the original's address.

Where systemd-networkd runs the network, the file that it takes for the card is copied with another address, under a name that
comes before all others; so gateway and name servers stay as they were. Source: systemd.network(5), "the first file that matches".
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Protocol

from include.lake.errors import LakeError, Refused

OURS = "/etc/systemd/network/00-homelake-restored.network"
# The agent answers before the card and the network are there: a slow boot is waited for.
LOOK = r"""
end=$(($(date +%s) + 90))
while :; do
  for d in /sys/class/net/*; do [ "$(cat "$d/address" 2>/dev/null)" = "$1" ] && dev=${d##*/}; done
  if [ -n "$dev" ]; then
    systemctl is-enabled -q systemd-networkd 2>/dev/null || systemctl is-active -q systemd-networkd || break
    file=$(LC_ALL=C networkctl status --no-pager --lines=0 "$dev" 2>/dev/null | sed -n 's/^ *Network File: *//p')
    case $file in /*) break ;; esac
  fi
  [ "$(date +%s)" -lt "$end" ] || break
  sleep 1
done
[ -n "$dev" ] && echo "device=$dev"
systemctl is-active -q systemd-networkd && echo networkd=yes
case $file in /*) echo "file=$file" ;; esac
exit 0
"""
# The agent makes files that everybody may write.
TAKE_ON = r"""
set -e
chmod 644 "$2"
networkctl reload
networkctl reconfigure "$1"
for _ in $(seq 50); do LC_ALL=C networkctl status --no-pager --lines=0 "$1" | grep -q "Network File: $2\$" && exit 0; sleep 0.2; done
echo "systemd-networkd does not take $2 for $1" >&2; exit 1
"""
# A DHCP server knows a client by an id made of /etc/machine-id: two machines need two.
AS_ANOTHER = r"""
rm -f "$1" /var/lib/dbus/machine-id /var/lib/dhcp/*.leases
: >/etc/machine-id
systemd-machine-id-setup >/dev/null
systemctl try-restart systemd-networkd
"""
NAMED = r"""
file=$1; shift
for address in "$@"; do
  grep -rlFw -e "$address" /etc/network /etc/NetworkManager /etc/netplan /etc/systemd/network /run/systemd/network /run/network /run/NetworkManager 2>/dev/null |
    grep -vxF "$file"
done
exit 0
"""


class GuestClient(Protocol):
    """A guest, through its agent."""

    def run(self, node: str, vmid: int, script: str, *args: str) -> str:
        """What a shell script, run as root, prints. Raises LakeError when it fails."""

    def read(self, node: str, vmid: int, path: str) -> str:
        """A file's text."""

    def write(self, node: str, vmid: int, path: str, text: str) -> None:
        """Write a file."""


@dataclass(frozen=True)
class Guest:
    """A restored VM whose first card has this MAC; the original's addresses are `taken`."""

    client: GuestClient
    node: str
    vmid: int
    mac: str
    taken: Collection[str]

    def give(self, address: IPv4Interface | None) -> None:
        """Give the card an address, or (None) let it ask a DHCP server as a machine of its own. Nothing is written when it is so already."""
        facts = self._look()
        if address is None:
            self._as_another()
            return
        if facts.get("networkd") != "yes":
            raise Refused("give", f"VM {self.vmid} its address", "systemd-networkd does not run its network, and Homelake knows no other",
                          "Restore it with --address dhcp, or change its address at its console, and then plug its card in")  # fmt: skip
        file = facts.get("file", "")
        before = self.client.read(self.node, self.vmid, file) if file else ""
        wanted = network_file(before, self.mac, address)
        if file != OURS or before != wanted:
            self.client.write(self.node, self.vmid, OURS, wanted)
            self.client.run(self.node, self.vmid, TAKE_ON, facts["device"], OURS)
            self._surely(wanted)

    def _surely(self, wanted: str) -> None:
        file = self._look().get("file", "")
        if file != OURS or self.client.read(self.node, self.vmid, OURS) != wanted:
            raise LakeError(
                "give", f"VM {self.vmid} its address", f"its network is run by {file or 'no file of systemd-networkd'}", "Look at it at its console"
            )

    def _as_another(self) -> None:
        named = self.client.run(self.node, self.vmid, NAMED, OURS, *sorted(self.taken)).split()
        if named:
            raise Refused("plug in", f"VM {self.vmid}", f"its network does not ask a DHCP server: the original's address is in {named[0]}",
                          "Give it another address: --address A.B.C.D/PREFIX")  # fmt: skip
        self.client.run(self.node, self.vmid, AS_ANOTHER, OURS)

    def _look(self) -> dict[str, str]:
        lines = self.client.run(self.node, self.vmid, LOOK, self.mac.lower()).splitlines()
        facts = dict(line.split("=", 1) for line in lines if "=" in line)
        if "device" not in facts:
            raise LakeError("find", f"the network card of VM {self.vmid}", f"the guest has none with the MAC {self.mac}", "Look at its configuration")
        return facts


def network_file(before: str, mac: str, address: IPv4Interface) -> str:
    """A .network file with this address for the card of that MAC, and everything else as it was: gateway, name servers, routes."""
    network, others = list[str](), list[str]()
    section = ""
    for line in (text.strip() for text in before.splitlines()):
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
        if section == "Network" and not match and not re.match(r"#|;|Address\s*=|DHCP\s*=|$", line):
            network.append(line)
        elif section not in ("", "Match", "Network", "Address", "DHCP", "DHCPv4", "DHCPv6", "Link") and line and line[0] not in "#;":
            others.append(line)
    return "\n".join(["[Match]", f"MACAddress={mac.lower()}", "[Network]", f"Address={address}", *network, *others]) + "\n"
