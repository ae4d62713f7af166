"""Another MinIO in place on real parts: forward, back by itself when it does not start, and killed at each of its steps."""

import base64
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from include.adapters.binaries import Binaries
from tests.conftest import ROOT
from tests.e2e.conftest import Site
from tests.e2e.test_binary import COMMUNITY, ENTERPRISE, declared_with, go_build
from tests.e2e.test_storage import Second

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
STAMP, OTHER = b"DEVELOPMENT.2026-02-12T20-18-48Z", b"DEVELOPMENT.2026-02-13T20-18-48Z"
BODIES = {f"before/{n}.bin": hashlib.sha256(str(n).encode()).digest() * 512 for n in range(20)}


@dataclass
class Lake:
    """The lake, two builds of the same MinIO that differ in their stamp, and programs that must not stay."""

    site: Site
    folder: Path
    programs: dict[str, Path] = field(default_factory=dict)

    def file(self, program: str) -> str:
        """A declaration with that program."""
        folder = self.folder / program
        folder.mkdir(exist_ok=True)
        return declared_with(folder, {"file": str(self.programs[program])})

    def installed(self) -> str:
        """The SHA-256 of the program whose process serves."""
        return self.site.lab.ssh("sudo sha256sum /proc/$(systemctl show minio -p MainPID --value)/exe")[:64]

    def other(self) -> str:
        """The build that does not serve now."""
        return "other" if self.installed() == digest(self.programs["declared"]) else "declared"

    def notes(self) -> str:
        return self.site.lab.ssh("sudo ls /var/lib/homelake 2>/dev/null || true")

    def works(self, program: str) -> None:
        """That program serves, nothing is under way, every object is there, and the Spark user's key works."""
        assert self.installed() == digest(self.programs[program])
        assert not self.notes()
        data = json.loads(self.site.kubectl("-n", "spark-jobs", "get", "secret", "minio-s3-keys", "-o", "json"))["data"]
        s3 = self.site.s3(*(base64.b64decode(data[k]).decode() for k in ("access-key", "secret-key")))
        assert {k: s3.get_object(Bucket="datalake", Key=k)["Body"].read() for k in BODIES} == BODIES
        s3.put_object(Bucket="datalake", Key="after.txt", Body=b"written")
        probes = self.site.s3().list_object_versions(Bucket="datalake", Prefix=".homelake/")
        assert not probes.get("Versions")
        assert not probes.get("DeleteMarkers")

    def snapshots(self) -> list[str]:
        rows = Second(self.site, self.folder).proxmox("GET", "/snapshot")
        return [r["name"] for r in rows if r["name"].startswith("homelake-")]

    def clear_snapshots(self) -> None:
        """As their owner does."""
        for name in self.snapshots():
            Second(self.site, self.folder).proxmox("DELETE", f"/snapshot/{name}")
        deadline = time.monotonic() + 60
        while self.snapshots() and time.monotonic() < deadline:
            time.sleep(0.5)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def lake(converged: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The lake as declared, with objects in it; afterwards it runs the declared program again."""
    made = Lake(converged, tmp_path_factory.mktemp("upgrade"))
    real, _ = Binaries(print).fetch(converged.lake.minio_binary.source, "x86_64")
    content = real.read_bytes()
    assert STAMP in content
    other = made.folder / "minio-other"
    other.write_bytes(content.replace(STAMP, OTHER))
    made.programs = {
        "declared": real,
        "other": other,
        "broken": go_build(made.folder / "program", COMMUNITY),
        "enterprise": go_build(made.folder / "wrong", ENTERPRISE),
    }
    for key, body in BODIES.items():
        converged.s3().put_object(Bucket="datalake", Key=key, Body=body)
    yield made
    made.clear_snapshots()
    converged.lab.lake("upgrade", "--yes", check=False)
    assert converged.plan()[0] == 0


@pytest.mark.long
def test_to_another_build_by_the_dag_with_a_snapshot(lake: Lake) -> None:
    lab = lake.site.lab
    environment = {"HOMELAKE_FILE": lake.file("other")}
    done = lab.lake("airflow", "dags", "test", "lake_upgrade_minio", "--conf", '{"snapshot": true}', env=environment)
    text = done.stdout + done.stderr
    assert "proving that the lake's user can work" in text
    lake.works("other")
    assert "2026-02-13" in lab.ssh("/usr/local/bin/minio --version")
    (name,) = lake.snapshots()
    assert f"taking the snapshot {name} of VM 100" in text
    assert digest(lake.programs["declared"]) in lab.ssh("readlink /usr/local/lib/minio/previous"), "the one before is kept"
    lake.clear_snapshots()
    done = lab.lake("upgrade", "--file", lake.file("other"))
    assert done.stdout == f"Nothing to do: the declared program is in place ({digest(lake.programs['other'])[:12]}).\n"


@pytest.mark.long
def test_a_program_that_does_not_start_comes_back_by_itself(lake: Lake) -> None:
    before = "declared" if lake.other() == "other" else "other"
    done = lake.site.lab.lake("upgrade", "--yes", "--file", lake.file("broken"), check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "it restarts in a loop. Its journal ends with:" in done.stderr
    assert "a valid license key is required" in done.stderr
    assert f"The program before ({digest(lake.programs[before])[:12]}) is back in place, serves, and was proven" in done.stderr
    assert "Traceback" not in done.stderr
    lake.works(before)


@pytest.mark.long
def test_the_wrong_edition_is_refused_before_anything_is_touched(lake: Lake) -> None:
    look = "readlink -f /usr/local/bin/minio; systemctl show minio -p MainPID,NRestarts"
    before = lake.site.lab.ssh(look)
    done = lake.site.lab.lake("upgrade", "--yes", "--file", lake.file("enterprise"), check=False)
    assert (done.returncode, "licence key it restarts for ever" in done.stderr) == (1, True), done.stderr
    assert lake.site.lab.ssh(look) == before


# Killed


def kill_at(lake: Lake, program: str, line: str, *options: str) -> str:
    """Run `./lake upgrade` and kill it, with all it started, as soon as it says this; what it had said."""
    command = [str(ROOT / "lake"), "upgrade", "--yes", "--file", lake.file(program), *options]
    process: Any = subprocess.Popen(
        command, cwd=ROOT, env=lake.site.lab.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    said = ""
    for text in process.stderr:
        said += text
        if line in text:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert line in said, said
    return said


STEPS = {
    "prepare": "proving that the lake works before it is touched",
    "snapshot": "taking the snapshot",
    "exchange": "restarting MinIO",
    "put in place": "in place",
    "proof": "proving that the lake's user can work",
}


@pytest.mark.parametrize("step", [pytest.param(s, marks=() if s == "exchange" else pytest.mark.long) for s in STEPS])
def test_killed_at_a_step_the_next_run_goes_forward(lake: Lake, step: str) -> None:
    program = lake.other()
    kill_at(lake, program, STEPS[step], *(["--snapshot"] if step == "snapshot" else []))
    assert bool(lake.notes()) == (step not in ("prepare", "snapshot"))
    done = lake.site.lab.lake("upgrade", "--yes", "--file", lake.file(program))
    assert digest(lake.programs[program])[:12] in done.stdout
    lake.works(program)
    lake.clear_snapshots()


@pytest.mark.long
@pytest.mark.parametrize("line", ["putting the program before back", "restarting MinIO", "proving that the lake's user can work"])
def test_killed_on_the_way_back_the_next_run_comes_back(lake: Lake, line: str) -> None:
    before = "declared" if lake.other() == "other" else "other"
    process: Any = subprocess.Popen([str(ROOT / "lake"), "upgrade", "--yes", "--file", lake.file("broken")], cwd=ROOT, env=lake.site.lab.environment(),
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
    back = False
    for text in process.stderr:
        back = back or "putting the program before back" in text
        if back and line in text:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert lake.notes()
    done = lake.site.lab.lake("upgrade", "--yes", "--file", lake.file("broken"), check=False)
    assert done.returncode == 1
    assert "is back in place, serves, and was proven" in done.stderr, done.stderr
    lake.works(before)
