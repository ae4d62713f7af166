"""The filesystem on the data disk (requirement A2)."""

from dataclasses import dataclass
from typing import ClassVar, Protocol
from uuid import NAMESPACE_URL, uuid5

from include.lake.errors import Refused
from include.lake.resource import WHOLE, Change, Plan, Resource

MAKING = "homelake-making"  # the label until a filesystem is complete: a mkfs that was killed is known by it


@dataclass(frozen=True)
class FilesystemState:
    """A filesystem. `label` is None where it is not managed: on one that was made by hand. `fills_device`: it is as large as its disk."""

    type: str
    uuid: str
    label: str | None
    fills_device: bool = True


@dataclass(frozen=True)
class DeviceFacts:
    """A disk in the guest. `signatures` are all that blkid and wipefs find on it; `state` is its filesystem, when it has one."""

    path: str
    signatures: tuple[str, ...]
    state: FilesystemState | None


class FilesystemClient(Protocol):
    """What a filesystem needs of the guest."""

    def device(self, slot: str) -> DeviceFacts:
        """The disk of a slot, found by its stable id. Raises Unreachable when the guest does not have it."""

    def make_filesystem(self, path: str, state: FilesystemState, *, again: bool) -> None:
        """Make a filesystem on a disk that carries nothing (or, with `again`, one that was never completed)."""

    def grow_filesystem(self, path: str) -> None:
        """Make the filesystem as large as its disk, online."""

    def erase_filesystem(self, path: str, uuid: str) -> None:
        """Take the filesystem of that UUID off its disk, with all that is in it. One that is mounted stays, and is an error."""


def filesystem_uuid(lake: str, vmid: int, slot: str) -> str:
    """The UUID of a lake's filesystem, chosen before it is made, so that it is known as ours afterwards."""
    return str(uuid5(NAMESPACE_URL, f"homelake:{lake}/{vmid}/{slot}"))


@dataclass(frozen=True)
class Filesystem(Resource[FilesystemState, FilesystemClient]):
    """The filesystem on a slot's disk. A disk that carries anything else is never formatted, whatever `force` says."""

    part: ClassVar[str] = "host"
    slot: str
    disk: str  # the id of the disk's resource
    desired: FilesystemState | None
    made: str = ""  # the UUID of the one that Homelake makes there; empty: it made none

    @property
    def id(self) -> str:
        """`filesystem/scsi1`."""
        return f"filesystem/{self.slot}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The disk."""
        return (self.disk,)

    def observe(self, client: FilesystemClient) -> FilesystemState | None:
        """The filesystem there. A disk that carries anything but this lake's filesystem is refused."""
        device = client.device(self.slot)
        if not device.signatures:
            return None
        wanted, found = self.desired, device.state
        if wanted is None:
            return found or FilesystemState(", ".join(device.signatures), "", "")
        ours = wanted and found and found.type == wanted.type and found.uuid == wanted.uuid
        if not ours:
            raise Refused("format", self.id, f"{device.path} already carries {', '.join(device.signatures)}",
                          "Homelake never formats a disk that carries something. Declare another slot, or clear this one yourself "
                          f"(after a backup: wipefs -a {device.path})")  # fmt: skip
        return None if found and found.label == MAKING else found

    def danger(self, change: Change) -> str | None:
        """Its deletion."""
        return "erases the filesystem with all that is in it" if change.field == WHOLE else None

    def foreign(self, observed: FilesystemState, client: FilesystemClient) -> str | None:
        """One of another UUID than the one chosen here."""
        return None if observed.uuid and observed.uuid == self.made else f"the disk carries {observed.type} that Homelake did not make"

    def apply(self, todo: Plan, client: FilesystemClient) -> None:
        """Make it on an empty disk, or grow it."""
        device = client.device(self.slot)
        if self.desired is None:
            client.erase_filesystem(device.path, self.made)
        elif todo.action == "create":
            if self.desired.label is None:
                raise Refused("adopt", self.id, f"{device.path} is empty, and filesystem.uuid says that there is a filesystem {self.desired.uuid} on it",
                              "Correct vm.disk.slot or filesystem.uuid in lake.yaml, or leave filesystem.uuid out: then one is made")  # fmt: skip
            client.make_filesystem(device.path, self.desired, again=bool(device.signatures))
        elif "label" in todo.fields():
            raise Refused("relabel", self.id, "its label was changed by someone", f"Run in the VM: e2label {device.path} {self.desired.label}")
        else:
            client.grow_filesystem(device.path)
