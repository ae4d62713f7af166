"""Storages and volumes: `local` holds images to import, ISOs and backups, `local-lvm` the VMs' disks (sparse qcow2)."""

import asyncio
import json
import re
import shutil
from pathlib import Path

from lab.pve.errors import ApiError, failed

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
CONTENT = {"local": ("iso", "vztmpl", "import", "backup"), "local-lvm": ("images", "rootdir")}
TYPES = {"local": "dir", "local-lvm": "lvmthin"}


def size_bytes(text: str) -> int:
    """Bytes from Proxmox's form, as `500G`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    if not match:
        raise ApiError(400, f"unable to parse size '{text}'")
    return int(float(match[1]) * UNITS[match[2]])


def size_text(size: int) -> str:
    """Proxmox's form of a number of bytes: the largest unit that leaves it whole."""
    for unit in ("T", "G", "M", "K"):
        if size and size % UNITS[unit] == 0 and unit != "T":
            return f"{size // UNITS[unit]}{unit}"
    return str(size)


async def qemu_img(*args: str | Path) -> str:
    """Run qemu-img; its error becomes the task's."""
    process = await asyncio.create_subprocess_exec("qemu-img", *map(str, args), stdout=asyncio.subprocess.PIPE,
                                                   stderr=asyncio.subprocess.PIPE)  # fmt: skip
    out, err = await process.communicate()
    if process.returncode:
        raise failed(f"qemu-img: {err.decode(errors='replace').strip()}")
    return out.decode()


class Storages:
    """The storages of the node, folders of the lab's state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in CONTENT:
            (folder / name).mkdir(parents=True, exist_ok=True)
        for kind in ("import", "dump", "template/iso"):
            (folder / "local" / kind).mkdir(parents=True, exist_ok=True)

    def check(self, storage: str) -> str:
        """The storage's name, if there is one of that name."""
        if storage not in CONTENT:
            raise failed(f"storage '{storage}' does not exist")
        return storage

    def path(self, volid: str) -> Path:
        """Where a volume's bytes are."""
        storage, _, name = volid.partition(":")
        self.check(storage)
        if ".." in name or name.startswith("/") or not name:
            raise failed(f"unable to parse volume ID '{volid}'")
        return self.folder / storage / (f"{name}.qcow2" if storage == "local-lvm" else name)

    def next_name(self, storage: str, vmid: int) -> str:
        """The first free volume id of a VM."""
        number = 0
        while self.path(f"{storage}:vm-{vmid}-disk-{number}").exists():
            number += 1
        return f"{storage}:vm-{vmid}-disk-{number}"

    async def allocate(self, storage: str, vmid: int, size: int) -> str:
        """Make an empty sparse volume."""
        if "images" not in CONTENT[self.check(storage)]:
            raise failed(f"storage '{storage}' does not support content-type 'images'")
        volid = self.next_name(storage, vmid)
        await qemu_img("create", "-q", "-f", "qcow2", self.path(volid), str(size))
        return volid

    async def copy(self, source: Path, storage: str, vmid: int, *, linked: bool = False) -> str:
        """Make a volume with the content of an image; `linked` as an overlay on it."""
        self.check(storage)
        volid = self.next_name(storage, vmid)
        extra = ("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", source) if linked else ("convert", "-O", "qcow2", source)
        await qemu_img(*extra, self.path(volid))
        return volid

    def free(self, volid: str) -> None:
        """Remove a volume."""
        self.path(volid).unlink(missing_ok=True)

    async def size(self, volid: str) -> int:
        """A volume's virtual size in bytes."""
        path = self.path(volid)
        if not path.exists():
            raise failed(f"volume '{volid}' does not exist")
        return int(json.loads(await qemu_img("info", "-U", "--output=json", path))["virtual-size"])

    async def content(self, storage: str, kind: str | None = None, vmid: int | None = None) -> list[dict[str, object]]:
        """The volumes of a storage."""
        found: list[dict[str, object]] = []
        if self.check(storage) == "local-lvm":
            for path in sorted((self.folder / storage).glob("vm-*.qcow2")):
                volid, owner = f"{storage}:{path.stem}", int(path.stem.split("-")[1])
                found.append({"volid": volid, "content": "images", "format": "raw", "vmid": owner, "size": await self.size(volid),
                              "ctime": int(path.stat().st_ctime), "used": path.stat().st_blocks * 512})  # fmt: skip
        else:
            for folder, content in (("import", "import"), ("template/iso", "iso"), ("dump", "backup")):
                for path in sorted((self.folder / storage / folder).iterdir()):
                    found.append({"volid": f"local:{folder if content == 'import' else content}/{path.name}", "content": content,
                                  "format": path.suffix[1:], "size": path.stat().st_size, "ctime": int(path.stat().st_ctime)})  # fmt: skip
        return [v for v in found if (kind is None or v["content"] == kind) and (vmid is None or v.get("vmid") == vmid)]

    def status(self, storage: str) -> dict[str, object]:
        """How full a storage is: the figures of the disk it is on."""
        usage = shutil.disk_usage(self.folder / self.check(storage))
        return {"storage": storage, "type": TYPES[storage], "content": ",".join(CONTENT[storage]), "active": 1, "enabled": 1, "shared": 0,
                "total": usage.total, "used": usage.used, "avail": usage.free, "used_fraction": usage.used / usage.total}  # fmt: skip

    def link(self, image: Path) -> None:
        """Offer an image of the build cache under `local:import/`, without copying it."""
        target = self.folder / "local" / "import" / image.name
        target.unlink(missing_ok=True)
        target.symlink_to(image)
