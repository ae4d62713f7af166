"""A Proxmox VE with one VM."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from include.lake.errors import LakeError, Refused
from include.lake.resources.vm_disk import SlotFacts, VmDiskState
from include.lake.units import Size
from tests.fakes.base import Fake, writing


class FakeProxmox(Fake):
    """Slots by name. A flag changed on an attached disk waits in `pending` until `restart()`."""

    def __init__(self, controller: str = "virtio-scsi-single") -> None:
        super().__init__()
        self.controller = controller
        self.slots: dict[str, VmDiskState] = {}
        self.foreign: set[str] = set()
        self.waiting: dict[str, dict[str, bool]] = {}

    def slot(self, node: str, vmid: int, slot: str) -> SlotFacts | None:
        if slot in self.foreign:
            raise Refused("use", f"slot {slot} of VM {vmid}", "it holds something else")
        state = self.slots.get(slot)
        waiting = self.waiting.get(slot, {})
        return SlotFacts(f"local-lvm:vm-{vmid}-disk-1", state, waiting) if state else None

    def scsihw(self, node: str, vmid: int) -> str:
        return self.controller

    @writing
    def add_disk(self, node: str, vmid: int, slot: str, state: VmDiskState) -> None:
        assert slot not in self.slots, "a second volume would be allocated"
        flags: dict[str, Any] = {f: bool(getattr(state, f)) for f in ("ssd", "discard", "iothread")}
        self.slots[slot] = replace(state, **flags, backup=True if state.backup is None else state.backup)

    @writing
    def set_flags(self, node: str, vmid: int, slot: str, flags: Mapping[str, bool]) -> None:
        self.waiting.setdefault(slot, {}).update(flags)

    @writing
    def grow(self, node: str, vmid: int, slot: str, size: Size) -> None:
        if size < self.slots[slot].size:
            raise LakeError("shrink", slot, "unable to shrink disk size")
        self.slots[slot] = replace(self.slots[slot], size=size)

    def restart(self) -> None:
        """The VM stops and starts: what waited holds now."""
        for slot, flags in self.waiting.items():
            self.slots[slot] = replace(self.slots[slot], **flags)  # type: ignore[arg-type]
        self.waiting = {}
