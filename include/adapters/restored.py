"""A restore and its proof on a site's real parts."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Interface
from typing import Any

from include.adapters.clients import Clients
from include.lake import equal, site
from include.lake.backup import Backup, Keeping
from include.lake.errors import LakeError
from include.lake.lake import Lake
from include.lake.restore import Restore, Restored

Say = Callable[[str], None]


def parse_address(text: str) -> IPv4Interface | None:
    """An address with its prefix; None for `dhcp`."""
    if text.strip().lower() == "dhcp":
        return None
    try:
        address = IPv4Interface(text.strip())
    except ValueError:
        address = None
    if (
        address is None
        or "/" not in text
        or address.network.prefixlen > 30
        or address.ip in (address.network.network_address, address.network.broadcast_address)
    ):
        raise LakeError("read", f"the address {text!r}", "it is no IPv4 address of a machine with the prefix of its network",
                        "Write it as 192.0.2.30/24, or dhcp")  # fmt: skip
    return address


def restore(lake: Lake, parts: Clients, vmid: int, address: str, backup: str, say: Say) -> Restored:
    """Restore a backup (empty: Homelake's newest) to a new VM, or go on with one that was begun."""
    vm, keeping, client = lake.spec.vm, Keeping.of(lake.spec), parts.backups
    if not 100 <= vmid <= 999_999_999:
        raise LakeError("restore", f"to VM {vmid}", "a VMID is a number from 100 to 999999999", "Choose one that is free")
    job = Restore(lake.spec.name, vm.node, vm.vmid, vmid, parse_address(address), vm.disk.storage, client.own_addresses())

    def choose(volid: str) -> Backup:
        found = keeping.choose(client, volid)
        may_restore(lake, parts, vmid, client.archived(vm.node, found.volid))
        say(f"backup {found.volid}, {found.size / 2**20:.0f} MiB" + ("" if found.lake else ", not made by Homelake"))
        return found

    return job.run(client, choose, backup, say)


def may_restore(lake: Lake, parts: Clients, vmid: int, archived: Mapping[str, str]) -> None:
    """Raise, with the lines that give them, when the token lacks privileges for what a restore does."""
    call, token = parts.proxmox.call, parts.connections("proxmox").login
    wanted = site.restore_privileges(vmid, lake.spec.vm.disk.storage, archived, str(call("get", "version")["version"]))
    lacking = [f for path, (role, needed) in wanted.items()
               if (f := site.privileges(token, path, needed, set(call("get", "access/permissions", path=path).get(path) or ()), role)).problem]  # fmt: skip
    if lacking:
        raise LakeError("restore", f"to VM {vmid}", "; ".join(f"{f.what}: {f.problem}" for f in lacking), "\n".join(f.remedy for f in lacking))


def prove(parts: Clients, restored: Mapping[str, Any], say: Say, share: float = 1.0) -> equal.Report:
    """Prove that a restored MinIO holds what the lake held when its backup began."""
    client = parts.backups
    report = equal.prove(client.store(), client.copy(int(restored["vmid"]), str(restored["address"])), int(restored["made"]), say, share)
    say(f"{restored['backup']} at {restored['address']}: {report}")
    return report
