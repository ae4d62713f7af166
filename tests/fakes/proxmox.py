"""A Proxmox VE with one VM, which runs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from include.lake.errors import LakeError, Refused
from include.lake.resources.vm_disk import FLAGS, SlotFacts, VmDiskState
from include.lake.units import Size
from tests.fakes.base import Fake, writing

HOT = {"backup"}  # what a running VM takes over at once


class FakeProxmox(Fake):
    """Slots by name. A flag changed on an attached disk waits in `pending`, with the disk's other flags, until `restart()`.

    Without `hotplug` a disk that is added waits too (`queued`), and none is let go. `leaving`: slots whose disk goes at the restart.
    """

    def __init__(self, controller: str = "virtio-scsi-single", vmid: int = 100) -> None:
        super().__init__()
        self.controller, self.vmid = controller, vmid
        self.storages = {"local-lvm"}
        self.slots: dict[str, VmDiskState] = {}
        self.foreign: set[str] = set()
        self.waiting: dict[str, dict[str, bool]] = {}
        self.hotplug = True
        self.queued: dict[str, VmDiskState] = {}
        self.leaving: set[str] = set()
        self.taken: dict[str, str] = {}  # snapshots: name → description

    def _vm(self, vmid: int) -> None:
        if vmid != self.vmid:
            raise LakeError("use", "Proxmox VE", f"there is no VM {vmid}")

    def _disk(self, vmid: int, slot: str) -> VmDiskState:
        self._vm(vmid)
        if slot not in self.slots:
            raise LakeError("use", f"slot {slot} of VM {vmid}", "it is empty")
        return self.slots[slot]

    def slot(self, node: str, vmid: int, slot: str) -> SlotFacts | None:
        self._vm(vmid)
        if slot in self.foreign:
            raise Refused("use", f"slot {slot} of VM {vmid}", "it holds something else")
        if slot in self.queued:
            raise Refused("use", f"slot {slot} of VM {vmid}", "the disk waits there until the VM is stopped and started")
        if slot in self.leaving:
            raise Refused("use", f"slot {slot} of VM {vmid}", "its disk is to be taken off as soon as the VM stops")
        state = self.slots.get(slot)
        return SlotFacts(f"local-lvm:vm-{vmid}-disk-1", state, dict(self.waiting.get(slot, {}))) if state else None

    def scsihw(self, node: str, vmid: int) -> str:
        self._vm(vmid)
        return self.controller

    @writing
    def add_disk(self, node: str, vmid: int, slot: str, state: VmDiskState) -> None:
        self._vm(vmid)
        if slot in self.slots or slot in self.foreign:
            raise Refused("add", f"a disk in slot {slot} of VM {vmid}", "the slot was taken in the meantime")
        if slot in self.queued:
            raise Refused("use", f"slot {slot} of VM {vmid}", "the disk waits there until the VM is stopped and started")
        if state.storage not in self.storages:
            raise LakeError("use", "Proxmox VE", f"there is no storage {state.storage}")
        flags: dict[str, Any] = {f: bool(getattr(state, f)) for f in ("ssd", "discard", "iothread")}
        (self.slots if self.hotplug else self.queued)[slot] = replace(state, **flags, backup=True if state.backup is None else state.backup)

    @writing
    def set_flags(self, node: str, vmid: int, slot: str, flags: Mapping[str, bool]) -> None:
        state = self._disk(vmid, slot)
        now = {f: bool(getattr(state, f)) for f in FLAGS}
        wanted = {**now, **self.waiting.pop(slot, {}), **flags}
        if {f for f in FLAGS if wanted[f] != now[f]} <= HOT:
            self.slots[slot] = replace(state, **wanted)  # type: ignore[arg-type]
        else:
            self.waiting[slot] = wanted

    @writing
    def grow(self, node: str, vmid: int, slot: str, size: Size) -> None:
        if size < self._disk(vmid, slot).size:
            raise LakeError("shrink", slot, "unable to shrink disk size")
        self.slots[slot] = replace(self.slots[slot], size=size)

    @writing
    def remove_disk(self, node: str, vmid: int, slot: str) -> None:
        self._vm(vmid)
        if slot in self.slots and self.taken:
            raise LakeError("use", "Proxmox VE", f"a snapshot holds the disk in slot {slot}")
        if slot in self.slots and not self.hotplug:
            raise LakeError("remove", f"the disk in slot {slot} of VM {vmid}", "the VM does not let it go while it runs, so it stays")
        self.slots.pop(slot, None)
        self.waiting.pop(slot, None)

    @writing
    def take_snapshot(self, node: str, vmid: int, name: str, description: str) -> None:
        self._vm(vmid)
        if name in self.taken:
            raise LakeError("use", "Proxmox VE", f"snapshot name '{name}' already used")
        self.taken[name] = description

    def snapshots(self, node: str, vmid: int) -> list[str]:
        self._vm(vmid)
        return list(self.taken)

    def holding(self, node: str, vmid: int, slot: str) -> list[str]:
        return self.snapshots(node, vmid) if slot in self.slots else []

    def restart(self) -> None:
        """The VM stops and starts: what waited holds now."""
        for slot, flags in self.waiting.items():
            self.slots[slot] = replace(self.slots[slot], **flags)  # type: ignore[arg-type]
        self.waiting = {}
        self.slots = {slot: state for slot, state in self.slots.items() if slot not in self.leaving} | self.queued
        self.queued, self.leaving = {}, set()
