"""Reboots and power cuts (A3, A4): the service comes back by itself, and what was acknowledged is there."""

import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]
BUCKET, OBJECTS, WRITERS = "datalake", 1000, 8


def api(site: Site, verb: str) -> None:
    """Ask Proxmox for a change of the VM's state."""
    lab = site.lab
    headers = {"Authorization": f"PVEAPIToken={lab['PVE_TOKEN_ID']}={lab['PVE_TOKEN_SECRET']}"}
    answer = requests.post(f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/100/status/{verb}", headers=headers, verify=lab["PVE_CA"], timeout=60)
    assert answer.status_code == 200, answer.reason


def reset(site: Site) -> None:
    """Proxmox's reset: the machine starts anew without a word to the guest."""
    api(site, "reset")


def pull_the_plug(site: Site) -> None:
    """QEMU is killed, and the VM started again."""
    pid = json.loads((site.lab.state / "pve" / "run" / "100" / "qemu.pid").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    api(site, "start")


def boot_id(site: Site, wait: float = 20) -> str:
    """Names one boot of the guest."""
    return site.lab.ssh("cat /proc/sys/kernel/random/boot_id", wait=wait).strip()


def wait_for_s3(site: Site, seconds: float = 300) -> None:
    """Until S3 answers as root; nobody touches anything in between."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            site.s3().list_buckets()
            return
        except (BotoCoreError, ClientError):
            assert time.monotonic() < deadline, f"S3 does not answer {seconds:.0f} s after the machine came back"
            time.sleep(1)


def write_until_cut(site: Site, prefix: str, cut: Callable[[Site], None]) -> dict[str, str]:
    """Write objects side by side until OBJECTS are acknowledged, then cut the power while more are written. Returns key → SHA-256 of all acknowledged."""
    acknowledged: dict[str, str] = {}
    over = threading.Event()

    def write(writer: int) -> None:
        s3, number = site.s3(), 0
        while not over.is_set():
            body = os.urandom(2000 + number % 5000)
            key = f"{prefix}/{writer}-{number}"
            try:
                s3.put_object(Bucket=BUCKET, Key=key, Body=body)
            except (BotoCoreError, ClientError):
                if len(acknowledged) < OBJECTS:
                    raise
                return
            acknowledged[key] = hashlib.sha256(body).hexdigest()
            number += 1

    with ThreadPoolExecutor(WRITERS) as pool:
        jobs = [pool.submit(write, n) for n in range(WRITERS)]
        while len(acknowledged) < OBJECTS and not any(j.done() for j in jobs):
            time.sleep(0.02)
        cut(site)
        over.set()
    for job in jobs:
        job.result()
    return acknowledged


def lost(site: Site, written: dict[str, str]) -> list[str]:
    """The keys that are gone or are not what was written."""

    def check(key: str) -> str | None:
        try:
            body = site.s3().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        except ClientError:
            return key
        return None if hashlib.sha256(body).hexdigest() == written[key] else key

    with ThreadPoolExecutor(WRITERS) as pool:
        return [k for k in pool.map(check, written) if k]


def test_after_a_reboot_all_is_there_untouched(converged: Site) -> None:
    before, body = boot_id(converged), os.urandom(100_000)
    converged.s3().put_object(Bucket=BUCKET, Key="reboot/object", Body=body)
    api(converged, "reboot")
    deadline = time.monotonic() + 240
    while boot_id(converged, wait=120) == before:
        assert time.monotonic() < deadline, "the machine did not reboot"
        time.sleep(1)
    wait_for_s3(converged)
    assert converged.s3().get_object(Bucket=BUCKET, Key="reboot/object")["Body"].read() == body
    assert converged.lab.ssh("findmnt -n -o FSTYPE /mnt/minio_data").strip() == "ext4"
    assert converged.plan()[0] == 0


def _cut_and_count(site: Site, name: str, cut: Callable[[Site], None]) -> tuple[int, list[str]]:
    before = boot_id(site)
    written = write_until_cut(site, f"cuts/{name}", cut)
    assert boot_id(site, wait=240) != before
    wait_for_s3(site)
    assert len(written) >= OBJECTS
    return len(written), lost(site, written)


@pytest.mark.parametrize("cut", [reset, pull_the_plug], ids=lambda c: c.__name__)
def test_a_power_cut_loses_nothing_that_was_acknowledged(converged: Site, cut: Callable[[Site], None]) -> None:
    count, gone = _cut_and_count(converged, f"{cut.__name__}-{time.time():.0f}", cut)
    print(f"{cut.__name__}: {count} acknowledged, {len(gone)} lost")
    assert gone == []
    assert converged.plan()[0] == 0


@pytest.mark.long
@pytest.mark.parametrize("number", range(10))
def test_ten_power_cuts_lose_nothing(converged: Site, number: int) -> None:
    count, gone = _cut_and_count(converged, f"long-{number}-{time.time():.0f}", (reset, pull_the_plug)[number % 2])
    print(f"cut {number}: {count} acknowledged, {len(gone)} lost")
    assert gone == []


def test_without_durable_writes_a_power_cut_does_lose_some(converged: Site, tmp_path: Path) -> None:
    """The control: were nothing lost here, the test above would show nothing."""
    declared = yaml.safe_load(Path("include/lake.yaml").read_text())
    declared["minio"]["durable_writes"] = False
    file = tmp_path / "lake.yaml"
    file.write_text(yaml.safe_dump(declared))
    converged.lab.lake("apply", "--yes", "--file", str(file), "service/minio")
    try:
        count, gone = _cut_and_count(converged, f"control-{time.time():.0f}", reset)
        print(f"control without MINIO_FS_OSYNC: {count} acknowledged, {len(gone)} lost")
        assert gone, "the control lost nothing: the cut comes too late to show anything"
    finally:
        converged.lab.lake("apply", "--yes")
    assert converged.plan()[0] == 0
