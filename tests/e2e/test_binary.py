"""Programs that must never be put in place (B1, B2, and errors 1 and 2 of E), and a service that loops (B3), on real parts.

The Enterprise binary itself is not to be had here: a small program stands in for it, with its documented words.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.k8s.oci import Image, write_archive
from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PROGRAM = """package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Print(%s)
		return
	}
	fmt.Println("FATAL: Unable to start the server: a valid license key is required (MINIO_LICENSE)")
	os.Exit(1)
}
"""
VERSION = "minio version RELEASE.2025-10-15T00-00-00Z (commit-id=0000000000000000000000000000000000000000)\nRuntime: go1.24 linux/amd64\nLicense: "
ENTERPRISE = VERSION + "MinIO AIStor Enterprise License\n"
COMMUNITY = VERSION + "GNU AGPLv3 - https://www.gnu.org/licenses/agpl-3.0.html\n"


def go_build(folder: Path, said: str, arch: str = "amd64") -> Path:
    """A real program for linux/`arch` that says `said` of itself, and wants a licence when it is started."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.go").write_text(PROGRAM % json.dumps(said))
    (folder / "go.mod").write_text("module program\n\ngo 1.21\n")
    target = folder / "minio"
    environment = os.environ | {"GOARCH": arch, "GOOS": "linux", "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-trimpath", "-o", str(target), "."], cwd=folder, env=environment, check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """enterprise, arm64, and one that passes every check and then loops."""
    folder = tmp_path_factory.mktemp("programs")
    return {
        "enterprise": go_build(folder / "enterprise", ENTERPRISE),
        "arm64": go_build(folder / "arm64", COMMUNITY, "arm64"),
        "looping": go_build(folder / "looping", COMMUNITY),
    }


def declared_with(folder: Path, binary: dict[str, str]) -> str:
    """The project's declaration with another source of the binary; the path of the file."""
    content = yaml.safe_load(Path("include/lake.yaml").read_text())
    content["minio"]["binary"] = binary
    file = folder / "lake.yaml"
    file.write_text(yaml.safe_dump(content))
    return str(file)


@pytest.fixture
def untouched(converged: Site) -> Iterator[Site]:
    """The program in place and the process that runs are the same afterwards."""
    look = "readlink -f /usr/local/bin/minio; systemctl show minio -p MainPID,NRestarts"
    before = converged.lab.ssh(look)
    yield converged
    assert converged.lab.ssh(look) == before


def refusal(site: Site, folder: Path, binary: dict[str, str]) -> str:
    """What `./lake apply` says to a declaration with this binary."""
    done = site.lab.lake("apply", "--yes", "--file", declared_with(folder, binary), "binary/minio", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_the_enterprise_edition_is_refused(untouched: Site, programs: dict[str, Path], tmp_path: Path) -> None:
    said = refusal(untouched, tmp_path, {"file": str(programs["enterprise"])})
    assert "Unable to install binary/minio" in said
    assert "licence key it restarts for ever" in said
    assert "Community Edition" in said
    digest = hashlib.sha256(programs["enterprise"].read_bytes()).hexdigest()
    assert digest not in untouched.lab.ssh("ls /usr/local/lib/minio")


def test_a_program_for_arm64_is_refused(untouched: Site, programs: dict[str, Path], tmp_path: Path) -> None:
    """And it is what its name says: the VM itself answers `Exec format error` to it."""
    said = refusal(untouched, tmp_path, {"file": str(programs["arm64"])})
    assert "built for aarch64 and the VM is x86_64" in said
    assert "Exec format error" in said
    untouched.lab.ssh("cat >/tmp/arm.b64", input=__import__("base64").b64encode(programs["arm64"].read_bytes()).decode())
    answer = untouched.lab.ssh("base64 -d /tmp/arm.b64 >/tmp/arm; chmod +x /tmp/arm; /tmp/arm --version 2>&1; rm /tmp/arm /tmp/arm.b64", check=False)
    assert "Exec format error" in answer


def test_a_script_is_refused(untouched: Site, tmp_path: Path) -> None:
    script = tmp_path / "minio"
    script.write_text("#!/bin/sh\necho minio version AGPLv3\n")
    assert "no ELF header" in refusal(untouched, tmp_path, {"file": str(script)})


def archive(folder: Path, programs: dict[str, Path]) -> Path:
    """An OCI archive with an image of each architecture, as a registry gives it for --all."""
    entries, blobs = [], folder / "blobs"
    for arch, program in programs.items():
        layer, single = folder / f"{arch}.tar", folder / f"{arch}-image.tar"
        with tarfile.open(layer, "w") as tar:
            tar.add(program, "usr/bin/minio")
        write_archive(single, [Image("minio:test", (layer,))])
        with tarfile.open(single) as tar:
            tar.extractall(blobs, filter="data")
        entry = json.loads((blobs / "index.json").read_text())["manifests"][0]
        entries.append(entry | {"platform": {"os": "linux", "architecture": arch}})
    (blobs / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    target = folder / "minio.oci.tar"
    with tarfile.open(target, "w") as tar:
        for file in sorted(blobs.rglob("*")):
            tar.add(file, str(file.relative_to(blobs)), recursive=False)
    return target


def test_out_of_an_image_comes_the_vms_platform(converged: Site, programs: dict[str, Path], tmp_path: Path) -> None:
    """The arm64 program comes first in the image; the amd64 one, the real MinIO, is taken and runs."""
    from include.adapters.binaries import Binaries

    real, _ = Binaries(print).fetch(converged.lake.minio_binary.source, "x86_64")
    image = archive(tmp_path, {"arm64": programs["arm64"], "amd64": real})
    done = converged.lab.lake("plan", "--file", declared_with(tmp_path, {"image": f"oci-archive:{image}"}), "binary/minio", check=False)
    assert done.returncode == 2, "before it is taken out nobody knows its digest"
    converged.lab.lake("apply", "--yes", "--file", declared_with(tmp_path, {"image": f"oci-archive:{image}"}), "binary/minio")
    digest = hashlib.sha256(real.read_bytes()).hexdigest()
    assert digest in converged.lab.ssh("readlink -f /usr/local/bin/minio")
    only_arm = archive(tmp_path / "arm", {"arm64": programs["arm64"]}) if (tmp_path / "arm").mkdir() is None else None
    assert "it has no linux/amd64 (it has linux/arm64)" in refusal(converged, tmp_path, {"image": f"oci-archive:{only_arm}"})


def test_a_service_that_loops_is_told_at_once_and_the_way_back_works(converged: Site, programs: dict[str, Path], tmp_path: Path) -> None:
    """A program that passes every check and then wants a licence: systemd's own counter finds the loop, the journal says why."""
    file = declared_with(tmp_path, {"file": str(programs["looping"])})
    try:
        began = time.monotonic()
        done = converged.lab.lake("apply", "--yes", "--file", file, "binary/minio", "service/minio", check=False)
        took = time.monotonic() - began
        assert done.returncode == 1
        assert "it restarts in a loop" in done.stderr
        assert "a valid license key is required" in done.stderr
        assert took < 90, f"{took:.0f} s: that was a time-out, not the counter"
        previous = converged.lab.ssh("readlink -f /usr/local/lib/minio/previous").strip()
        assert "AGPL" in converged.lab.ssh(f"{previous} --version"), "the program before is kept"
    finally:
        converged.lab.lake("apply", "--yes")
    assert converged.plan()[0] == 0
    shutil.rmtree(programs["looping"].parent, ignore_errors=True)
