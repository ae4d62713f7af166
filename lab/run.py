"""Commands and daemons: run, start, find again, stop; by their own process id and start time, never by name."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError


def sh(*args: str | Path, input: str | bytes | None = None, check: bool = True, env: Mapping[str, str] | None = None,
       cwd: Path | None = None, log: Path | None = None) -> str:  # fmt: skip
    """Run a command to its end and return what it printed. Raises LabError with the last lines of its errors."""
    data = input.encode() if isinstance(input, str) else input
    done = subprocess.run([str(a) for a in args], input=data, capture_output=True, check=False, cwd=cwd,
                          env=dict(os.environ, **env) if env else None)  # fmt: skip
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if log:
        log.write_text(out + err)
    if check and done.returncode:
        tail = " | ".join((err.strip() or out.strip()).splitlines()[-4:]) or "it printed nothing"
        raise LabError("run", str(args[0]), f"exit code {done.returncode}: {tail}", f"Its output is in {log}" if log else "")
    return out


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is no such live process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class Daemon:
    """A background process known by a file that holds its id and start time, so that it is found after a restart."""

    def __init__(self, name: str, folder: Path, log: Path) -> None:
        self.name, self.file, self.log = name, folder / f"{name}.pid", log

    def pid(self) -> int | None:
        """The id of the running process, or None."""
        try:
            known = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return None
        return known["pid"] if start_time(known["pid"]) == known["start"] else None

    def start(self, args: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> int:
        """Start it, unless it runs; in a session of its own, so that it outlives who started it."""
        if pid := self.pid():
            return pid
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab", opener=lambda p, f: os.open(p, f, 0o600)) as out:
            process = subprocess.Popen([str(a) for a in args], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
                                       env=dict(os.environ, **(env or {})), start_new_session=True)  # fmt: skip
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps({"pid": process.pid, "start": start_time(process.pid)}))
        return process.pid

    def stop(self, patience: float = 10.0) -> None:
        """Ask it to end, and end it after `patience` seconds."""
        if pid := self.pid():
            end(pid, patience)
        self.file.unlink(missing_ok=True)

    def tail(self, lines: int = 5) -> str:
        """The last lines it printed."""
        try:
            return " | ".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def end(pid: int, patience: float = 10.0) -> None:
    """End a process: SIGTERM, then SIGKILL after `patience` seconds. Returns when it is gone."""
    born = start_time(pid)
    for sign, limit in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        if born is None or start_time(pid) != born:
            return
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline and start_time(pid) == born:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)
