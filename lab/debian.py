"""Root filesystems of Debian 13, made from the mirror this machine's own apt uses."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab.errors import LabError
from lab.run import sh

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def mirror() -> str:
    """The Debian mirror this machine's apt settings name."""
    for line in sh("apt-get", "indextargets", "--format", "$(REPO_URI)|$(ORIGIN)|$(LABEL)").splitlines():
        uri, origin, label = ([*line.split("|"), "", ""])[:3]
        if origin == "Debian" and label == "Debian" and (match := re.search(r"(https?|file|mirror\+\w+)://.*", uri)):
            return match.group(0).rstrip("/")
    raise LabError("find", "a Debian mirror", "this machine's apt has no lists of one", "Run: apt-get update")


def rootfs(target: Path, packages: Iterable[str], hooks: Iterable[str] = (), variant: str = "minbase") -> None:
    """Make a root filesystem in the folder `target`. `hooks` are shell commands; `$1` is the folder."""
    args = ["mmdebstrap", f"--variant={variant}", "--mode=root", f"--keyring={KEYRING}", "--include=" + ",".join(packages),
            "--aptopt=APT::Install-Recommends false", "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--setup-hook=mkdir -p \"$1/usr/share/man/man1\""]  # fmt: skip
    args += [f"--customize-hook={hook}" for hook in hooks]
    done = subprocess.run([*args, SUITE, str(target), f"deb {mirror()} {SUITE} main"], capture_output=True, text=True, check=False)
    if done.returncode:
        cause = " | ".join([x for x in done.stderr.splitlines() if x.startswith(("E:", "W:"))][-4:]) or done.stderr[-400:]
        raise LabError("make", f"a Debian {SUITE} root filesystem", cause, "Check the mirror in this machine's apt settings")
