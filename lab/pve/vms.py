"""The VMs of the node: their life and their standing. Routes call this; nothing here knows HTTP."""

import asyncio
import contextlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.pve import boot
from lab.pve.config import ConfigFiles
from lab.pve.errors import ApiError, failed
from lab.pve.machine import Machine
from lab.pve.storage import Storages, size_bytes
from lab.pve.tasks import Tasks


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

    def machine(self, vmid: int) -> Machine:
        """The VM's process."""
        if vmid not in self._machines:
            self._machines[vmid] = Machine(vmid, self.settings.state / "run", self.settings.bridge)
        return self._machines[vmid]

    def lock(self, vmid: int) -> asyncio.Lock:
        """Held by whoever changes the VM."""
        return self._locks.setdefault(vmid, asyncio.Lock())

    async def start(self, vmid: int, *, paused: bool = False) -> None:
        """Start a VM; what waited for it is applied first."""
        config, machine = self.files.read(vmid), self.machine(vmid)
        if machine.pid():
            raise failed(f"VM {vmid} already running")
        if config.current.get("template") == "1":
            raise failed("you can't start a vm if it's a template")
        if config.pending or config.delete:
            config.current, config.pending, config.delete = config.effective(), {}, set()
            self.files.write(vmid, config)
        nics = [(f"tap{vmid}i{k[3:]}", _mac(v)) for k, v in sorted(config.current.items()) if re.fullmatch(r"net\d+", k)]
        command = boot.command(str(vmid), config.current, machine.folder, self.settings.accelerator, nics, self.storages.path)
        await machine.start(command, [tap for tap, _ in nics])
        if not paused:
            await machine.qmp("cont")

    async def shutdown(self, vmid: int, timeout: float, *, force: bool) -> None:
        """Ask the guest to power off."""
        machine = self.machine(vmid)
        if not machine.pid():
            raise failed(f"VM {vmid} not running")
        await machine.qmp("system_powerdown")
        if not await machine.wait_gone(timeout):
            if not force:
                raise failed("VM quit/powerdown failed - got timeout")
            await machine.kill()

    async def reboot(self, vmid: int, timeout: float) -> None:
        """Shut down and start: what waited is applied."""
        await self.shutdown(vmid, timeout, force=False)
        await self.start(vmid)

    async def status(self, vmid: int, *, full: bool = False) -> dict[str, Any]:
        """A VM's standing, as lists and `status/current` show it."""
        config, machine = self.files.read(vmid), self.machine(vmid)
        pid, current = machine.pid(), config.current
        root = boot.disks(current).get("scsi0", ("", {}))[1].get("size", "0")
        answer: dict[str, Any] = {
            "vmid": vmid, "name": current.get("name", f"VM{vmid}"), "status": "running" if pid else "stopped",
            "cpus": int(current.get("cores", 1)) * int(current.get("sockets", 1)), "maxmem": int(current.get("memory", "512")) << 20,
            "maxdisk": size_bytes(root), "disk": 0, "cpu": 0, "mem": _rss(pid) if pid else 0, "uptime": machine.uptime(),
            "netin": 0, "netout": 0, "diskread": 0, "diskwrite": 0,
        }  # fmt: skip
        if pid:
            answer["pid"] = pid
        for key in ("tags", "template"):
            if key in current:
                answer[key] = int(current[key]) if key == "template" else current[key]
        if full:
            answer["qmpstatus"] = "stopped"
            if pid:
                with contextlib.suppress(ApiError):
                    answer["qmpstatus"] = (await machine.qmp("query-status"))["status"]
            answer |= {"ha": {"managed": 0}, "agent": 1} if current.get("agent", "0").startswith(("1", "enabled=1")) else {"ha": {"managed": 0}}
        return answer


def _mac(net: str) -> str:
    match = re.search(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", net)
    return match[0] if match else new_mac()


def new_mac() -> str:
    """A MAC address of Proxmox's own range."""
    return "BC:24:11:" + ":".join(f"{b:02X}" for b in secrets.token_bytes(3))


def _rss(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    return 0
