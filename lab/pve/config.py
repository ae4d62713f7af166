"""A VM's configuration file, in the form Proxmox VE keeps it: `key: value`, `[PENDING]`, and a section a snapshot."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from lab.pve.errors import failed
from lab.pve.properties import DRIVE_KEY, split_properties


@dataclass
class VmConfig:
    """What a VM is (`current`), what waits for its next start (`pending`; `delete`: name → by force), and its snapshots."""

    current: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    delete: dict[str, bool] = field(default_factory=dict)
    snapshots: dict[str, dict[str, str]] = field(default_factory=dict)

    def text(self) -> str:
        """The file's text."""
        lines = [f"{k}: {_one_line(v)}" for k, v in sorted(self.current.items())]
        if self.pending or self.delete:
            removals = ",".join(f"{'!' if force else ''}{name}" for name, force in sorted(self.delete.items()))
            waiting = self.pending | ({"delete": removals} if removals else {})
            lines += ["", "[PENDING]", *(f"{k}: {_one_line(v)}" for k, v in sorted(waiting.items()))]
        for name, values in self.snapshots.items():
            lines += ["", f"[{name}]", *(f"{k}: {_one_line(v)}" for k, v in sorted(values.items()))]
        return "\n".join(lines) + "\n"

    def digest(self) -> str:
        """What a writer hands back to prove that it changes what it has read."""
        return hashlib.sha1(self.text().encode()).hexdigest()  # noqa: S324 (as the real one: a version, not a seal)

    def effective(self) -> dict[str, str]:
        """The configuration as it will be once what waits is applied."""
        return {k: v for k, v in (self.current | self.pending).items() if k not in self.delete}

    def check_lock(self) -> None:
        """Raise while a task has locked the VM."""
        if lock := self.current.get("lock"):
            raise failed(f"VM is locked ({lock})")

    def check_digest(self, digest: str | None) -> None:
        """Raise when a writer has read another configuration than this."""
        if digest and digest != self.digest():
            raise failed("checksum mismatch (file change by other user?)")

    def check_protection(self, complaint: str) -> None:
        """Raise when the VM is protected."""
        if self.current.get("protection") == "1":
            raise failed(f"{complaint} - protection mode enabled")

    def section(self, snapshot: str | None) -> dict[str, str]:
        """The settings of a snapshot, or the current ones."""
        if snapshot is None:
            return self.current
        if snapshot not in self.snapshots:
            raise failed(f"snapshot '{snapshot}' does not exist")
        return self.snapshots[snapshot]


def _one_line(value: str) -> str:
    return value.replace("%", "%25").replace("\n", "%0A")


def parse(text: str) -> VmConfig:
    """Read a configuration file's text."""
    config = VmConfig()
    section = config.current
    for line in text.split("\n"):  # and at nothing else: a value may hold any other character
        if match := re.fullmatch(r"\[(.+)\]", line):
            section = config.pending if match[1] == "PENDING" else config.snapshots.setdefault(match[1], {})
        elif ": " in line:
            key, _, value = line.partition(": ")
            section[key] = value.replace("%0A", "\n").replace("%25", "%")
    config.delete = {n.lstrip("!"): n.startswith("!") for n in config.pending.pop("delete", "").split(",") if n}
    return config


class ConfigFiles:
    """The folder of configuration files, one a VM; each is replaced as a whole."""

    def __init__(self, folder: Path, node: str) -> None:
        self.folder, self.node = folder, node
        folder.mkdir(parents=True, exist_ok=True)

    def ids(self) -> list[int]:
        """The ids of all VMs."""
        return sorted(int(p.stem) for p in self.folder.glob("*.conf"))

    def read(self, vmid: int) -> VmConfig:
        """A VM's configuration. Raises 500 as the real one does when there is none."""
        try:
            return parse((self.folder / f"{vmid}.conf").read_bytes().decode())
        except FileNotFoundError:
            raise failed(f"Configuration file 'nodes/{self.node}/qemu-server/{vmid}.conf' does not exist") from None

    def write(self, vmid: int, config: VmConfig) -> None:
        """Replace a VM's configuration in one step. What is in a slot is not unused any more."""
        used = {split_properties(v, "file")[0] for k, v in config.current.items() if DRIVE_KEY.fullmatch(k)}
        for key in [k for k, v in config.current.items() if k.startswith("unused") and v in used]:
            del config.current[key]
        new = self.folder / f".{vmid}.new"
        with open(new, "wb", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(config.text().encode())
            file.flush()
            os.fsync(file.fileno())
        new.rename(self.folder / f"{vmid}.conf")

    def remove(self, vmid: int) -> None:
        """Forget a VM."""
        (self.folder / f"{vmid}.conf").unlink(missing_ok=True)
