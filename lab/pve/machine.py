"""A QEMU process and its monitor: started, found again after a restart of the stand-in, and seen when it is gone."""

import asyncio
import contextlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient
from qemu.qmp.error import QMPError

from lab.pve.errors import ApiError, GuestError, failed
from lab.run import Daemon, end

SILENT = {"guest-shutdown", "guest-suspend-disk", "guest-suspend-ram", "guest-suspend-hybrid"}  # the agent's commands that get no answer
PATIENCE = 10.0  # seconds for the agent; the real one's 3 and 5 are too few for an emulated guest
SLOW = {"guest-fsfreeze-freeze": 3600.0, "guest-fsfreeze-thaw": 180.0, "guest-fstrim": 600.0, "guest-shutdown": 600.0}


class Machine:
    """The process of one VM. Its folder holds the pid file, the sockets, the console's log."""

    def __init__(self, vmid: int, folder: Path, bridge: str) -> None:
        self.vmid, self.folder, self.bridge = vmid, folder / str(vmid), bridge
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.daemon = Daemon("qemu", self.folder, self.folder / "qemu.log")
        self.monitor: QMPClient | None = None
        self.lock, self.agent_lock = asyncio.Lock(), asyncio.Lock()
        self.sample = (0.0, 0.0, 0.0)  # when the CPU time was last looked at, what it was, the load since the time before
        self.about: dict[str, str] = {}  # what the running QEMU says of itself, by the process it was asked of

    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.daemon.pid()

    def figures(self, cpus: int) -> dict[str, Any]:
        """What it uses: `cpu` as a share of its CPUs, `mem` in bytes, network traffic in bytes (of all cards, and of each by its tap), seconds of `uptime`."""
        nics: dict[str, dict[str, int]] = {}
        figures: dict[str, Any] = {"uptime": 0, "cpu": 0, "mem": 0, "nics": nics}
        with contextlib.suppress(OSError):
            if pid := self.pid():
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks, now = os.sysconf("SC_CLK_TCK"), time.monotonic()
                used, age = (int(fields[11]) + int(fields[12])) / ticks, time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / ticks
                when, before, _ = self.sample
                if now - when >= 1:
                    self.sample = now, used, max(0.0, (used - before) / (now - when) / cpus) if when and used >= before else 0.0
                figures |= {"uptime": int(age), "cpu": self.sample[2], "mem": int(fields[21]) * os.sysconf("SC_PAGE_SIZE")}
                for line in Path("/proc/net/dev").read_text().splitlines():
                    name, _, numbers = line.strip().partition(":")
                    if name.startswith(f"tap{self.vmid}i"):
                        counts = numbers.split()  # what the guest sends, its tap receives
                        nics[name] = {"netin": int(counts[8]), "netout": int(counts[0])}
        return figures | {key: sum(nic[key] for nic in nics.values()) for key in ("netin", "netout")}

    async def describe(self) -> dict[str, str]:
        """The version of QEMU and the machine type it runs as."""
        pid = str(self.pid())
        if self.about.get("pid") != pid:
            version = (await self.qmp("query-version"))["qemu"]
            machine = await self.qmp("qom-get", {"path": "/machine", "property": "type"})
            self.about = {"pid": pid, "running-qemu": f"{version['major']}.{version['minor']}.{version['micro']}",
                          "running-machine": machine.removesuffix("-machine") + "+pve0"}  # fmt: skip
        return {k: v for k, v in self.about.items() if k != "pid"}

    async def devices(self) -> set[str]:
        """The ids of the devices in it."""
        return {d["name"] for d in await self.qmp("qom-list", {"path": "/machine/peripheral"})}

    async def start(self, command: list[str], taps: dict[str, str]) -> None:
        """Start the process, halted before its first instruction; `cont` lets it go. `taps`: tap → its bridge."""
        for tap, bridge in taps.items():
            if bridge != self.bridge:
                raise failed(f"bridge '{bridge}' does not exist")
            self._tap(tap)
        for name in ("qmp", "agent"):
            (self.folder / name).unlink(missing_ok=True)
        self.daemon.log.unlink(missing_ok=True)
        self.daemon.start(command)
        for _ in range(400):
            if (self.folder / "qmp").exists():
                with contextlib.suppress(ApiError):  # the socket is there before anyone listens on it
                    await self.qmp("query-status")
                    return
            if self.pid() is None:
                break
            await asyncio.sleep(0.05)
        cause = self.daemon.tail(2) or "it ended at once"
        await self.kill()
        raise failed(f"start failed: QEMU exited with code 1: {cause}")

    def _tap(self, tap: str) -> None:
        quiet: dict[str, Any] = {"capture_output": True, "check": False}
        subprocess.run(["ip", "link", "del", tap], **quiet)
        for args in (["tuntap", "add", "dev", tap, "mode", "tap", "vnet_hdr"], ["link", "set", tap, "master", self.bridge, "up"]):
            done = subprocess.run(["ip", *args], **quiet)
            if done.returncode:
                raise failed(f"can't set up {tap}: {done.stderr.decode().strip()}")

    async def qmp(self, command: str, arguments: dict[str, object] | None = None, timeout: float = 60) -> Any:
        """Run a monitor command. Raises ApiError with QEMU's own words."""
        async with self.lock:
            try:
                if self.monitor is None or self.monitor.runstate.name != "RUNNING":
                    self.monitor = QMPClient(f"vm{self.vmid}")
                    async with asyncio.timeout(10):
                        await self.monitor.connect(str(self.folder / "qmp"))
                # Not wait_for: until Python 3.12 it loses a cancellation that comes together with the answer, and a task could not be stopped.
                async with asyncio.timeout(timeout):
                    return await self.monitor.execute(command, arguments)
            except TimeoutError:
                raise failed(f"VM {self.vmid} qmp command '{command}' failed - got timeout") from None
            except (QMPError, OSError) as error:
                if not self.pid():
                    raise failed(f"VM {self.vmid} not running") from None
                raise failed(f"VM {self.vmid} qmp command '{command}' failed - {error}") from None

    async def close(self) -> None:
        """Let go of the monitor; the machine runs on."""
        if self.monitor:
            with contextlib.suppress(Exception):
                await self.monitor.disconnect()
            self.monitor = None

    async def job(self, name: str, command: str, arguments: dict[str, object]) -> None:
        """Run a monitor command that makes a job, to its end."""
        await self.qmp(command, {"job-id": name, **arguments})
        await self.until_done(name)

    async def until_done(self, name: str) -> None:
        """Wait for the end of a job; raises ApiError with its error."""
        while True:
            jobs = [j for j in await self.qmp("query-jobs") if j["id"] == name]
            if not jobs or jobs[0]["status"] == "concluded":
                if jobs:
                    await self.qmp("job-dismiss", {"id": name})
                if jobs and jobs[0].get("error"):
                    raise failed(jobs[0]["error"])
                return
            await asyncio.sleep(0.05)

    async def wait_gone(self, timeout: float) -> bool:
        """Whether the process ended within so many seconds."""
        deadline = time.monotonic() + timeout
        while pid := self.pid():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.1)
        await self._forget()
        return True

    async def kill(self) -> None:
        """End the process at once, as pulling the plug does."""
        if self.pid():
            with contextlib.suppress(Exception):
                await self.qmp("quit", timeout=5)
            if not await self.wait_gone(5) and (pid := self.pid()):
                await asyncio.to_thread(end, pid, 1)
        await self._forget()

    async def _forget(self) -> None:
        await self.close()
        self.daemon.file.unlink(missing_ok=True)

    async def agent(self, command: str, arguments: dict[str, object] | None = None, timeout: float | None = None) -> Any:
        """Call the guest's agent. Raises GuestError with the guest's own error, and ApiError when it does not answer in time."""
        if not self.pid():
            raise failed(f"VM {self.vmid} is not running")
        there = False
        try:
            async with asyncio.timeout(timeout or PATIENCE) as limit, self.agent_lock:
                reader, writer = await asyncio.open_unix_connection(str(self.folder / "agent"), limit=32 << 20)
                try:
                    await _sync(reader, writer)
                    there = True
                    limit.reschedule(asyncio.get_running_loop().time() + (timeout or SLOW.get(command, PATIENCE)))
                    writer.write(_message(command, arguments or {}))
                    await writer.drain()
                    return {} if command in SILENT else _returned(await _line(reader))
                finally:
                    writer.close()
        except TimeoutError:
            raise failed(f"VM {self.vmid} qmp command '{command}' failed - got timeout" if there else "QEMU guest agent is not running") from None
        except OSError:
            raise failed("QEMU guest agent is not running") from None


def _message(command: str, arguments: dict[str, object]) -> bytes:
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"


async def _line(reader: asyncio.StreamReader) -> dict[str, Any]:
    line = (await reader.readline()).lstrip(b"\xff")
    if not line:
        raise OSError("closed")
    answer: dict[str, Any] = json.loads(line)
    return answer


async def _sync(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait for the agent: whatever an earlier caller did not read comes before the echo."""
    token = time.monotonic_ns() & 0x7FFFFFFF
    writer.write(_message("guest-sync", {"id": token}))
    await writer.drain()
    while (await _line(reader)).get("return") != token:
        pass


def _returned(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise GuestError(answer["error"])
    return answer["return"]
