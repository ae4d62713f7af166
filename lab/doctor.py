"""What this machine lacks for a lab, said before anything is built."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import net, vm
from lab.site import CACHE, Lab

MEMORY_GIB, DISK_GIB, WARM_DISK_GIB = 8, 30, 6
PACKAGES = Path(__file__).parent / "packages.txt"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what is wrong with it and what to do, or nothing."""

    what: str
    problem: str = ""
    remedy: str = ""


def packages() -> list[str]:
    """The Debian packages the lab needs."""
    lines = (line.split("#")[0].strip() for line in PACKAGES.read_text().splitlines())
    return [line for line in lines if line]


def examine(lab: Lab) -> Iterator[Finding]:
    """Look at everything a lab needs; changes nothing."""
    root = os.geteuid() == 0
    yield Finding("root", "" if root else "namespaces, bridges and taps need root", "Run as root (sudo ./lake lab up)")
    yield _memory(lab)
    yield _disk()
    missing = missing_packages()
    yield Finding(
        "packages", f"missing: {' '.join(missing)}" if missing else "", f"apt-get update && apt-get install --no-install-recommends -y {' '.join(missing)}"
    )
    yield _go()
    yield Finding("Maven", "" if shutil.which("mvn") else "there is no mvn", "apt-get install maven")
    tun = Path("/dev/net/tun")
    yield Finding("/dev/net/tun", "" if tun.exists() else "it is not there", "mkdir -p /dev/net && mknod /dev/net/tun c 10 200, or run where taps are allowed")
    yield Finding("overlayfs", "" if "overlay" in Path("/proc/filesystems").read_text() else "the kernel has no overlayfs", "modprobe overlay")
    yield _network(lab)


def _memory(lab: Lab) -> Finding:
    if vm.machines(lab):
        return Finding("memory")  # the lab has taken it already
    fields = dict(line.split(":")[:2] for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) / 2**20
    problem = "" if free >= MEMORY_GIB else f"{free:.1f} GiB are free, {MEMORY_GIB} GiB are needed"
    return Finding("memory", problem, "Stop what else uses it, or take a larger machine")


def _disk() -> Finding:
    place = next(p for p in (CACHE, *CACHE.parents) if p.exists())
    warm = any(CACHE.glob("store-*"))
    need = WARM_DISK_GIB if warm else DISK_GIB
    free = shutil.disk_usage(place).free / 2**30
    problem = "" if free >= need else f"{free:.0f} GiB are free at {place}, {need} GiB are needed"
    return Finding("disk", problem, "Free some, or name another place in HOMELAKE_CACHE")


def missing_packages() -> list[str]:
    """Those of them that this machine does not have."""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *packages()], capture_output=True, text=True, check=False)
    there = {line.split()[0] for line in done.stdout.splitlines() if line.endswith("install ok installed")}
    return [p for p in packages() if p not in there]


def _go() -> Finding:
    remedy = "Install Go 1.24 or newer (go.dev/dl, or Debian's backports)"
    if not shutil.which("go"):
        return Finding("Go", "there is no go", remedy)
    version = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False, cwd="/").stdout.strip()
    numbers = [int(x) for x in version.removeprefix("go").split(".")[:2] if x.isdigit()]
    return Finding("Go", "" if numbers >= [1, 21] else f"{version} is too old", remedy)


def _network(lab: Lab) -> Finding:
    if net.exists(lab.netns):
        return Finding("network")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.connect((lab.vm, 9))
            mine = wire.getsockname()[0]
    except OSError:
        return Finding("network")
    taken = mine.startswith(f"10.{lab.subnet}.0.")
    return Finding("network", f"10.{lab.subnet}.0.0/24 is already in use here ({mine})" if taken else "", "Take a lab of another name: --name other")


def report(lab: Lab) -> list[Finding]:
    """Everything that is wrong."""
    return [f for f in examine(lab) if f.problem]
