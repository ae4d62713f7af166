"""Backup and restore on real parts: objects with versions and delete markers, writes that go on meanwhile, a copy beside the running original."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
import yaml

from include.lake.equal import IN_FLIGHT
from tests.conftest import ROOT, TestLab
from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]
VMID, NODE = 110, "/api2/json/nodes/pve"
BUCKET, PREFIX, PLAIN = "datalake", "backup-proof/", "backup-plain"


@dataclass
class Story:
    """What was done once for all tests of this module: written, backed up, killed while it was restored, restored."""

    site: Site
    address: str
    config: dict[str, Any] = field(default_factory=dict)
    written: list[tuple[str, float]] = field(default_factory=list)  # keys in the order in which they were acknowledged, and when
    backup: dict[str, Any] = field(default_factory=dict)
    dhcp: str = ""
    done: dict[str, Any] = field(default_factory=dict)
    neighbours: set[str] = field(default_factory=set)
    killed_at: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def lab(self) -> TestLab:
        return self.site.lab

    def proxmox(self, method: str, path: str, **data: Any) -> Any:
        """A bare call of the Proxmox VE API as the administrator; its task is waited for."""
        headers = {"Authorization": f"PVEAPIToken={self.lab['PVE_TOKEN_ID']}={self.lab['PVE_TOKEN_SECRET']}"}
        given = {"params" if method == "GET" else "data": data}
        answer = requests.request(method, self.lab["PVE_URL"] + NODE + path, headers=headers, verify=self.lab["PVE_CA"], timeout=60, **given)
        assert answer.status_code == 200, f"{method} {path}: {answer.reason}"
        result = answer.json()["data"]
        if str(result).startswith("UPID:"):
            while (task := self.proxmox("GET", f"/tasks/{result}/status"))["status"] == "running":
                time.sleep(0.1)
            assert task["exitstatus"] == "OK", task
        return result

    def clear(self) -> None:
        """Remove the restored VM, the backups, and what was written."""
        if VMID in {v["vmid"] for v in self.proxmox("GET", "/qemu")}:
            self.proxmox("POST", f"/qemu/{VMID}/status/stop")
            self.proxmox("DELETE", f"/qemu/{VMID}")
        for backup in self.proxmox("GET", "/storage/local/content", content="backup"):
            self.proxmox("PUT", f"/storage/local/content/{backup['volid']}", protected=0)
            self.proxmox("DELETE", f"/storage/local/content/{backup['volid']}")
        s3 = self.site.s3()
        for bucket, prefix in ((BUCKET, PREFIX), (PLAIN, "")):
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix) if bucket in names(s3) else ():
                for one in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
                    s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
        if PLAIN in names(s3):
            s3.delete_bucket(Bucket=PLAIN)

    def copy(self) -> Any:
        """S3 of the restored MinIO, as root."""
        s3 = self.site.s3()
        return boto3.client("s3", endpoint_url=f"http://{self.address}:9000", region_name=self.lab["S3_REGION"], config=s3.meta.config,
                            aws_access_key_id=self.lab["S3_ROOT_USER"], aws_secret_access_key=self.lab["S3_ROOT_PASSWORD"])  # fmt: skip

    def restore(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`./lake restore`."""
        return self.lab.lake("restore", "--vmid", str(VMID), *args, check=check)


def names(s3: Any) -> set[str]:
    return {b["Name"] for b in s3.list_buckets()["Buckets"]}


def versions(s3: Any) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Every version and delete marker of every bucket."""
    found = {}
    for bucket in names(s3):
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            found |= {(bucket, v["Key"], v["VersionId"]): v for v in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]}
    return found


def write_objects(s3: Any) -> None:
    """Versions, delete markers, empty and large bodies, odd names, a bucket without versioning."""
    for number in range(3):
        s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}often", Body=f"version {number}".encode())
    s3.delete_object(Bucket=BUCKET, Key=f"{PREFIX}often")
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}often", Body=b"back again")
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}gone", Body=b"gone")
    s3.delete_object(Bucket=BUCKET, Key=f"{PREFIX}gone")
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}empty", Body=b"")
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}ünusual näme/a+b &=?.txt", Body="ä".encode())
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}large", Body=os.urandom(9 << 20))
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=f"{PREFIX}parts")["UploadId"]
    parts = [{"PartNumber": n, "ETag": s3.upload_part(Bucket=BUCKET, Key=f"{PREFIX}parts", UploadId=upload, PartNumber=n, Body=os.urandom(size))["ETag"]}
             for n, size in ((1, 5 << 20), (2, 1 << 10))]  # fmt: skip
    s3.complete_multipart_upload(Bucket=BUCKET, Key=f"{PREFIX}parts", UploadId=upload, MultipartUpload={"Parts": parts})
    s3.create_bucket(Bucket=PLAIN)
    s3.put_object(Bucket=PLAIN, Key="one", Body=b"no version")


def writing(story: Story, until: threading.Event) -> None:
    """Write one small object after another until told to stop."""
    s3, number = story.site.s3(), 0
    while not until.is_set():
        key = f"{PREFIX}stream/{number:06}"
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode() * 50)
        story.written.append((key, time.time()))
        number += 1


def watching(story: Story, until: threading.Event) -> None:
    """Whose MAC the bastion sees at the original's address."""
    while not until.wait(0.5):
        text = subprocess.run(["ip", "-j", "neigh", "show", story.lab["SSH_HOST"]], capture_output=True, text=True, check=False).stdout
        story.neighbours |= {str(n["lladdr"]).upper() for n in json.loads(text or "[]") if "lladdr" in n}


def beside(work: Callable[[Story, threading.Event], None], story: Story) -> Callable[[], None]:
    """Start a thread; returns what ends it."""
    until = threading.Event()
    thread = threading.Thread(target=work, args=(story, until), daemon=True)
    thread.start()

    def end() -> None:
        until.set()
        thread.join(60)

    return end


def killed_while_restoring(story: Story) -> str:
    """Start `./lake restore`, and kill it as soon as it has asked for the new VM's start; returns the last call it made."""
    log = story.lab.state / "pve" / "access.log"
    start = log.stat().st_size
    args = [sys.executable, "-m", "include.cli", "restore", "--vmid", str(VMID), "--address", f"{story.address}/24"]
    process = subprocess.Popen(args, cwd=ROOT, env=story.lab.environment({"PYTHONPATH": str(ROOT)}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while True:
        with open(log) as file:
            file.seek(start)
            calls = [" ".join(line.split()[2:4]) for line in file]
        if any(call.endswith(f"/qemu/{VMID}/status/start") for call in calls):
            break
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return calls[-1]


@pytest.fixture(scope="module")
def story(converged: Site) -> Iterator[Story]:
    lab = converged.lab
    made = Story(converged, lab["SSH_HOST"].rpartition(".")[0] + ".30")
    made.clear()
    made.config = made.proxmox("GET", "/qemu/100/config")
    write_objects(converged.s3())
    time.sleep(IN_FLIGHT + 1)  # or the proof takes what lacks for a write of the backup's own moment
    stop = beside(writing, made)
    began = time.monotonic()
    try:
        while len(made.written) < 5:
            time.sleep(0.1)
        made.backup = json.loads(lab.lake("backup", "--json").stdout)
    finally:
        made.seconds["backup"] = time.monotonic() - began
        stop()
    quiet = beside(watching, made)
    began = time.monotonic()
    try:
        made.killed_at = killed_while_restoring(made)
        refused = made.restore("--address", "dhcp", check=False)
        assert refused.returncode == 1
        made.dhcp = refused.stderr
        made.done = json.loads(made.restore("--address", f"{made.address}/24", "--verify", "--json").stdout)
    finally:
        made.seconds["restore"] = time.monotonic() - began
        quiet()
    print(made.seconds)
    yield made
    made.clear()


def test_every_object_of_the_time_of_the_backup_is_byte_equal(story: Story) -> None:
    original, restored, made = story.site.s3(), story.copy(), story.done["made"]
    theirs = versions(restored)
    # A write whose time is just before the backup's may have been acknowledged after its moment: the test of those is below.
    held = {k: v for k, v in versions(original).items() if v["LastModified"].timestamp() < made - (0 if k in theirs else IN_FLIGHT)}
    markers = [k for k, v in held.items() if "ETag" not in v]
    assert len(markers) >= 2
    assert len(held) >= 13
    for (bucket, key, version), facts in held.items():
        assert (bucket, key, version) in theirs, f"{bucket}/{key} {version} is missing"
        if "ETag" in facts:
            bodies = [hashlib.sha256(s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()).hexdigest() for s3 in (original, restored)]
            assert bodies[0] == bodies[1], f"{bucket}/{key} {version}"
    proof = story.done["proof"]
    assert (proof["versions"], proof["markers"], proof["bodies"], proof["wrong"]) == (len(held) - len(markers), len(markers), len(held) - len(markers), [])
    assert {(PLAIN, "one", "null"), (BUCKET, f"{PREFIX}parts")} <= {k if k[0] == PLAIN else k[:2] for k in held}


def test_writes_that_went_on_are_in_it_up_to_one_moment(story: Story) -> None:
    keys = [key for key, _ in story.written]
    there = {k for b, k, _ in versions(story.copy()) if b == BUCKET and k.startswith(f"{PREFIX}stream/")}
    cut = len(there)
    assert 0 < cut < len(keys), f"{cut} of {len(keys)}: writes went on before and after the moment"
    assert there - set(keys[: cut + 1]) == set()
    assert set(keys[: cut - 1]) <= there, "one is missing before another that is there"
    early = {key for key, when in story.written if when < story.done["made"]}
    assert early <= there, "what was acknowledged before the backup began"


def test_the_original_is_untouched_and_was_never_met(story: Story) -> None:
    assert story.proxmox("GET", "/qemu/100/config") == story.config
    mac = story.config["net0"].split(",")[0].partition("=")[2]
    assert story.neighbours == {mac}, "another machine answered at the original's address"
    code, text = story.site.plan()
    assert code == 0, text
    restored = story.proxmox("GET", f"/qemu/{VMID}/config")
    assert mac not in restored["net0"]
    assert "link_down" not in restored["net0"]
    assert (restored["name"], restored["onboot"], restored["memory"]) == ("datalake-restored", 0, story.config["memory"])
    assert story.done["backup"] in restored["description"]
    assert restored["description"].endswith(f"Address: {story.address}")


def test_a_killed_run_was_finished_by_the_next(story: Story) -> None:
    log = (story.lab.state / "pve" / "access.log").read_text().splitlines()
    assert sum(" POST /api2/json/nodes/pve/qemu 200 " in line for line in log[-4000:]) >= 1
    tasks = story.proxmox("GET", "/tasks", source="all", typefilter="qmrestore", limit=1000)
    assert len([t for t in tasks if t["id"] == str(VMID) and t["starttime"] >= story.done["made"]]) == 1, story.killed_at


def test_a_guest_with_a_fixed_address_is_not_plugged_in_for_dhcp(story: Story) -> None:
    assert (
        f"Unable to plug in VM {VMID}: its network does not ask a DHCP server: the original's address is in /run/systemd/network/05-lan.network" in story.dhcp
    )


def test_another_run_changes_nothing(story: Story) -> None:
    log = story.lab.state / "pve" / "access.log"
    start = log.stat().st_size
    done = json.loads(story.restore("--address", f"{story.address}/24", "--json").stdout)
    with open(log) as file:
        file.seek(start)
        calls = [line.split()[2:4] for line in file]
    assert done == story.done | {"proof": None}
    assert [c for c in calls if c[0] != "GET" and not c[1].endswith("/agent/ping")] == []
    code = story.restore("--address", f"{story.address}/24", "--backup", "local:backup/another", check=False)
    assert "it was restored from" in code.stderr


@pytest.mark.parametrize(("vmid", "address", "cause"), [
    (100, "{free}/24", "it is the lake's own VM"),
    (111, "{own}/24", "it is the original's address"),
    (111, "{node}/24", "something answers at that address already"),
    (111, "{free}/24", "it lacks VM.Allocate"),
])  # fmt: skip
def test_what_is_refused_makes_no_vm(story: Story, vmid: int, address: str, cause: str) -> None:
    net = story.lab["SSH_HOST"].rpartition(".")[0]
    where = address.format(free=f"{net}.77", own=story.lab["SSH_HOST"], node=f"{net}.2")
    before = {v["vmid"] for v in story.proxmox("GET", "/qemu")}
    done = story.lab.lake("restore", "--vmid", str(vmid), "--address", where, check=False)
    assert done.returncode == 1
    assert cause in done.stderr
    assert {v["vmid"] for v in story.proxmox("GET", "/qemu")} == before


def test_both_dags(story: Story, tmp_path: Path) -> None:
    """As a user would from Airflow; with keep 1 the earlier backup of ours goes, and someone's stays."""
    foreign = story.backup["backup"]
    story.proxmox("POST", "/vzdump", vmid=100, storage="local", compress="zstd", **{"notes-template": "nightly"})
    content = yaml.safe_load(Path("include/lake.yaml").read_text())
    content["backup"] = {"keep": 1}
    file = tmp_path / "lake.yaml"
    file.write_text(yaml.safe_dump(content))
    text = story.lab.lake("airflow", "dags", "test", "lake_backup", env={"HOMELAKE_FILE": str(file)})
    said = text.stdout + text.stderr
    assert "Backup job finished successfully" in said
    assert f"removed {foreign}" in said
    left = [b.get("notes", "") for b in story.proxmox("GET", "/storage/local/content", content="backup", vmid=100)]
    assert sorted(n.split(":")[0] for n in left) == ["Homelake", "nightly"]
    wanted = {"vmid": VMID, "address": f"{story.address}/24", "sample": 20}
    text = story.lab.lake("airflow", "dags", "test", "lake_restore", "--conf", json.dumps(wanted))
    said = text.stdout + text.stderr
    assert "going on with it" in said
    assert "bodies" in said
    assert "are byte-equal" in said


def test_the_proof_finds_what_is_wrong(story: Story) -> None:
    """A lost version, and bytes that rotted on the restored disk."""
    restored = story.copy()
    rows = restored.list_object_versions(Bucket=BUCKET, Prefix=f"{PREFIX}often")["Versions"]
    restored.delete_object(Bucket=BUCKET, Key=rows[-1]["Key"], VersionId=rows[-1]["VersionId"])
    done = story.restore("--address", f"{story.address}/24", "--verify", "--sample", "0.1", check=False)
    assert done.returncode == 1
    assert f"{BUCKET}/{PREFIX}often (version {rows[-1]['VersionId']}) is missing" in done.stderr
    rot = f"dd if=/dev/zero of=$(find /mnt/minio_data/{BUCKET}/{PREFIX}large -name part.1) bs=1 seek=5000000 count=64 conv=notrunc status=none; sync"
    story.proxmox("POST", f"/qemu/{VMID}/agent/exec", command=["/bin/sh", "-c", rot])
    time.sleep(3)
    done = story.restore("--address", f"{story.address}/24", "--verify", check=False)
    assert done.returncode == 1
    assert f"{BUCKET}/{PREFIX}large (version " in done.stderr
