"""What a program in the VM was made from: the scripts that note it and read it, run here in a folder of their own."""

import gzip
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from include.adapters import binaries
from include.adapters.host.program import Programs
from include.adapters.host.ssh import Result
from include.connections import Connection
from include.lake.resource import ensure
from include.lake.resources.binary import Binary, BinaryState, Source
from tests.fakes.guest import AGPL, ELF
from tests.unit.adapters.images import Archive, layer

PROGRAM = ELF + b"\0" * 64
SHA256 = hashlib.sha256(PROGRAM).hexdigest()


class Here(Programs):
    """The VM's /usr/local is a folder here, and the program is not run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Connection("lake_host", "ssh", "vm"), lambda text: None)
        self.folder = folder
        self.asked: list[str] = []
        (folder / "bin").mkdir(parents=True)

    def run(self, script: str, *args: str, **options: Any) -> Result:
        self.asked.append(script)
        if script == "uname -m":
            return Result(0, "x86_64\n", "")
        script = script.replace("/usr/local", str(self.folder))
        done = subprocess.run(["bash", "-c", script, "bash", *args], input=options.get("stdin", b""), capture_output=True, check=True)
        return Result(0, done.stdout.decode(), done.stderr.decode())

    def send(self, source: Path, script: str, *args: str) -> None:
        self.run(script, *args, stdin=gzip.compress(source.read_bytes()))

    def try_out(self, name: str, sha256: str) -> str:
        return AGPL


def test_the_program_in_place_is_known_by_its_source_where_the_build_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, archive = Archive(), tmp_path / "image.tar"
    a.write(archive, a.image("amd64", layer({"usr/bin/minio": PROGRAM})))
    source, other = Source(image=f"oci-archive:{archive}"), Source(go="example.org/another@v1.0.0")
    vm, declared = Here(tmp_path / "vm"), Binary("minio", source, BinaryState("later"))
    monkeypatch.setattr(binaries, "CACHE", tmp_path / "cache")
    assert vm.made_from("minio", source) is None
    assert ensure(declared, vm).applied
    monkeypatch.setattr(binaries, "CACHE", tmp_path / "of another account")
    assert (vm.digest(source, "x86_64"), vm.made_from("minio", source), vm.made_from("minio", other)) == (None, SHA256, None)
    vm.asked.clear()
    assert not ensure(declared, vm).plan, "nothing differs, and nothing is built"
    assert len(vm.asked) == 2, "what is in place, and what it was made from"
    note = tmp_path / "vm/lib/minio" / SHA256 / "source"
    note.unlink()  # as a lake that was made earlier has it
    assert ensure(declared, vm, check=True).plan.fields() == {"sha256"}
    vm.stage("minio", source, SHA256)
    assert vm.made_from("minio", source) == SHA256, "noted, though the program was there"
    vm.stage("minio", Source(file=str(archive)), SHA256)
    assert vm.made_from("minio", source) == SHA256, "of a file nothing is noted: it is read anew each time"
    (tmp_path / "vm/bin/minio").unlink()
    (tmp_path / "vm/bin/minio").write_bytes(PROGRAM)
    assert vm.made_from("minio", source) is None, "put there by hand"
