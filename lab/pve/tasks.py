"""Tasks: what takes its time runs as one, has a UPID, a log, and ends with `OK` or its error."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.pve.errors import ApiError, failed


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


class Tasks:
    """All tasks, kept in a folder; those that a killed stand-in left running are ended with an error at its next start."""

    def __init__(self, folder: Path, node: str) -> None:
        self.folder, self.node, self.serial = folder, node, 0
        folder.mkdir(parents=True, exist_ok=True)
        self.known = {t.upid: t for t in (Task(**json.loads(p.read_text())) for p in sorted(folder.glob("*.json")))}
        self.running: dict[str, asyncio.Task[None]] = {}
        for task in self.known.values():
            if task.exitstatus is None:
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
        except ApiError as error:
            status = error.message
        except asyncio.CancelledError:
            status = "interrupted by signal"
        except Exception as error:
            status = f"{type(error).__name__}: {error}"
        task.log.append(f"TASK {status}" if status == "OK" else f"TASK ERROR: {status}")
        self._end(task, status)
        self.running.pop(task.upid, None)

    def get(self, upid: str) -> Task:
        """The task of that UPID."""
        if upid not in self.known:
            raise failed(f"no such task '{upid}'" if upid.startswith("UPID:") else f"unable to parse worker upid '{upid}'")
        return self.known[upid]

    def stop(self, upid: str) -> None:
        """End a running task."""
        if running := self.running.get(upid):
            running.cancel()

    def _end(self, task: Task, status: str) -> None:
        task.endtime, task.exitstatus = int(time.time()), status
        self._save(task)

    def _save(self, task: Task) -> None:
        name = f"{task.starttime:08X}-{task.upid.split(':')[2]}.json"
        (self.folder / name).write_text(json.dumps(asdict(task)))
