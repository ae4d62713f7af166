"""A backup restored as another VM, at another address, beside the original: which is only read, and never met on the network.

The copy is started with its cable unplugged, gets its address through the guest's agent, and only then is plugged in. Its description says
whose it is; so a run that was killed is taken up where it ended, and a VM that Homelake did not make is never touched.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface
from typing import Any, Protocol

from include.lake.backup import Backup, Say
from include.lake.errors import NotConverged, Refused
from include.lake.guest_network import Guest, GuestClient

_MARK = re.compile(r"Restored by Homelake: lake ([^\s,]+), VM (\d+), backup (\S+) of (\d+)(?:\s+Address: (\S+))?")
_MAC = re.compile(r"(?:^|,)(?:[\w-]+)=([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5})(?=,|$)")
_ON = ("1", "on", "yes", "true")
# After a boot so slow that systemd gave up on the disk, it neither mounts it nor starts what needs it by itself.
START = "systemctl start --no-block minio"


class RestoreClient(GuestClient, Protocol):
    """What a restore needs of Proxmox VE, of the new VM's guest, and of the network that the bastion sees."""

    def running(self, node: str, vmid: int, kind: str) -> str | None:
        """The UPID of a task of the token's own that runs on a VM."""

    def follow(self, node: str, upid: str, say: Say) -> None:
        """Tell what a task says until its end. Raises LakeError with its own error."""

    def taken(self, vmid: int) -> bool:
        """Whether any guest of the cluster has that number, seen by the token or not."""

    def settings(self, node: str, vmid: int) -> Mapping[str, str] | None:
        """The VM's configuration as it will be, and None when the token sees no such VM."""

    def archived(self, node: str, volid: str) -> Mapping[str, str]:
        """The configuration in a backup."""

    def start_restore(self, node: str, vmid: int, volid: str, storage: str, settings: Mapping[str, str]) -> str:
        """Start restoring a backup to a new VM, its cards with new MACs; `settings` win. Returns the UPID."""

    def change(self, node: str, vmid: int, settings: Mapping[str, str]) -> None:
        """Set settings of a VM, at once."""

    def power_on(self, node: str, vmid: int) -> bool:
        """Start a VM unless it runs; whether it was started."""

    def wait_agent(self, node: str, vmid: int) -> None:
        """Wait until the guest's agent answers."""

    def wait_addresses(self, node: str, vmid: int, mac: str, wanted: str) -> list[str]:
        """Wait until the card of that MAC has the address, or (empty) any; returns all IPv4 addresses of the guest but its loopback's."""

    def occupied(self, address: str) -> bool:
        """Whether anything answers at an address."""

    def serving(self, vmid: int, address: str) -> bool:
        """Whether a restored VM's MinIO answers at an address, and lets root in."""

    def wait_store(self, vmid: int, address: str) -> None:
        """Wait until a restored VM's MinIO answers at an address and lets root in."""


@dataclass(frozen=True)
class Mark:
    """What a restored VM's description says: whose backup of when it was made from, and (once it is done) where it answers."""

    lake: str
    original: int
    backup: str
    made: int
    address: str = ""

    def __str__(self) -> str:
        done = f"\nAddress: {self.address}" if self.address else ""
        return f"Restored by Homelake: lake {self.lake}, VM {self.original}, backup {self.backup} of {self.made}{done}"

    @classmethod
    def read(cls, description: str) -> "Mark | None":
        """The mark in a description."""
        match = _MARK.match(description)
        return cls(match[1], int(match[2]), match[3], int(match[4]), match[5] or "") if match else None


@dataclass(frozen=True)
class Restored:
    """A restored VM that answers. `made`: when its backup began, which may be pruned by now."""

    vmid: int
    address: str
    backup: str
    made: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"vmid": self.vmid, "address": self.address, "backup": self.backup, "made": self.made}


@dataclass(frozen=True)
class Restore:
    """What is to be restored where. `address` None: a DHCP server gives one. `taken`: the addresses the original answers at."""

    lake: str
    node: str
    original: int
    vmid: int
    address: IPv4Interface | None
    storage: str
    taken: frozenset[str]

    def run(self, client: RestoreClient, choose: Callable[[str], Backup], backup: str, say: Say) -> Restored:
        """Restore the backup of that id, or (empty) the newest; go on where a killed run ended."""
        self._check()
        settings = self._there(client, backup, say)
        if settings is None:
            self._free(client)
            settings = self._make(client, choose(backup), say)
        mark = Mark.read(settings.get("description", ""))
        assert mark is not None
        if client.power_on(self.node, self.vmid):
            say(f"VM {self.vmid} starts, its network card unplugged")
        card, mac = first_card(settings, self.vmid)
        if unplugged(settings[card]):
            self._free(client)
            say("waiting for the guest's agent")
            client.wait_agent(self.node, self.vmid)
            Guest(client, self.node, self.vmid, mac, self.taken).give(self.address)
            client.change(self.node, self.vmid, {card: plugged(settings[card])})
            say(f"the guest has its address, and {card} is plugged in")
        address = self._answers(client, card, plugged(settings[card]), mac)
        if not client.serving(self.vmid, address):
            say(f"waiting for MinIO at {address}")
            client.run(self.node, self.vmid, START)
            client.wait_store(self.vmid, address)
        if mark.address != address:
            client.change(self.node, self.vmid, {"description": str(replace(mark, address=address))})
        return Restored(self.vmid, address, mark.backup, mark.made)

    def _check(self) -> None:
        if self.vmid == self.original:
            raise Refused("restore", f"to VM {self.vmid}", "it is the lake's own VM, and a restore never touches the original", "Choose a VMID that is free")
        if self.address and str(self.address.ip) in self.taken:
            raise Refused("restore", f"to {self.address.ip}", "it is the original's address", "Choose an address that is free")

    def _there(self, client: RestoreClient, backup: str, say: Say) -> Mapping[str, str] | None:
        """The VM of that number, when it is one that an earlier run of this restore made, or is making."""
        settings = client.settings(self.node, self.vmid)
        if settings and unfinished(settings) and (upid := client.running(self.node, self.vmid, "qmrestore")):
            say(f"VM {self.vmid} is being restored already: that is followed to its end")
            client.follow(self.node, upid, say)
            settings = client.settings(self.node, self.vmid)
        if settings is None:
            if client.taken(self.vmid):
                raise Refused("restore", f"to VM {self.vmid}", "there is a guest of that number, which the token may not look at", "Choose a VMID that is free")
            return None
        if settings.get("lock") == "create":
            raise Refused("restore", f"to VM {self.vmid}", "it is being made by someone else, or by a task that died",
                          f"Wait for it, or remove it: qm unlock {self.vmid} && qm destroy {self.vmid}")  # fmt: skip
        if unfinished(settings):
            raise Refused("restore", f"to VM {self.vmid}", "what is there was left by a restore that failed, unless one by someone else is at work on it",
                          f"See the node's tasks; where none is at work, remove it: qm destroy {self.vmid}")  # fmt: skip
        mark = Mark.read(settings.get("description", ""))
        if mark is None or (mark.lake, mark.original) != (self.lake, self.original):
            raise Refused("restore", f"to VM {self.vmid}", f"there is one of that number ({settings.get('name', 'without a name')}), which is not a restored VM of this lake",
                          "Choose a VMID that is free")  # fmt: skip
        if backup and mark.backup != backup:
            raise Refused("restore", f"{backup} to VM {self.vmid}", f"it was restored from {mark.backup}",
                          f"Choose another VMID, or remove it first: qm stop {self.vmid} && qm destroy {self.vmid} --purge")  # fmt: skip
        if mark.address and self.address and mark.address != str(self.address.ip):
            raise Refused("restore", f"VM {self.vmid} at {self.address.ip}", f"it answers at {mark.address} already",
                          f"Take that address, or remove it first: qm stop {self.vmid} && qm destroy {self.vmid} --purge")  # fmt: skip
        say(f"VM {self.vmid} was restored from {mark.backup}: going on with it")
        return settings

    def _make(self, client: RestoreClient, backup: Backup, say: Say) -> Mapping[str, str]:
        volid, archived = backup.volid, client.archived(self.node, backup.volid)
        first_card(archived, self.original)
        if archived.get("agent", "0").split(",")[0].removeprefix("enabled=") not in _ON:
            raise Refused("restore", volid, "its VM has no guest agent, and without it its address cannot be changed before it is plugged in",
                          f"Install qemu-guest-agent in the lake's VM, run on its node: qm set {self.original} --agent 1, restart the VM, make a new backup")  # fmt: skip
        own = {"name": f"{archived.get('name', f'vm{self.original}')}-restored", "onboot": "0",
               "description": str(Mark(self.lake, self.original, volid, backup.made))}  # fmt: skip
        cards = {key: with_cable_out(value) for key, value in archived.items() if re.fullmatch(r"net\d+", key)}
        say(f"restoring {volid} to VM {self.vmid}")
        client.follow(self.node, client.start_restore(self.node, self.vmid, volid, self.storage, own | cards), say)
        settings = client.settings(self.node, self.vmid)
        if settings is None or Mark.read(settings.get("description", "")) is None or not all(unplugged(settings.get(card, "")) for card in cards):
            raise NotConverged(f"VM {self.vmid}", "it does not have the description and the unplugged cards that it was restored with")
        return settings

    def _free(self, client: RestoreClient) -> None:
        if self.address and client.occupied(str(self.address.ip)):
            raise Refused("restore", f"to {self.address.ip}", "something answers at that address already", "Choose an address that is free")

    def _answers(self, client: RestoreClient, card: str, setting: str, mac: str) -> str:
        """The address that the guest has. One of the original's, and its cable is pulled again."""
        client.wait_agent(self.node, self.vmid)
        found = client.wait_addresses(self.node, self.vmid, mac, str(self.address.ip) if self.address else "")
        if same := self.taken.intersection(found):
            client.change(self.node, self.vmid, {card: f"{setting},link_down=1"})
            raise Refused("plug in", f"VM {self.vmid}", f"it has the original's address {min(same)}; its card is unplugged again",
                          "Look at its network at its console")  # fmt: skip
        return str(self.address.ip) if self.address else found[0]


def unfinished(settings: Mapping[str, str]) -> bool:
    """Whether a configuration is what a VM has while it is restored, locked or not, and keeps when that fails: no name, no disk, no card, no description."""
    return not settings.keys() - {"digest", "lock", "memory"}


def first_card(settings: Mapping[str, str], vmid: int) -> tuple[str, str]:
    """The VM's first network card, by which the lake is reached, and its MAC. The others stay unplugged."""
    cards = sorted((k for k in settings if re.fullmatch(r"net\d+", k)), key=lambda k: int(k[3:]))
    mac = _MAC.search(settings[cards[0]]) if cards else None
    if not mac:
        raise Refused("restore", f"VM {vmid}", "it has no network card with a MAC", "Give the lake's VM a card, and make a new backup")
    return cards[0], mac[1].lower()


def with_cable_out(setting: str) -> str:
    """A card's setting, unplugged and without its MAC, so that it gets another."""
    bare = _MAC.sub(lambda m: m[0].partition("=")[0] if "macaddr=" not in m[0] else "", setting)
    return plugged(bare) + ",link_down=1"


def plugged(setting: str) -> str:
    """A card's setting with its cable in."""
    return ",".join(part for part in setting.split(",") if part and not part.startswith("link_down="))


def unplugged(setting: str) -> bool:
    """Whether a card's cable is out."""
    return any(part.startswith("link_down=") and part.partition("=")[2] in _ON for part in setting.split(","))
