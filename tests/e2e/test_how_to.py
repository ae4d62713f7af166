"""The how-tos of day two, worked through on the lab as somebody reads them: each declaration set, each command typed, each question answered.

What a page's commands do is tested further elsewhere; that its order, its declarations and its commands carry a reader to the end is tested here.
"""

import math
import os
import pty
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from include.adapters.binaries import Binaries
from tests.conftest import ROOT, TestLab
from tests.e2e.conftest import Site
from tests.e2e.test_backup import Story
from tests.e2e.test_drift import admin
from tests.e2e.test_rotation import let_in, pair
from tests.e2e.test_upgrade import OTHER, STAMP
from tests.unit.test_docs import DOCS, FENCE, blocks
from tests.unit.test_docs_examples import merged

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1500)]
DIFFERS = re.compile(r"\./lake (plan|usage|rotate .*--wait 0)")  # exit code 2 says that there is something, not that it failed


@dataclass
class Reader:
    """Who reads a page and does what it says, with a declaration and a site.env of their own."""

    site: Site
    file: Path
    env: dict[str, str] = field(default_factory=dict)
    said: str = ""

    def declare(self, part: str) -> None:
        """Put a page's piece of declaration into lake.yaml."""
        self.file.write_text(yaml.safe_dump(merged(yaml.safe_load(self.file.read_text()), yaml.safe_load(part)), sort_keys=False))

    def type(self, line: str) -> str:
        """Type a line in a shell, at a terminal, and answer what it asks. Returns what it said."""
        master, slave = pty.openpty()
        try:
            os.write(master, b"homelake\n" if " remove" in line else b"yes\n")
            done = subprocess.run(["bash", "-c", line], cwd=ROOT, env=self.site.lab.environment({"HOMELAKE_FILE": str(self.file), **self.env}), stdin=slave,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200, check=False)  # fmt: skip
        finally:
            os.close(master)
            os.close(slave)
        assert done.returncode == 0 or (done.returncode == 2 and DIFFERS.search(line)), f"{line}\nexited with {done.returncode}:\n{done.stdout[-4000:]}"
        assert "Traceback" not in done.stdout, done.stdout[-4000:]
        self.said += f"$ {line}\n{done.stdout}"
        return done.stdout

    def work_through(self, page: str, until: str = "", **instead: str) -> str:
        """Do what a page says in its order, down to the heading `until`; the text of `instead` is put in the place of its key.

        Blocks of commands for another machine than the bastion (`qm`, `sudo`) are left out.
        """
        self.said = ""
        text = (DOCS / f"how-to/{page}.md").read_text()
        text = text[: text.index(f"\n## {until}\n")] if until else text
        for _, language, block in FENCE.findall(text):
            for old, new in instead.items():
                block = block.replace(old, new)
            if language == "yaml":
                self.declare(block)
            for line in block.replace("\\\n", " ").splitlines() if language == "bash" and not block.startswith(("qm ", "sudo ")) else ():
                if line.startswith("export "):
                    self.env |= dict(given.split("=", 1) for given in shlex.split(line)[1:])
                    continue
                self.type(line)
        return self.said


@pytest.fixture(scope="module")
def reader(fresh_lab: TestLab, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A lake as shipped, and an empty VM at the end: what a page grew does not shrink again."""
    file = tmp_path_factory.mktemp("reader") / "lake.yaml"
    file.write_text((ROOT / "include/lake.yaml").read_text())
    site.lab.lake("apply", "--yes")
    yield Reader(site, file)
    site.lab.reset()


def serving(site: Site) -> str:
    """The version of the program that serves."""
    return site.lab.ssh("sudo /proc/$(systemctl show minio -p MainPID --value)/exe --version")


def test_watch(reader: Reader) -> None:
    admin(reader.site).bucket_quota_set("datalake", 5 << 30)
    said = reader.work_through("watch")
    assert "bucket/datalake: repaired\n    quota: 5 GiB → 100 GiB" in said
    assert "not as declared" not in reader.type("./lake plan")
    assert "volume" in said
    assert reader.env["AIRFLOW_CONN_LAKE_WEBHOOK"]


def test_rotate_keys(reader: Reader) -> None:
    before = pair(reader.site)
    said = reader.work_through("rotate-keys", until="Root's credentials")
    now = pair(reader.site)
    assert len(set(re.findall(r"the old one, (\w+)…, is revoked", said))) == 2, "by the command, and by the DAG"
    assert now[0] != before[0]
    assert [let_in(reader.site, *p) for p in (now, before)] == ["yes", "InvalidAccessKeyId"]


def test_rotate_root(reader: Reader, tmp_path: Path) -> None:
    """As the table says for a site.env: its password is another one, and both connections follow."""
    own, lab = tmp_path / "site.env", reader.site.lab
    own.touch(mode=0o600)
    other = reader.site.lab.run("openssl", "rand", "-hex", "20").strip()
    own.write_text((lab.state / "site.env").read_text().replace(lab["S3_ROOT_PASSWORD"], other))
    there = Reader(reader.site, reader.file, {"HOMELAKE_SITE": str(own)})
    there.type("./lake rotate root")
    assert [let_in(reader.site, lab["S3_ROOT_USER"], p) for p in (other, lab["S3_ROOT_PASSWORD"])] == ["yes", "SignatureDoesNotMatch"]
    assert other not in there.said
    reader.type("./lake rotate root")
    assert let_in(reader.site, lab["S3_ROOT_USER"], lab["S3_ROOT_PASSWORD"]) == "yes"


def test_upgrade_minio(reader: Reader) -> None:
    """To the declared build with another stamp: whether the page's own version is to be had, is the Go proxy's to say."""
    wanted = yaml.safe_load(blocks(DOCS / "how-to/upgrade-minio.md", "yaml")[0])["minio"]["binary"]["go"]
    assert re.fullmatch(r"github\.com/minio/minio@v0\.0\.0-\d{14}-[0-9a-f]{12}", wanted)
    program, _ = Binaries(print).fetch(reader.site.lake.minio_binary.source, "x86_64")
    other = reader.file.with_name("minio-other")
    other.write_bytes(program.read_bytes().replace(STAMP, OTHER))
    content: dict[str, Any] = yaml.safe_load(reader.file.read_text())
    del content["minio"]["binary"]["go"]
    reader.file.write_text(yaml.safe_dump(content, sort_keys=False))
    said = reader.work_through("upgrade-minio", **{f"go: {wanted}": f"file: {other}"})
    assert OTHER.decode() in serving(reader.site)
    assert "binary/minio: the declared program is in place" in said, "the DAG, after the command"
    assert "not as declared" not in reader.type("./lake plan")


def test_grow_the_disk(reader: Reader) -> None:
    reader.site.s3().put_object(Bucket="datalake", Key="how-to/kept", Body=b"kept")
    said = reader.work_through("grow-the-disk")
    assert blocks(DOCS / "how-to/grow-the-disk.md", "text")[0] in said
    size = int(reader.site.lab.ssh("findmnt -bno SIZE /mnt/minio_data"))
    assert 730 << 30 < size <= 750 << 30
    assert f"{math.ceil(size / (1 << 30))}G" in said, "df shows it, rounded up"


def test_backup_and_restore(reader: Reader) -> None:
    story = Story(reader.site, reader.site.lab["SSH_HOST"].rpartition(".")[0] + ".30")
    story.clear()
    try:
        said = reader.work_through("backup-and-restore", **{"10.201.0.30": story.address})
        assert story.copy().get_object(Bucket="datalake", Key="how-to/kept")["Body"].read() == b"kept"
        assert len(story.proxmox("GET", "/storage/local/content", content="backup")) == 2, said[-3000:]
    finally:
        story.clear()


def test_adopt(reader: Reader) -> None:
    """The lake's own filesystem, taken over by the UUID that the page's command prints."""
    sudo = next(block for block in blocks(DOCS / "how-to/adopt.md", "bash") if block.startswith("sudo "))
    uuid = reader.site.lab.ssh(sudo).strip()
    reader.declare(f"filesystem: {{uuid: {uuid}}}")
    reader.type("./lake plan")
    reader.type("./lake apply")
    assert "No changes" in reader.type("./lake plan")
    content: dict[str, Any] = yaml.safe_load(reader.file.read_text())
    del content["filesystem"]["uuid"]
    reader.file.write_text(yaml.safe_dump(content, sort_keys=False))


def test_remove(reader: Reader) -> None:
    """The data stay with the first command; each of the others is a case of its own, on a lake that serves."""
    first, *others = (line for block in blocks(DOCS / "how-to/remove.md", "bash") for line in block.splitlines())
    reader.type(first)
    reader.type("./lake apply")
    assert reader.site.s3().get_object(Bucket="datalake", Key="how-to/kept")["Body"].read() == b"kept"
    assert [line.split("--data ")[1] for line in others] == ["bucket/datalake", "vm-disk/100/scsi1"]
    reader.type(others[0])
    reader.type("./lake apply")
    with pytest.raises(ClientError, match="NoSuchKey"):
        reader.site.s3().get_object(Bucket="datalake", Key="how-to/kept")
    reader.type(others[1])
    assert reader.site.lab.ssh("test -e /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1 && echo there; true") == ""
