"""Debian's Prometheus, unpacked and not installed: tests run it, and no service of it starts on this machine."""

import subprocess
from pathlib import Path

from lab import cache
from lab.run import sh


def programs() -> Path:
    """The folder with `prometheus` and `promtool`; fetched once."""

    def make(folder: Path) -> None:
        fetch = ["apt-get", "-q", "download", "prometheus"]
        if subprocess.run(fetch, cwd=folder, capture_output=True, check=False).returncode:
            sh("apt-get", "-q", "update")
            sh(*fetch, cwd=folder)
        (package,) = folder.glob("*.deb")
        sh("dpkg-deb", "-x", package, folder / "root")
        package.unlink()

    return cache.built("prometheus", cache.fingerprint("1"), make, "Prometheus (19 MB)") / "root/usr/bin"
