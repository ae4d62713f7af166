"""Storages and volumes: `local` holds images to import, ISOs and backups, `local-lvm` the VMs' disks (sparse qcow2)."""

import asyncio
import json
import re
import shutil
from pathlib import Path

from lab.pve.errors import bad_parameters, failed

CONTENT = {"local": ("iso", "vztmpl", "import", "backup"), "local-lvm": ("images", "rootdir")}
TYPES = {"local": "dir", "local-lvm": "lvmthin"}
_FOLDERS = {"import": "import", "iso": "template/iso", "vztmpl": "template/cache", "backup": "dump"}  # of `local`: content → folder
_OWNED = re.compile(r"(?:vm|base)-(\d+)-[\w.-]+")
CLOUDINIT_SIZE = 4 << 20


async def qemu_img(*args: str | Path) -> str:
    """Run qemu-img; its error becomes the task's."""
    process = await asyncio.create_subprocess_exec("qemu-img", *map(str, args), stdout=asyncio.subprocess.PIPE,
                                                   stderr=asyncio.subprocess.PIPE)  # fmt: skip
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise failed(f"qemu-img: {err.decode(errors='replace').strip()}")
    return out.decode()


def owner(volid: str) -> int | None:
    """The VM a volume belongs to by its name."""
    match = _OWNED.fullmatch(volid.partition(":")[2])
    return int(match[1]) if match else None


class Storages:
    """The storages of the node, folders of the lab's state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for place in (*CONTENT, *(f"local/{f}" for f in _FOLDERS.values())):
            (folder / place).mkdir(parents=True, exist_ok=True)

    def check(self, storage: str, *, images: bool = False) -> str:
        """The storage's name, if there is one of that name; with `images`, and if it can hold disks."""
        if storage not in CONTENT:
            raise failed(f"storage '{storage}' does not exist")
        if images and "images" not in CONTENT[storage]:
            raise bad_parameters({"storage": f"storage '{storage}' does not support vm images"})
        return storage

    def path(self, volid: str) -> Path:
        """Where a volume's bytes are."""
        storage, _, name = volid.partition(":")
        if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", name):
            raise failed(f"unable to parse volume ID '{volid}'")
        if self.check(storage) == "local-lvm":
            if not _OWNED.fullmatch(name):
                raise failed(f"unable to parse lvm volume name '{name}'")
            return self.folder / storage / f"{name}.qcow2"
        content, _, rest = name.partition("/")
        return self.folder / storage / _FOLDERS.get(content, content) / rest

    def next_name(self, storage: str, vmid: int) -> str:
        """The first free volume id of a VM."""
        taken = {int(m[1]) for p in (self.folder / storage).glob(f"*-{vmid}-disk-*") if (m := re.search(r"-disk-(\d+)\.", p.name))}
        return f"{storage}:vm-{vmid}-disk-{next(n for n in range(10_000) if n not in taken)}"

    async def allocate(self, storage: str, vmid: int, size: int, name: str | None = None) -> str:
        """Make an empty sparse volume, of that name or the next free one."""
        self.check(storage, images=True)
        volid = f"{storage}:{name}" if name else self.next_name(storage, vmid)
        if owner(volid) != vmid:
            raise failed(f"illegal name '{name}' - should be 'vm-{vmid}-*'")
        if self.path(volid).exists():
            raise failed(f'lvcreate \'{volid}\' error: Logical Volume "{name}" already exists in volume group "pve"')
        if size <= 0:
            raise failed(f"unable to allocate a volume of size {size}")
        await qemu_img("create", "-q", "-f", "qcow2", self.path(volid), str(size))
        return volid

    async def copy(self, source: Path, storage: str, vmid: int, *, snapshot: str | None = None) -> str:
        """Make a volume with the content of an image, as it is or as it was at a snapshot."""
        self.check(storage, images=True)
        volid = self.next_name(storage, vmid)
        try:
            await qemu_img("convert", "-O", "qcow2", *(["-l", f"snapshot.name={snapshot}"] if snapshot else []), source, self.path(volid))
        except BaseException:
            self.free(volid)
            raise
        return volid

    async def link(self, base: str, vmid: int) -> str:
        """Make a volume that holds only what differs from the base volume of a template."""
        volid = self.next_name(base.partition(":")[0], vmid)
        await qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", self.path(base).name, self.path(volid))
        return volid

    def make_base(self, volid: str) -> str:
        """Turn a VM's volume into a template's base volume; returns its new id."""
        base = volid.replace(":vm-", ":base-")
        self.path(volid).rename(self.path(base))
        return base

    def free(self, volid: str) -> None:
        """Remove a volume."""
        self.path(volid).unlink(missing_ok=True)

    def owned(self, vmid: int) -> list[str]:
        """The volumes that belong to a VM by their name."""
        names = [p.stem for p in sorted((self.folder / "local-lvm").glob(f"*-{vmid}-*.qcow2"))]
        return [f"local-lvm:{n}" for n in names if owner(f"local-lvm:{n}") == vmid]

    async def info(self, volid: str) -> tuple[int, str | None]:
        """A volume's virtual size in bytes, and the base volume it is a linked clone of."""
        path = self.path(volid)
        if not path.exists():
            raise failed(f"volume '{volid}' does not exist")
        found = json.loads(await qemu_img("info", "-U", "--output=json", path))
        base = found.get("backing-filename")
        return int(found["virtual-size"]), f"{volid.partition(':')[0]}:{Path(base).stem}" if base else None

    async def size(self, volid: str) -> int:
        """A volume's virtual size in bytes."""
        return (await self.info(volid))[0]

    async def clones(self, base: str) -> list[str]:
        """The volumes that are linked to a base volume."""
        others = [f"local-lvm:{p.stem}" for p in (self.folder / "local-lvm").glob("vm-*.qcow2")] if ":base-" in base else []
        return [v for v in others if (await self.info(v))[1] == base]

    async def content(self, storage: str, kind: str | None = None, vmid: int | None = None) -> list[dict[str, object]]:
        """The volumes of a storage, but for backups (`lab.pve.archives`)."""
        found: list[dict[str, object]] = []
        if self.check(storage) == "local-lvm":
            for path in sorted((self.folder / storage).glob("*.qcow2")):
                volid = f"{storage}:{path.stem}"
                size, base = await self.info(volid)
                row: dict[str, object] = {"volid": volid, "content": "images", "format": "raw", "vmid": owner(volid), "size": size,
                                          "ctime": int(path.stat().st_ctime)}  # fmt: skip
                found.append(row | ({"parent": base} if base else {}))
        else:
            for content, folder in _FOLDERS.items():
                if content == "backup":
                    continue
                for path in sorted(p for p in (self.folder / storage / folder).iterdir() if p.exists()):  # an image's cache may be gone
                    found.append({"volid": f"{storage}:{content}/{path.name}", "content": content, "format": path.suffix[1:],
                                  "size": path.stat().st_size, "ctime": int(path.stat().st_ctime)})  # fmt: skip
        return [v for v in found if (kind is None or v["content"] == kind) and (vmid is None or v.get("vmid") == vmid)]

    @property
    def dump(self) -> Path:
        """Where backups are."""
        return self.folder / "local" / _FOLDERS["backup"]

    def status(self, storage: str) -> dict[str, object]:
        """How full a storage is: the figures of the disk it is on."""
        usage = shutil.disk_usage(self.folder / self.check(storage))
        return {"storage": storage, "type": TYPES[storage], "content": ",".join(sorted(CONTENT[storage])), "active": 1, "enabled": 1, "shared": 0,
                "total": usage.total, "used": usage.used, "avail": usage.free}  # fmt: skip

    def offer(self, image: Path) -> None:
        """Offer an image of the build cache under `local:import/`, without copying it."""
        target = self.folder / "local" / "import" / image.name
        target.unlink(missing_ok=True)
        target.symlink_to(image)
