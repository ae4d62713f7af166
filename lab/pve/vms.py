"""The VMs of the node: their life and their standing. Routes call this; nothing here knows HTTP."""

import asyncio
import contextlib
import os
import re
import secrets
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.pve import archives, boot
from lab.pve.config import ConfigFiles, VmConfig
from lab.pve.errors import ApiError, failed
from lab.pve.machine import Machine
from lab.pve.properties import VOLUME_KEY, agent_enabled, size_bytes, split_properties
from lab.pve.storage import Storages
from lab.pve.tasks import Tasks

HALF_RESTORED = {"memory": "128"}  # a VM's settings until its restore is done, and when it fails: not even a lock is among them


@dataclass(frozen=True)
class Settings:
    """The stand-in's configuration file."""

    node: str
    state: Path
    bridge: str
    accelerator: str


class Vms:
    """All VMs of the node."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.files = ConfigFiles(settings.state / "qemu-server", settings.node)
        self.storages = Storages(settings.state / "storage")
        self.tasks = Tasks(settings.state / "tasks", settings.node)
        self._machines: dict[int, Machine] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._clean_up()

    def _clean_up(self) -> None:
        """After a stand-in that was killed: VMs and backups half made are removed, the others' locks taken off."""
        if not self.tasks.interrupted:
            return
        archives.clear(self.storages.dump)
        for vmid in self.files.ids():
            config = self.files.read(vmid)
            if config.current.get("lock") in ("create", "clone") or config.current == HALF_RESTORED:
                for volume in self.storages.owned(vmid):
                    self.storages.free(volume)
                self.files.remove(vmid)
            elif config.current.pop("lock", None):
                self.files.write(vmid, config)

    def machine(self, vmid: int) -> Machine:
        """The VM's process."""
        if vmid not in self._machines:
            self._machines[vmid] = Machine(vmid, self.settings.state / "run", self.settings.bridge)
        return self._machines[vmid]

    def running(self, vmid: int) -> bool:
        """Whether the VM's process is there."""
        return self.machine(vmid).pid() is not None

    @asynccontextmanager
    async def locked(self, vmid: int, patience: float = 10) -> AsyncIterator[None]:
        """Hold what whoever changes the VM must hold. Raises after `patience` seconds of waiting for another."""
        lock = self._locks.setdefault(vmid, asyncio.Lock())
        try:
            await asyncio.wait_for(lock.acquire(), patience)
        except TimeoutError:
            raise failed(f"can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout") from None
        try:
            yield
        finally:
            lock.release()

    @asynccontextmanager
    async def marked(self, vmid: int, lock: str, check: Callable[[VmConfig], None] = lambda config: None) -> AsyncIterator[None]:
        """Mark the VM's configuration as locked while a long task works on it: others are refused at once, and see why."""
        async with self.locked(vmid):
            config = self.files.read(vmid)
            config.check_lock()
            check(config)
            config.current["lock"] = lock
            self.files.write(vmid, config)
        try:
            yield
        finally:
            async with self.locked(vmid):
                config = self.files.read(vmid)
                if config.current.pop("lock", None):
                    self.files.write(vmid, config)

    def forget(self, vmid: int, config: VmConfig) -> None:
        """Remove a VM's configuration and its own volumes."""
        for section in (config.current, config.pending, *config.snapshots.values()):
            for key, value in section.items():
                volume, _ = split_properties(value, "file")
                if VOLUME_KEY.fullmatch(key) and re.search(rf":(vm|base)-{vmid}-", volume):
                    self.storages.free(volume)
        self.files.remove(vmid)

    def undo(self, vmid: int, before: list[str]) -> None:
        """Remove what was begun of a VM: its configuration and its volumes, but for those that were there before."""
        self.free(vmid, before)
        self.files.remove(vmid)

    def free(self, vmid: int, before: list[str]) -> None:
        """Remove a VM's volumes, but for those that were there before."""
        for volume in self.storages.owned(vmid):
            if volume not in before:
                self.storages.free(volume)

    async def status(self, vmid: int, *, full: bool = False) -> dict[str, Any]:
        """A VM's standing, as lists and `status/current` show it."""
        config, machine = self.files.read(vmid).current, self.machine(vmid)
        pid, cpus = machine.pid(), min(int(config.get("cores", 1)) * int(config.get("sockets", 1)), os.cpu_count() or 1)
        figures = machine.figures(cpus)
        nics = figures.pop("nics")
        answer: dict[str, Any] = {
            "vmid": vmid, "name": config.get("name", f"VM {vmid}"), "status": "running" if pid else "stopped", "cpus": int(config.get("vcpus") or cpus),
            "maxmem": int(config.get("memory", "512").removeprefix("current=")) << 20, "maxdisk": _boot_disk_size(config), "disk": 0,
            "diskread": 0, "diskwrite": 0, **figures,
        }  # fmt: skip
        answer |= {"pid": pid} if pid else {}
        answer |= {key: config[key] for key in ("tags", "lock") if key in config}
        answer |= {"template": 1} if config.get("template") == "1" else {}
        answer |= {"serial": 1} if any(re.fullmatch(r"serial\d", key) for key in config) else {}
        if (balloon := int(config.get("balloon", 0))) > 0:
            answer |= {"balloon_min": balloon << 20, "shares": int(config.get("shares", 1000))}
        if full:
            answer |= ({"nics": nics} if nics else {}) | await self._live(machine, config)
        return answer

    @staticmethod
    async def _live(machine: Machine, config: dict[str, str]) -> dict[str, Any]:
        answer: dict[str, Any] = {"ha": {"managed": 0}, "qmpstatus": "running" if machine.pid() else "stopped"}
        answer |= {"agent": 1} if agent_enabled(config.get("agent", "0")) else {}
        if machine.pid():
            with contextlib.suppress(ApiError):  # it may just have ended
                answer["qmpstatus"] = (await machine.qmp("query-status"))["status"]
                stats = {_slot(b): b["stats"] for b in await machine.qmp("query-blockstats")}
                answer |= {"diskread": sum(s["rd_bytes"] for s in stats.values()), "diskwrite": sum(s["wr_bytes"] for s in stats.values())}
                answer |= {"blockstat": stats, "proxmox-support": {}, **await machine.describe()}  # it has none of the patches that would be told
        return answer


def _slot(drive: dict[str, Any]) -> str:
    """The slot of a drive in QEMU's figures: that of its device, for while a backup runs its bytes go by another name."""
    device = re.search(r"(?:^|/)((?:scsi|virtio|ide|sata)\d+)(?:/|$)", drive.get("qdev", ""))
    return device[1] if device else str(drive.get("node-name") or drive.get("device", "")).removeprefix("drive-")


def _boot_disk_size(config: dict[str, str]) -> int:
    found = boot.disks(config)
    order = [s for s in config.get("boot", "").removeprefix("order=").split(";") if s in found]
    slot = next(iter([*order, *found]), None)
    return size_bytes(found[slot][1].get("size", "0")) if slot else 0


def new_mac() -> str:
    """A MAC address of Proxmox's own range."""
    return "BC:24:11:" + ":".join(f"{b:02X}" for b in secrets.token_bytes(3))


def with_mac(net: str) -> str:
    """A network card's setting, with a MAC of its own when it names none."""
    model, comma, rest = net.partition(",")
    return net if "=" in model else f"{model}={new_mac()}{comma}{rest}"


def new_uuid() -> str:
    """A random UUID."""
    return str(uuid.uuid4())
