"""The lake's VM: a Debian 13 disk image, its kernel, and an initrd small enough to boot under emulation."""

import gzip
import lzma
import shutil
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

from lab.cache import built, fingerprint
from lab.debian import rootfs
from lab.errors import LabError
from lab.run import sh

HERE = Path(__file__).parent
PACKAGES = ("linux-image-cloud-amd64", "systemd", "systemd-sysv", "udev", "dbus", "libpam-systemd", "openssh-server",
            "qemu-guest-agent", "sudo", "e2fsprogs", "util-linux-extra", "iproute2", "nftables", "procps", "kmod", "busybox-static")  # fmt: skip
MODULES = ("virtio_pci", "virtio_scsi", "sd_mod", "ext4")
# What a cloud image would leave on and a lab does not need: each costs seconds of an emulated CPU.
BOOT_ARGS = ("root=LABEL=labroot ro quiet console=ttyS0 mitigations=off nokaslr no_timer_check tsc=reliable audit=0 panic=10 "
             "random.trust_cpu=on systemd.show_status=no")  # fmt: skip


@dataclass(frozen=True)
class Image:
    """Where the built image's files are: `disk` is a qcow2 to be copied or used as a backing file, never written."""

    disk: Path
    kernel: Path
    initrd: Path


def build() -> Image:
    """The image, built if it is not in the cache (about 90 s)."""
    key = fingerprint(PACKAGES, MODULES, files=[p for p in HERE.iterdir() if p.is_file()])
    folder = built("vm", key, _make, "the VM's image (Debian 13)")
    return Image(folder / "debian-13.qcow2", folder / "vmlinux", folder / "initrd")


def _make(folder: Path) -> None:
    root = folder / "rootfs"
    rootfs(root, PACKAGES, hooks=[f'sh "{HERE}/customize.sh" "$1"'])
    version = next((root / "lib/modules").iterdir()).name
    (folder / "vmlinux").write_bytes(_vmlinux((root / f"boot/vmlinuz-{version}").read_bytes()))
    _initrd(root, version, folder / "initrd")
    for big in ("boot", "usr/share/doc", "var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(root / big, ignore_errors=True)
        (root / big).mkdir(parents=True)
    raw = folder / "disk.raw"
    with open(raw, "wb") as disk:
        disk.truncate(4 << 30)
    sh("mkfs.ext4", "-q", "-F", "-L", "labroot", "-E", "lazy_itable_init=0,discard", "-d", root, raw)
    sh("qemu-img", "convert", "-O", "qcow2", raw, folder / "debian-13.qcow2")
    raw.unlink()
    shutil.rmtree(root)


def _vmlinux(vmlinuz: bytes) -> bytes:
    """The kernel, unpacked here: an emulated CPU would take seconds for it."""
    for magic, unpack in ((b"\xfd7zXZ\0", lzma.decompress), (b"\x1f\x8b\x08", gzip.decompress), (b"(\xb5/\xfd", _zstd)):
        at = vmlinuz.find(magic)
        while at >= 0:
            try:
                kernel = unpack(vmlinuz[at:])
            except (OSError, EOFError, lzma.LZMAError, zlib.error):
                kernel = b""
            if kernel.startswith(b"\x7fELF"):
                return kernel
            at = vmlinuz.find(magic, at + 1)
    raise LabError("unpack", "the VM's kernel", "its compression is not one of xz, gzip, zstd")


def _zstd(data: bytes) -> bytes:
    done = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=False)
    return done.stdout  # what follows the frame makes zstd exit with 1; the frame itself came out whole


def _initrd(root: Path, version: str, target: Path) -> None:
    """busybox, the few modules that find the root disk, and a script: 3 MB where the stock one has 40."""
    tree = target.parent / "initrd.d"
    for name in ("bin", "dev", "proc", "sys", "root", "modules"):
        (tree / name).mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", tree / "bin/busybox")
    shutil.copy(HERE / "init.sh", tree / "init")
    (tree / "init").chmod(0o755)
    order: list[str] = []
    for name in MODULES:
        for line in sh("modprobe", "-d", root, "-S", version, "--show-depends", name).splitlines():
            kind, _, path = line.partition(" ")
            if kind == "insmod" and path.strip() not in order:
                order.append(path.strip())
    names = []
    for path in order:
        data = Path(path).read_bytes()
        name = Path(path).name.split(".ko")[0] + ".ko"
        (tree / "modules" / name).write_bytes(lzma.decompress(data) if path.endswith(".xz") else data)
        names.append(name)
    (tree / "modules/order").write_text("\n".join(names) + "\n")
    archive = subprocess.run("find . | cpio --quiet -o -H newc | zstd -q -19", shell=True, cwd=tree, capture_output=True, check=True)  # noqa: S602
    target.write_bytes(archive.stdout)
    shutil.rmtree(tree)
