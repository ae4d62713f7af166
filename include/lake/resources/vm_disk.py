"""The VM's data disk in Proxmox VE (requirement A1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from include.lake.errors import LakeError, Refused
from include.lake.resource import WHOLE, Change, Plan, Resource
from include.lake.units import Size

FLAGS = ("backup", "discard", "iothread", "ssd")


@dataclass(frozen=True)
class VmDiskState:
    """A disk of a VM. A flag that is None is not managed."""

    storage: str
    size: Size
    ssd: bool | None = None
    discard: bool | None = None
    backup: bool | None = None
    iothread: bool | None = None


@dataclass(frozen=True)
class SlotFacts:
    """What Proxmox VE says of a slot: the volume in it, its state, the flags that wait for a restart."""

    volume: str
    state: VmDiskState
    pending: Mapping[str, bool]


class ProxmoxClient(Protocol):
    """What a disk needs of Proxmox VE."""

    def slot(self, node: str, vmid: int, slot: str) -> SlotFacts | None:
        """The disk in a slot; None when the slot is empty. Raises Refused when what is there is not a disk of this VM."""

    def scsihw(self, node: str, vmid: int) -> str:
        """The VM's SCSI controller."""

    def add_disk(self, node: str, vmid: int, slot: str, state: VmDiskState) -> None:
        """Allocate a volume and attach it."""

    def set_flags(self, node: str, vmid: int, slot: str, flags: Mapping[str, bool]) -> None:
        """Change flags of the attached disk; a running VM takes them over when it stops and starts."""

    def grow(self, node: str, vmid: int, slot: str, size: Size) -> None:
        """Make the volume larger, online."""

    def remove_disk(self, node: str, vmid: int, slot: str) -> None:
        """Detach the disk, and delete its volume with all that is on it."""


@dataclass(frozen=True)
class VmDisk(Resource[VmDiskState, ProxmoxClient]):
    """A data disk in a SCSI slot. It is added and grown while the VM runs; it never shrinks and is never replaced."""

    part: ClassVar[str] = "proxmox"
    node: str
    vmid: int
    slot: str
    desired: VmDiskState | None

    @property
    def id(self) -> str:
        """`vm-disk/100/scsi1`."""
        return f"vm-disk/{self.vmid}/{self.slot}"

    def observe(self, client: ProxmoxClient) -> VmDiskState | None:
        """The disk in the slot."""
        facts = client.slot(self.node, self.vmid, self.slot)
        return facts.state if facts else None

    def pending(self, client: ProxmoxClient) -> Mapping[str, object]:
        """The flags that wait for the VM to stop and start."""
        facts = client.slot(self.node, self.vmid, self.slot)
        return facts.pending if facts else {}

    def danger(self, change: Change) -> str | None:
        """Its deletion."""
        return "deletes the disk with all that is on it" if change.field == WHOLE else None

    def apply(self, todo: Plan, client: ProxmoxClient) -> None:
        """Add the disk, or grow it and change its flags."""
        if self.desired is None:
            client.remove_disk(self.node, self.vmid, self.slot)
            return
        changes = {c.field: c for c in todo.changes}
        self._check(changes, client)
        if todo.action == "create":
            client.add_disk(self.node, self.vmid, self.slot, self.desired)
            return
        if "size" in changes:
            client.grow(self.node, self.vmid, self.slot, self.desired.size)
        if flags := {f: c.after for f, c in changes.items() if f in FLAGS and isinstance(c.after, bool)}:
            client.set_flags(self.node, self.vmid, self.slot, flags)

    def _check(self, changes: Mapping[str, Change], client: ProxmoxClient) -> None:
        if (size := changes.get("size")) and isinstance(size.before, Size) and size.before > size.after:  # type: ignore[operator]
            raise Refused("shrink", self.id, f"it has {size.before} and {size.after} are declared; a disk never shrinks",
                          f"Declare at least {size.before} in lake.yaml: vm.disk.size")  # fmt: skip
        if (storage := changes.get("storage")) and storage.before is not None:
            raise Refused("move", self.id, f"it is on {storage.before} and {storage.after} is declared; Homelake does not move disks",
                          f"Declare storage: {storage.before}, or move it in Proxmox VE (Disk Action → Move Storage)")  # fmt: skip
        if "iothread" in changes and changes["iothread"].after and (now := client.scsihw(self.node, self.vmid)) != "virtio-scsi-single":
            raise LakeError("attach", self.id, f"iothread needs the SCSI controller virtio-scsi-single, and the VM has {now}",
                            f"Run: qm set {self.vmid} --scsihw virtio-scsi-single, and stop and start the VM; or remove iothread from lake.yaml")  # fmt: skip
