"""A lake that grows: disk, filesystem, then quota, online, and from wherever a killed run left it. It ends as the shipped declaration says."""

import signal
import sys
from pathlib import Path

import pytest
import yaml

from include.lake.units import Size
from tests.conftest import ROOT, TestLab
from tests.e2e.conftest import Site
from tests.e2e.test_drift import admin

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]
TARGET, GIB = "/mnt/minio_data", 1 << 30
STEPS = {
    "disk": "include.adapters.proxmox:Proxmox.grow",
    "filesystem": "include.adapters.host:Host.grow_filesystem",
    "quota": "include.adapters.minio:MinioServer.set_quota",
}


class Growing:
    """A lab whose lake is declared smaller than the shipped one."""

    def __init__(self, lab: TestLab, file: Path) -> None:
        self.lab, self.site, self.file = lab, Site(lab, None), file  # type: ignore[arg-type]

    def declare(self, size: str, quota: str) -> None:
        """Write the declaration with this disk and this quota."""
        content = yaml.safe_load(Path("include/lake.yaml").read_text())
        content["vm"]["disk"]["size"], content["buckets"][0]["quota"] = size, quota
        self.file.write_text(yaml.safe_dump(content))

    def apply(self, *more: str) -> str:
        """`./lake apply`: its output."""
        return self.lab.lake("apply", "--yes", "--file", str(self.file), *more).stdout

    def die(self, when: str, step: str) -> None:
        """`./lake apply` that is killed at a step."""
        done = self.lab._run([sys.executable, "-m", "tests.e2e.killing", when, "1", STEPS[step], "apply", "--yes", "--file", str(self.file)],
                             check=False, timeout=570, env={"PYTHONPATH": str(ROOT)})  # fmt: skip
        assert done.returncode == -signal.SIGKILL, f"it was not killed: {done.stdout[-2000:]}{done.stderr[-2000:]}"

    def sizes(self) -> tuple[int, int, int]:
        """The disk, the filesystem (both in the guest) and the quota, in GiB."""
        text = self.lab.ssh(f"lsblk -bndo SIZE /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1; findmnt -bno SIZE {TARGET}")
        disk, filesystem = (int(line) for line in text.split())
        return disk // GIB, filesystem // GIB, int(yaml.safe_load(admin(self.site).bucket_quota_get("datalake"))["quota"]) // GIB


@pytest.fixture(scope="module")
def growing(fresh_lab: TestLab, tmp_path_factory: pytest.TempPathFactory) -> Growing:
    made = Growing(fresh_lab, tmp_path_factory.mktemp("growing") / "lake.yaml")
    made.declare("20 GiB", "10 GiB")
    made.apply()
    made.site.s3().put_object(Bucket="datalake", Key="grow/before", Body=b"kept")
    return made


def test_a_quota_waits_for_its_volume(growing: Growing) -> None:
    """What is asked for in the wrong order is refused; in one run the disk comes first."""
    growing.declare("30 GiB", "25 GiB")
    done = growing.lab.lake("apply", "--yes", "--file", str(growing.file), "bucket/datalake", check=False)
    assert done.returncode == 1
    assert "it would be 25 GiB, and the volume holds 19." in done.stderr
    text = growing.apply()
    order = [text.rindex(f"~ {r}  (") for r in ("vm-disk/100/scsi1", "filesystem/scsi1", "bucket/datalake")]
    assert order == sorted(order), text
    disk, filesystem, quota = growing.sizes()
    assert (disk, filesystem in (29, 30), quota) == (30, True, 25)


@pytest.mark.parametrize(
    "kills",
    [
        (("after", "disk"), ("before", "filesystem"), ("after", "quota")),
        (("before", "disk"), ("after", "filesystem"), ("before", "quota")),
    ],
    ids=["one a step", "the other side of each call"],
)
def test_a_growth_that_is_killed_is_completed_by_the_next_run(growing: Growing, kills: tuple[tuple[str, str], ...]) -> None:
    target = growing.sizes()[0] + 10
    growing.declare(f"{target} GiB", f"{target - 5} GiB")
    for when, step in kills:
        growing.die(when, step)
        disk, _, quota = growing.sizes()
        assert quota <= disk, "the quota promised what was not there"
    growing.apply()
    disk, filesystem, quota = growing.sizes()
    assert (disk, filesystem in (target - 1, target), quota) == (target, True, target - 5)
    assert "Applied: 0 changed" in growing.apply()
    assert growing.site.s3().get_object(Bucket="datalake", Key="grow/before")["Body"].read() == b"kept"


def test_it_ends_as_shipped(growing: Growing) -> None:
    growing.lab.lake("apply", "--yes")
    assert growing.lab.lake("plan", check=False).returncode == 0
    assert Size(growing.sizes()[2] << 30) == Size.parse("100 GiB")
