"""Programs in MinIO's place: real ones, built by Go for the lab's VM, and what the fakes know of the same."""

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from include.lake.resources.binary import Source
from tests.contract.real import NAME, Parts
from tests.fakes.guest import AGPL, ELF, FakeGuest

SAID = {
    "one": AGPL.replace("2025", "1"),
    "two": AGPL.replace("2025", "2"),
    "enterprise": "minio version RELEASE.3\nLicense: MinIO AIStor License\n",
}
CLEAR = f"rm -rf /usr/local/lib/{NAME} /usr/local/bin/{NAME} /usr/local/bin/{NAME}.homelake\n"


@dataclass(frozen=True)
class Program:
    """Where a program comes from, its SHA-256, its first bytes, and what it says of itself."""

    source: Source
    sha256: str
    head: bytes
    said: str


@dataclass(frozen=True)
class Programs:
    """The lab's parts, and the real programs by name."""

    parts: Parts
    by_name: dict[str, Program]


def build(folder: Path) -> dict[str, Program]:
    """Those of SAID; one for another machine (by its header), and a script."""
    found = {}
    for name, said in SAID.items():
        flags = ["-trimpath", "-ldflags", f"-s -w -X 'main.said={said.rstrip()}'"]
        command = ["go", "build", *flags, "-o", str(folder / name), str(Path(__file__).parent / "program" / "main.go")]
        subprocess.run(command, env=os.environ | {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": "amd64"}, check=True, capture_output=True)
        found[name] = _program(folder / name, said)
    content = (folder / "one").read_bytes()
    (folder / "arm64").write_bytes(content[:18] + b"\xb7" + content[19:])
    (folder / "script").write_text("#!/bin/sh\necho minio version, AGPLv3\n")
    return found | {n: _program(folder / n, "") for n in ("arm64", "script")}


def _program(path: Path, said: str) -> Program:
    content = path.read_bytes()
    return Program(Source(file=str(path)), hashlib.sha256(content).hexdigest(), content[:64], said)


def invented() -> dict[str, Program]:
    """The same, for a fake."""
    heads = {"arm64": ELF[:18] + b"\xb7" + ELF[19:], "script": b"#!/bin/sh\n"}
    names = (*SAID, *heads)
    return {n: Program(Source(file=f"/programs/{n}"), hashlib.sha256(n.encode()).hexdigest(), heads.get(n, ELF), SAID.get(n, "")) for n in names}


def fake_guest() -> FakeGuest:
    """A fake whose bastion has the invented programs."""
    made = FakeGuest()
    made.sources = {str(p.source): (p.sha256, p.head, p.said) for p in invented().values()}
    return made
