"""The lab's network: one namespace with the bridge `vmbr0`, a wire to the bastion, and namespaces attached to the bridge."""

import json
import subprocess
from pathlib import Path

from lab.run import end, sh
from lab.site import BRIDGE, Lab


def exists(netns: str) -> bool:
    """Whether a network namespace of that name exists."""
    return Path(f"/run/netns/{netns}").exists()


def up(lab: Lab) -> None:
    """Make the namespace, its bridge (which is the Proxmox host's address) and the bastion's wire, unless they are there.

    What is left of a namespace that lost its wire goes, with the processes in it: they could not be reached any more.
    """
    if exists(lab.netns) and _has_address(lab):
        return
    down(lab)
    sh("ip", "netns", "add", lab.netns)
    _ip(lab.netns, "link set lo up", f"link add {BRIDGE} address {_mac(lab, lab.pve)} type bridge stp_state 0", f"addr add {lab.pve}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up")  # fmt: skip
    sh("ip", "link", "add", lab.bastion_link, "address", _mac(lab, lab.bastion), "type", "veth", "peer", "name", "bastion", "netns", lab.netns)
    _ip(lab.netns, f"link set bastion master {BRIDGE} up")
    sh("ip", "addr", "add", f"{lab.bastion}/24", "dev", lab.bastion_link)
    sh("ip", "link", "set", lab.bastion_link, "up")


def attach(lab: Lab, netns: str, address: str) -> None:
    """Make a namespace with one wire, `eth0`, to the lab's bridge, and its default route to it; nothing routes further."""
    if exists(netns):
        return
    sh("ip", "netns", "add", netns)
    sh("ip", "-n", lab.netns, "link", "del", f"p{address.rpartition('.')[2]}", check=False)  # of a namespace that is just going away
    port = f"p{address.rpartition('.')[2]}"
    _ip(lab.netns, f"link add {port} type veth peer name eth0 address {_mac(lab, address)} netns {netns}", f"link set {port} master {BRIDGE} up")
    _ip(netns, "link set lo up", f"addr add {address}/24 dev eth0", "link set eth0 up", f"route add default via {lab.pve}")


def down(lab: Lab) -> None:
    """Take the lab's namespaces and its wire away, and what still runs in them. Their taps and bridges go with them."""
    for netns in (lab.node_netns, lab.netns):
        if exists(netns):
            for pid in sh("ip", "netns", "pids", netns).split():
                end(int(pid), 2)
            sh("ip", "netns", "del", netns)
    if lab.bastion_link in _links():
        subprocess.run(["ip", "link", "del", lab.bastion_link], check=False, capture_output=True)


def _mac(lab: Lab, address: str) -> str:
    """An address's own MAC. A random one, and a bridge takes the lowest of its ports', leaves neighbours with the old for half a minute."""
    return f"02:4c:{lab.subnet:02x}:00:00:{int(address.rpartition('.')[2]):02x}"


def _links() -> set[str]:
    return {link["ifname"] for link in json.loads(sh("ip", "-j", "link", "show"))}


def _has_address(lab: Lab) -> bool:
    return lab.bastion_link in _links() and lab.bastion in sh("ip", "addr", "show", "dev", lab.bastion_link)


def _ip(netns: str, *commands: str) -> None:
    sh("ip", "-n", netns, "-batch", "-", input="\n".join(commands) + "\n")
