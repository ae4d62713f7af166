"""The guest's own scripts, run here by bash: the guest's paths lie in a folder of the test's, and what only a system has is a stand-in."""

import gzip
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from include.adapters.host.notes import Notes
from include.adapters.host.program import Programs
from include.adapters.host.service import Services
from include.adapters.host.shell import Result
from include.adapters.host.storage import Storage
from include.connections import Connection

FOLDERS = ("/dev/disk/", "/etc/", "/run/", "/sys/", "/usr/local/", "/var/lib/")


class Here(Storage, Programs, Services, Notes):
    """A guest whose files lie in `root`. `arrives` gives what is left of a command's input; `around`: a
    command that every script is run by."""

    def __init__(self, root: Path) -> None:
        super().__init__(Connection("lake_host", "ssh", "h"), print)
        self.root = root
        self.around: tuple[str, ...] = ()
        self.arrives: Callable[[bytes], bytes] = lambda given: given
        (root / "bin").mkdir()
        for name in ("systemctl", "chown"):
            self.stand_in(name, "")

    def stand_in(self, name: str, script: str) -> None:
        """A program of that name for the scripts."""
        (self.root / "bin" / name).write_text(f"#!/bin/bash\n{script}\n")
        (self.root / "bin" / name).chmod(0o755)

    def file(self, path: str) -> Path:
        """A file of the guest's, in a folder that is there."""
        (file := self.root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        return file

    def _here(self, text: str) -> str:
        for folder in FOLDERS:
            text = text.replace(folder, f"{self.root}{folder}")
        return text

    def _command(self, script: str, args: tuple[str, ...]) -> str:
        return shlex.join(["bash", "-c", self._here(script), "homelake", *map(self._here, args)])

    def run(self, script: str, *args: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,), timeout: float = 0) -> Result:
        done = subprocess.run(
            [*self.around, *shlex.split(self._command(script, args))],
            input=self.arrives(stdin),
            capture_output=True,
            check=False,
            env={"LC_ALL": "C", "PATH": f"{self.root}/bin:/usr/bin:/bin"},
        )
        result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        if result.code not in ok:
            raise self._failed(result)
        return result

    def send(self, source: Path, script: str, *args: str) -> None:
        self.run(script, *args, stdin=gzip.compress(source.read_bytes()))
