"""Backups of the lake's VM by Proxmox VE's vzdump: made, listed, chosen, pruned. Only Homelake's own are counted, and ever removed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from include.lake.errors import LakeError, Refused
from include.lake.spec import LakeSpec
from include.lake.units import Size

Say = Callable[[str], None]
_NOTES = re.compile(r"Homelake: lake ([^\s,]+), declaration (\w+)")


@dataclass(frozen=True)
class Backup:
    """A backup of a VM on a storage. `made` is when it began, in seconds since the epoch, by the node's clock."""

    volid: str
    vmid: int
    made: int
    size: Size
    notes: str = ""
    protected: bool = False

    @property
    def lake(self) -> str:
        """The lake whose backup its notes say it is; empty when Homelake did not make it."""
        return match[1] if (match := _NOTES.match(self.notes)) else ""

    @property
    def declaration(self) -> str:
        """The digest of the declaration that held when it was made."""
        return match[2] if (match := _NOTES.match(self.notes)) else ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"backup": self.volid, "vmid": self.vmid, "made": self.made, "size": int(self.size), "lake": self.lake, "declaration": self.declaration,
                "protected": self.protected}  # fmt: skip


class BackupClient(Protocol):
    """What backing up needs of Proxmox VE. A UPID names a task there; it goes on whatever becomes of its caller."""

    def backups(self, node: str, storage: str, vmid: int) -> list[Backup]:
        """All backups of a VM on a storage, whoever made them."""

    def running(self, node: str, vmid: int, kind: str) -> str | None:
        """The UPID of a task of the token's own that runs on a VM."""

    def start_backup(self, node: str, vmid: int, storage: str, mode: str, notes: str) -> str:
        """Start a backup that prunes nothing; returns the UPID."""

    def follow(self, node: str, upid: str, say: Say) -> None:
        """Tell what a task says until its end. Raises LakeError with its own error."""

    def remove_backup(self, node: str, volid: str) -> None:
        """Remove a backup."""


@dataclass(frozen=True)
class Keeping:
    """How a lake is backed up: which VM, to which storage, how many of its backups stay."""

    lake: str
    declaration: str
    node: str
    vmid: int
    storage: str
    keep: int

    @classmethod
    def of(cls, spec: LakeSpec) -> "Keeping":
        """As declared."""
        return cls(spec.name, spec.digest(), spec.vm.node, spec.vm.vmid, spec.backup.storage, spec.backup.keep)

    @property
    def notes(self) -> str:
        """What is written on a backup, so that it is known as Homelake's own."""
        return f"Homelake: lake {self.lake}, declaration {self.declaration}"

    def own(self, client: BackupClient) -> list[Backup]:
        """Homelake's own backups of this lake, oldest first."""
        found = client.backups(self.node, self.storage, self.vmid)
        return sorted((b for b in found if b.vmid == self.vmid and b.lake == self.lake), key=lambda b: (b.made, b.volid))

    def back_up(self, client: BackupClient, mode: str, say: Say) -> Backup:
        """Make a backup. One that a run before this one started, and did not see the end of, is followed instead of making another."""
        if upid := client.running(self.node, self.vmid, "vzdump"):
            say(f"a backup of VM {self.vmid} is being made already: it is followed to its end")
            if made := self._seen_to_its_end(client, upid, say):
                return made
        upid = client.start_backup(self.node, self.vmid, self.storage, mode, self.notes)
        client.follow(self.node, upid, say)
        if made := self._made_by(client, upid):
            return made
        raise LakeError("find", f"the backup of VM {self.vmid} that was just made", f"{self.storage} has none with Homelake's notes of that time",
                        f"See the task's log in Proxmox VE: {upid}")  # fmt: skip

    def _seen_to_its_end(self, client: BackupClient, upid: str, say: Say) -> Backup | None:
        try:
            client.follow(self.node, upid, say)
        except LakeError as error:
            if error.retry:
                raise
            say(f"it failed: {error.cause}")
        return self._made_by(client, upid)

    def _made_by(self, client: BackupClient, upid: str) -> Backup | None:
        return next((b for b in reversed(self.own(client)) if b.made >= started(upid)), None)

    def prune(self, client: BackupClient, say: Say) -> list[str]:
        """Remove the oldest of Homelake's own beyond `keep`; those that are protected are neither counted nor removed. Returns what went."""
        own = [b for b in self.own(client) if not b.protected]
        old = own[: max(0, len(own) - self.keep)]
        for backup in old:
            client.remove_backup(self.node, backup.volid)
            say(f"removed {backup.volid}: {self.keep} stay")
        return [b.volid for b in old]

    def choose(self, client: BackupClient, volid: str = "") -> Backup:
        """The backup of that id, whoever made it; without one Homelake's own newest."""
        if not volid:
            if own := self.own(client):
                return own[-1]
            raise LakeError("find", f"a backup of lake {self.lake}", f"{self.storage} has none that Homelake made of VM {self.vmid}",
                            "Make one (./lake backup), or name another with --backup")  # fmt: skip
        storage = volid.partition(":")[0]
        known = client.backups(self.node, storage, self.vmid)
        found = next((b for b in known if b.volid == volid), None)
        if found is None:
            raise LakeError("find", f"the backup {volid}", f"{storage} has no such backup of VM {self.vmid}", "See which there are: ./lake backup --list")
        if found.vmid != self.vmid:
            raise Refused("take", f"the backup {volid}", f"it is of VM {found.vmid}, and the lake is VM {self.vmid}", "Name one of this lake's VM")
        return found


def started(upid: str) -> int:
    """When a task began, in seconds since the epoch: `UPID:node:pid:pstart:starttime:type:id:user:`."""
    return int(upid.split(":")[4], 16)


def parse_settings(text: str) -> Mapping[str, str]:
    """A VM's configuration file as settings; what belongs to its snapshots or waits for its next start is left out."""
    settings: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("["):
            break
        key, colon, value = line.partition(": ")
        if colon and not key.startswith("#"):
            settings[key] = value
    return settings
