"""Backup archives on a storage: their names, notes and protection, and how the VM's settings and disks lie in one.

The real one writes VMA files. Here an archive is a tar with `qemu-server.conf` and one qcow2 image a disk, compressed as its name says.
"""

import asyncio
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from lab.pve.errors import failed, not_covered
from lab.pve.storage import Storages

SUFFIX = {"0": "vma", "1": "vma.gz", "gzip": "vma.gz", "zstd": "vma.zst"}  # as the real one has them; its lzo is left out
_PACK = {"vma": ["cat"], "vma.gz": ["gzip", "-1"], "vma.zst": ["zstd", "-q", "-1"]}
_UNPACK = {"vma": ["cat"], "vma.gz": ["gzip", "-dc"], "vma.zst": ["zstd", "-qdc"]}
_NAME = re.compile(r"vzdump-qemu-(\d+)-(\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d)\.(vma(?:\.gz|\.zst)?)")
SETTINGS = "qemu-server.conf"


@dataclass(frozen=True)
class Archive:
    """A backup of a VM. Beside `path` lie its notes, its protection and its log, as the real one keeps them."""

    storage: str
    path: Path

    @property
    def volid(self) -> str:
        """Its volume id."""
        return f"{self.storage}:backup/{self.path.name}"

    @property
    def vmid(self) -> int:
        """Whose backup it is."""
        return int(self._parts[1])

    @property
    def ctime(self) -> int:
        """When the backup began, which its name says."""
        return int(time.mktime(time.strptime(self._parts[2], "%Y_%m_%d-%H_%M_%S")))

    @property
    def form(self) -> str:
        """`vma`, `vma.gz` or `vma.zst`."""
        return self._parts[3]

    @property
    def _parts(self) -> re.Match[str]:
        match = _NAME.fullmatch(self.path.name)
        if not match:
            raise failed(f"unable to parse volume filename '{self.path.name}'")
        return match

    @property
    def notes(self) -> str:
        """What someone wrote on it."""
        file = self._beside("notes")
        return file.read_text() if file.exists() else ""

    @property
    def protected(self) -> bool:
        """Whether it may not be removed."""
        return self._beside("protected").exists()

    def _beside(self, what: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{what}")

    def set_notes(self, text: str) -> None:
        """Write on it; nothing takes the notes away."""
        if text:
            self._beside("notes").write_text(text)
        else:
            self._beside("notes").unlink(missing_ok=True)

    def protect(self, on: bool) -> None:
        """Protect it, or do not."""
        if on:
            self._beside("protected").touch()
        else:
            self._beside("protected").unlink(missing_ok=True)

    def keep_log(self, lines: list[str]) -> None:
        """Keep the log of its making."""
        self.path.with_name(self.path.name.removesuffix(f".{self.form}") + ".log").write_text("\n".join(lines) + "\n")

    def remove(self) -> None:
        """Remove it with all that lies beside it."""
        if self.protected:
            raise failed(f"cannot remove protected volume 'backup/{self.path.name}' on '{self.storage}'")
        self.path.unlink()
        self._beside("notes").unlink(missing_ok=True)
        self.path.with_name(self.path.name.removesuffix(f".{self.form}") + ".log").unlink(missing_ok=True)

    def row(self) -> dict[str, object]:
        """Its line in the list of a storage's content."""
        row: dict[str, object] = {"volid": self.volid, "content": "backup", "format": self.form, "subtype": "qemu", "vmid": self.vmid,
                                  "size": self.path.stat().st_size, "ctime": self.ctime}  # fmt: skip
        return row | ({"notes": self.notes} if self.notes else {}) | ({"protected": 1} if self.protected else {})

    async def pack(self, folder: Path) -> None:
        """Make it of a folder's files, the settings first; it has its name only once it is whole."""
        new = self.path.with_suffix(".dat")
        names = sorted((p.name for p in folder.iterdir()), key=lambda n: (n != SETTINGS, n))
        try:
            await _pipe(["tar", "-C", folder, "-cf", "-", *names], list(_PACK[self.form]), new)
            new.rename(self.path)
        finally:
            new.unlink(missing_ok=True)

    async def unpack(self, folder: Path) -> None:
        """Lay its files out in a folder."""
        await _pipe([*_UNPACK[self.form], self.path], ["tar", "-C", folder, "-xf", "-"], None)

    async def settings(self) -> str:
        """The VM's configuration in it."""
        reader, out = await _start([*_UNPACK[self.form], self.path], ["tar", "-xOf", "-", "--occurrence=1", SETTINGS], asyncio.subprocess.PIPE)
        text, _ = await out.communicate()
        await reader.wait()
        if out.returncode:
            raise failed("unable to extract configuration from archive")
        return text.decode()


def new(storages: Storages, storage: str, vmid: int, compress: str, when: float) -> Archive:
    """The archive that a backup of that moment makes."""
    if storages.check(storage) != "local":
        raise failed(f"Storage '{storage}' does not support backup content")
    if compress not in SUFFIX:
        raise not_covered(f"compression '{compress}'")
    name = f"vzdump-qemu-{vmid}-{time.strftime('%Y_%m_%d-%H_%M_%S', time.localtime(when))}.{SUFFIX[compress]}"
    return Archive(storage, storages.path(f"{storage}:backup/{name}"))


def find(storages: Storages, volid: str) -> Archive | None:
    """The backup of that id; None when the id is not that of a backup. Raises when there is none."""
    storage, _, name = volid.partition(":")
    if not name.startswith("backup/"):
        return None
    archive = Archive(storage, storages.path(volid))
    if not _NAME.fullmatch(archive.path.name):
        raise failed(f"unable to parse volume filename '{archive.path.name}'")
    if not archive.path.exists():
        raise failed(f"volume '{volid}' does not exist")
    return archive


def listing(folder: Path, storage: str, vmid: int | None = None) -> list[Archive]:
    """The backups in a folder, oldest first; a VM's, or all."""
    found = [Archive(storage, p) for p in folder.iterdir() if _NAME.fullmatch(p.name)]
    return sorted((a for a in found if vmid in (None, a.vmid)), key=lambda a: (a.ctime, a.path.name))


def prune(newest: Archive, keep: int) -> list[str]:
    """Remove the VM's oldest backups beyond `keep`, those that are protected left out; returns what went."""
    old = [a for a in listing(newest.path.parent, newest.storage, newest.vmid) if not a.protected][:-keep]
    for one in old:
        one.remove()
    return [one.volid for one in old]


def clear(folder: Path) -> None:
    """Remove what a killed stand-in left half made."""
    for left in folder.iterdir():
        if left.suffix == ".dat":
            left.unlink()
        elif left.is_dir() and left.name.endswith(".tmp"):
            shutil.rmtree(left)


async def _start(first: list[str | Path], second: list[str | Path], out: int) -> tuple[asyncio.subprocess.Process, asyncio.subprocess.Process]:
    read, write = os.pipe()
    try:
        source = await asyncio.create_subprocess_exec(*map(str, first), stdout=write, stderr=asyncio.subprocess.DEVNULL)
        target = await asyncio.create_subprocess_exec(*map(str, second), stdin=read, stdout=out, stderr=asyncio.subprocess.PIPE)
    finally:
        os.close(read)
        os.close(write)
    return source, target


async def _pipe(first: list[str | Path], second: list[str | Path], to: Path | None) -> None:
    """Run one program into another, and that into a file. Raises with what went wrong; neither outlives the caller."""
    with open(to or "/dev/null", "wb") as out:
        source, target = await _start(first, second, out.fileno())
        try:
            _, err = await target.communicate()
            code = await source.wait()
        except BaseException:
            for process in (source, target):
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            raise
    if code or target.returncode:
        raise failed(f"{first[0]} | {second[0]} failed: {err.decode(errors='replace').strip() or f'exit codes {code} and {target.returncode}'}")
