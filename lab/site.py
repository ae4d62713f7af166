"""A lab's name, addresses and paths, in one place."""

import fcntl
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from lab.errors import LabError

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("HOMELAKE_CACHE") or Path.home() / ".cache" / "homelake")
REGISTRY = Path("/run/homelake/labs.json")  # which names and subnets this machine's labs have, over all checkouts
FIXED = {"demo": 201, "test": 202}
NODE, STORAGE, VMID, SLOT_MACS = "pve", "local-lvm", 100, "bc:24:11"
RESTORE_VMID, BRIDGE = 110, "vmbr0"  # the one VM that the product's token may make
REGION = "ap-northeast-2"


@dataclass(frozen=True)
class Lab:
    """A lab of this machine. Its subnet is 10.`subnet`.0.0/24; its state is a folder of the checkout that made it."""

    name: str
    subnet: int
    state: Path

    def address(self, host: int) -> str:
        """An address in the lab's subnet."""
        return f"10.{self.subnet}.0.{host}"

    bastion = property(lambda self: self.address(1))
    pve = property(lambda self: self.address(2))
    vm = property(lambda self: self.address(10))
    node = property(lambda self: self.address(20))
    netns = property(lambda self: f"hl-{self.name}")
    node_netns = property(lambda self: f"hl-{self.name}-k8s")
    bastion_link = property(lambda self: f"hl{self.subnet}")  # the root namespace's end of the veth
    cgroup = property(lambda self: f"homelake-{self.name}")

    @cached_property
    def secrets(self) -> Path:
        """Keys, tokens and passwords, each in a file of mode 0600."""
        return self.state / "secrets"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's way into the lab's Kubernetes."""
        return self.secrets / "kubeconfig"

    @property
    def logs(self) -> Path:
        """What the lab's daemons print."""
        return self.state / "logs"

    def make_folders(self) -> None:
        """Make the state's folders, closed to others."""
        for folder in (self.state.parent, self.state, self.secrets, self.logs, self.state / "run"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def find_lab(name: str, *, claim: bool = False) -> Lab:
    """The lab of that name: the one known to this machine, else one of this checkout.

    With `claim` the name and a subnet are registered for this checkout, and a lab of the same name that another
    checkout keeps is an error.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]{0,7}", name):
        raise LabError("use", f"the lab name {name!r}", "it is not 1 to 8 lower-case letters and digits that begin with a letter", "Choose another --name")
    own = ROOT / ".lab" / name
    with _registry(change=claim) as entries:
        entry = entries.get(name)
        if entry and entry["state"] != str(own) and claim and Path(entry["state"]).exists():
            raise LabError(
                "use", f"the lab {name!r}", f"it belongs to {entry['state']}", f"Choose another --name, or remove it: ./lake lab destroy --name {name}"
            )
        if not entry or (claim and entry["state"] != str(own)):
            taken = {e["subnet"] for n, e in entries.items() if n != name} | set(FIXED.values())
            subnet = FIXED.get(name) or next(n for n in range(203, 250) if n not in taken)
            entry = {"subnet": subnet, "state": str(own)}
        if claim:
            entries[name] = entry
        return Lab(name, entry["subnet"], Path(entry["state"]))


def forget_lab(lab: Lab) -> None:
    """Give a destroyed lab's name and subnet back."""
    with _registry(change=True) as entries:
        entries.pop(lab.name, None)


class _registry:
    """The registry's entries, locked. Who may not open it, as an ordinary user, sees it empty, and cannot change it."""

    def __init__(self, *, change: bool) -> None:
        self.change = change
        self.file: TextIO | None = None

    def __enter__(self) -> dict[str, dict[str, Any]]:
        try:
            REGISTRY.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.file = open(REGISTRY, "a+", encoding="utf-8")
        except OSError as error:
            if self.change:
                raise LabError("write", str(REGISTRY), error.strerror or str(error), "A lab needs root: run it with sudo") from None
            return {}
        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.file.seek(0)
        text = self.file.read()
        self.entries: dict[str, dict[str, Any]] = json.loads(text) if text else {}
        self.before = json.dumps(self.entries)
        return self.entries

    def __exit__(self, *error: object) -> None:
        if self.file is None:
            return
        if json.dumps(self.entries) != self.before:
            self.file.seek(0)
            self.file.truncate()
            self.file.write(json.dumps(self.entries))
        self.file.close()
