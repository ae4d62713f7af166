"""The payment simulator in the background: one for each checkout, for the lab's Kafka."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from include.lake.errors import LakeError

STOP_SECONDS = 30
RATE = 200  # payments a second, where none is given and no stream is there to go on with
SETTLED = 4.0  # seconds after which one that will fail at its start has done so


class Simulation:
    """The simulator whose notes are in a folder: `simulator.json` (its process), `state`, `simulator.log`. `command` starts one."""

    def __init__(self, folder: Path, command: tuple[str, ...] = (sys.executable, "-m", "simulator"), root: Path | None = None) -> None:
        self.folder, self._command, self._root = folder, command, root or Path(__file__).resolve().parents[2]
        self._note, self.log = folder / "simulator.json", folder / "simulator.log"

    def pid(self) -> int | None:
        """Its process while it runs. A process that only has its number is not taken for it."""
        try:
            note = json.loads(self._note.read_text())
            pid = int(note["pid"])
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return pid if _began(pid) == note.get("began") is not None else None

    def start(self, kafka: Mapping[str, object], topic: str, partitions: int, rate: float | None, say: Callable[[str], None]) -> int:
        """Start it, or find it running; it goes on where it was. Returns its process. Raises LakeError when it ends at once."""
        if running := self.pid():
            say(f"the simulator runs already (process {running})")
            return running
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = [*self._command, "--kafka", str(kafka["bootstrap.servers"]), "--topic", topic, "--partitions", str(partitions),
                 "--start", "now", "--resume", "--state", str(self.folder / "state"), "--quiet"]  # fmt: skip
        # Whether a stream is there to go on with only Kafka knows: the simulator asks it.
        words += ["--rate", f"{RATE:g}", "--keep-options"] if rate is None else ["--rate", f"{rate}"]
        if login := {n: v for n, v in kafka.items() if n != "bootstrap.servers"}:
            words += ["--kafka-config", str(self._properties(login))]
        with self.log.open("ab") as log:
            process = subprocess.Popen(words, cwd=self._root, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                       env={**os.environ, "PYTHONPATH": str(self._root)})  # fmt: skip
        self._note.write_text(json.dumps({"pid": process.pid, "began": _began(process.pid)}))
        try:
            process.wait(SETTLED)
        except subprocess.TimeoutExpired:
            return process.pid
        self._note.unlink(missing_ok=True)
        lines = self.log.read_text(errors="replace").strip().splitlines()
        raise LakeError("start", "the simulator", lines[-1] if lines else f"it ended with exit code {process.returncode}", f"Its log is {self.log}")

    def stop(self) -> bool:
        """End it between two epochs. False when none runs. Raises LakeError when it does not end."""
        pid = self.pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        while self.pid() is not None:
            if time.monotonic() > end:
                raise LakeError("stop", f"the simulator (process {pid})", f"it still runs after {STOP_SECONDS} s", f"Its log is {self.log}; run again")
            time.sleep(0.05)
        self._note.unlink(missing_ok=True)
        return True

    def _properties(self, login: Mapping[str, object]) -> Path:
        """Kafka's log-in in a file that only its owner reads: no secret is an argument."""
        path = self.folder / "kafka.properties"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{name}={value}\n" for name, value in login.items())
        return path


def _began(pid: int) -> str | None:
    """When a process began, in the kernel's ticks: with its number it names one process. None when it is gone, or has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
