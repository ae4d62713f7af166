"""A VM's configuration file, in the form Proxmox VE keeps it: `key: value`, `[PENDING]`, and a section a snapshot."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from lab.pve.errors import failed


@dataclass
class VmConfig:
    """What a VM is (`current`), what waits for its next start (`pending`, `delete`), and its snapshots."""

    current: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    delete: set[str] = field(default_factory=set)
    snapshots: dict[str, dict[str, str]] = field(default_factory=dict)

    def text(self) -> str:
        """The file's text."""
        lines = [f"{k}: {_one_line(v)}" for k, v in sorted(self.current.items())]
        if self.pending or self.delete:
            waiting = dict(self.pending, **({"delete": ",".join(sorted(self.delete))} if self.delete else {}))
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


def _one_line(value: str) -> str:
    return value.replace("%", "%25").replace("\n", "%0A")


def parse(text: str) -> VmConfig:
    """Read a configuration file's text."""
    config = VmConfig()
    section = config.current
    for line in text.splitlines():
        if match := re.fullmatch(r"\[(.+)\]", line):
            section = config.pending if match[1] == "PENDING" else config.snapshots.setdefault(match[1], {})
        elif ": " in line:
            key, _, value = line.partition(": ")
            section[key] = value.replace("%0A", "\n").replace("%25", "%")
    config.delete = set(filter(None, config.pending.pop("delete", "").split(",")))
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
            return parse((self.folder / f"{vmid}.conf").read_text())
        except FileNotFoundError:
            raise failed(f"Configuration file 'nodes/{self.node}/qemu-server/{vmid}.conf' does not exist") from None

    def write(self, vmid: int, config: VmConfig) -> None:
        """Replace a VM's configuration in one step."""
        new = self.folder / f".{vmid}.new"
        with open(new, "w", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(config.text())
            file.flush()
            os.fsync(file.fileno())
        new.rename(self.folder / f"{vmid}.conf")

    def remove(self, vmid: int) -> None:
        """Forget a VM."""
        (self.folder / f"{vmid}.conf").unlink(missing_ok=True)
