"""Tasks: what takes its time runs as one, has a UPID, a log, and ends with `OK` or its error."""

import asyncio
import json
import os
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.pve.errors import bad_parameters

KEPT = 1000  # tasks; the oldest are forgotten at a start of the stand-in


@dataclass
class Task:
    """A task's record; `exitstatus` is None while it runs."""

    upid: str
    node: str
    type: str
    id: str
    user: str
    starttime: int
    endtime: int | None = None
    exitstatus: str | None = None
    log: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Add a line to its log."""
        self.log.append(line)


class Tasks:
    """All tasks, oldest first, kept in a folder. `interrupted` are those that a killed stand-in left running; they ended with an error."""

    def __init__(self, folder: Path, node: str) -> None:
        self.folder, self.node, self.serial = folder, node, 0
        folder.mkdir(parents=True, exist_ok=True)
        files = sorted(folder.glob("*.json"))
        for old in files[:-KEPT]:
            old.unlink()
        self.known = {t.upid: t for t in (Task(**json.loads(p.read_text())) for p in files[-KEPT:])}
        self.running: dict[str, asyncio.Task[None]] = {}
        self.interrupted = [t for t in self.known.values() if t.exitstatus is None]
        for task in self.interrupted:
            self._end(task, "unexpected status")

    def start(self, kind: str, subject: object, user: str, work: Callable[[Task], Awaitable[None]]) -> str:
        """Run `work` in the background and return its UPID."""
        now, self.serial = int(time.time()), self.serial + 1
        pid, ticks = (os.getpid() << 8) + self.serial & 0xFFFFFFFF, time.monotonic_ns() // 10_000_000 & 0xFFFFFFFF
        upid = f"UPID:{self.node}:{pid:08X}:{ticks:08X}:{now:08X}:{kind}:{subject}:{user}:"
        task = self.known[upid] = Task(upid, self.node, kind, str(subject), user, now)
        self._save(task)
        self.running[upid] = asyncio.create_task(self._run(task, work))
        return upid

    async def _run(self, task: Task, work: Callable[[Task], Awaitable[None]]) -> None:
        try:
            await work(task)
            status = "OK"
        except asyncio.CancelledError:
            status = "received interrupt"
        except Exception as error:
            status = str(error) or type(error).__name__
        task.say("TASK OK" if status == "OK" else f"TASK ERROR: {status}")
        self._end(task, status)
        self.running.pop(task.upid, None)

    async def wait(self, upid: str, seconds: float) -> Task:
        """The task, after its end or so many seconds."""
        if running := self.running.get(upid):
            await asyncio.wait([running], timeout=seconds)
        return self.known[upid]

    def get(self, upid: str) -> Task:
        """The task of that UPID."""
        if upid not in self.known:
            known_form = re.fullmatch(r"UPID:[^:\s]+:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:[^:\s]+:[^:\s]*:[^:\s]+:", upid)
            raise bad_parameters({"upid": "no such task" if known_form else "unable to parse worker upid"})
        return self.known[upid]

    def stop(self, upid: str) -> None:
        """End a running task."""
        if running := self.running.get(upid):
            running.cancel()

    def abort(self, kind: str, subject: object) -> list[str]:
        """End the running tasks of a kind on a VM; returns their UPIDs."""
        found = [u for u in self.running if (self.known[u].type, self.known[u].id) == (kind, str(subject))]
        for upid in found:
            self.stop(upid)
        return found

    def _end(self, task: Task, status: str) -> None:
        task.endtime, task.exitstatus = int(time.time()), status
        self._save(task)

    def _save(self, task: Task) -> None:
        name = f"{task.starttime:08X}-{task.upid.split(':')[2]}.json"
        (self.folder / name).write_text(json.dumps(asdict(task)))
