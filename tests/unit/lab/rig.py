"""The stand-in's VMs without QEMU: a machine that only knows whether it runs, and qemu-img on files that hold no more than their size."""

import json
from pathlib import Path
from typing import Any

from lab.pve import copies
from lab.pve.auth import Who
from lab.pve.errors import failed
from lab.pve.tasks import Task
from lab.pve.vms import Vms

ROOT = Who("root@pam!lab")
BLOCKSTATS = [
    {"device": "", "qdev": "scsi0", "node-name": "#block42", "stats": {"rd_bytes": 1, "wr_bytes": 2}},
    {"device": "", "qdev": "/machine/peripheral/virtio1/virtio-backend", "node-name": "drive-virtio1", "stats": {"rd_bytes": 3, "wr_bytes": 4}},
    {"device": "", "qdev": "ide2", "stats": {"rd_bytes": 0, "wr_bytes": 0}},
]


class FakeMachine:
    """A machine that runs or does not; `said` keeps what was asked of its monitor."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.up, self.said = folder, False, list[str]()
        self.obeys = True  # goes down when it is told to

    def pid(self) -> int | None:
        return 4242 if self.up else None

    def figures(self, cpus: int) -> dict[str, Any]:
        nics = {f"tap100i{n}": {"netin": n + 2, "netout": 1 - n} for n in range(2)}
        return {"uptime": 0, "cpu": 0, "mem": 0, "nics": nics, "netin": 5, "netout": 1}

    async def describe(self) -> dict[str, str]:
        return {}

    async def start(self, command: list[str], taps: dict[str, str]) -> None:
        self.up = True

    async def qmp(self, command: str, arguments: dict[str, object] | None = None, timeout: float = 60) -> Any:
        self.said.append(command)
        if command == "system_powerdown" and self.obeys:
            self.up = False
        return {"query-status": {"status": "running"}, "query-blockstats": BLOCKSTATS}.get(command, [])

    async def wait_gone(self, timeout: float) -> bool:
        return not self.up

    async def kill(self) -> None:
        self.up = False


async def qemu_img(command: str, *args: str | Path) -> str:
    """The part of qemu-img that the stand-in needs: a volume's file holds its size as text."""
    if command == "create":
        named, size = [a for a in args if isinstance(a, Path)][-1], str(args[-1])
        named.write_text(size if size.isdigit() else "1073741824")  # a linked clone's: that of its base
    elif command == "convert":
        source, target = (Path(a) for a in args[-2:])
        if not source.exists():
            raise failed(f"qemu-img: Could not open '{source}'")
        target.write_text(source.read_text())
    elif command == "info":
        return json.dumps({"virtual-size": int(Path(args[-1]).read_text())})
    return ""


def task() -> Task:
    """A task that nobody watches."""
    return Task("UPID:", "pve", "test", "0", "root@pam", 0)


async def make(vms: Vms, vmid: int, **values: str) -> None:
    """Make a VM."""
    copies.reserve(vms, vmid, "create")
    await copies.create(vms, vmid, values, None, task())


def machine(vms: Vms, vmid: int) -> FakeMachine:
    """A VM's machine."""
    found = vms.machine(vmid)
    assert isinstance(found, FakeMachine)
    return found
