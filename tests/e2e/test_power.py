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
from typing import Any

import pytest
import requests
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]
BUCKET, OBJECTS, WRITERS, CONTROLS = "datalake", 1000, 8, 4


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


def write_until_cut(site: Site, prefix: str, cut: Callable[[Site], None], *, objects: int = OBJECTS, quiet: bool = False) -> dict[str, str]:
    """Write objects side by side until so many are acknowledged, then cut the power. Returns key → SHA-256 of all that were acknowledged.

    The cut comes in the middle of further writes; or, `quiet`, right after the last object's acknowledgement with no other write under way, which
    is worse: a later write would have carried the earlier ones to the disk with it.
    """
    acknowledged: dict[str, str] = {}
    over = threading.Event()

    def write(s3: Any, key: str, number: int) -> None:
        body = os.urandom(2000 + number % 5000)
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        acknowledged[key] = hashlib.sha256(body).hexdigest()

    def writer(name: int) -> None:
        s3, number = site.s3(), 0
        while not over.is_set():
            try:
                write(s3, f"{prefix}/{name}-{number}", number)
            except (BotoCoreError, ClientError):
                if len(acknowledged) < objects:
                    raise
                return  # the cut itself
            number += 1

    with ThreadPoolExecutor(WRITERS) as pool:
        jobs = [pool.submit(writer, n) for n in range(WRITERS)]
        while len(acknowledged) < objects and not any(j.done() for j in jobs):
            time.sleep(0.02)
        if not quiet:
            cut(site)
        over.set()
    for job in jobs:
        job.result()
    if quiet:
        s3 = site.s3()
        for number in range(5):
            write(s3, f"{prefix}/last-{number}", number)
        cut(site)
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


@pytest.mark.long
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


def _cut_and_count(site: Site, name: str, cut: Callable[[Site], None], *, objects: int = OBJECTS, quiet: bool = False) -> tuple[int, list[str]]:
    before = boot_id(site)
    written = write_until_cut(site, f"cuts/{name}-{time.time():.0f}", cut, objects=objects, quiet=quiet)
    assert boot_id(site, wait=240) != before
    wait_for_s3(site)
    assert len(written) >= objects
    return len(written), lost(site, written)


@pytest.mark.parametrize(("cut", "quiet"), [(reset, False), (pull_the_plug, True)], ids=["reset among writes", "plug pulled after the last"])
def test_a_power_cut_loses_nothing_that_was_acknowledged(converged: Site, cut: Callable[[Site], None], quiet: bool) -> None:
    count, gone = _cut_and_count(converged, cut.__name__, cut, quiet=quiet)
    print(f"{cut.__name__}: {count} acknowledged, {len(gone)} lost")
    assert gone == []
    assert converged.plan()[0] == 0


@pytest.mark.long
@pytest.mark.parametrize("number", range(10))
def test_ten_power_cuts_lose_nothing(converged: Site, number: int) -> None:
    count, gone = _cut_and_count(converged, f"long-{number}", (reset, pull_the_plug)[number % 2], quiet=number % 4 > 1)
    print(f"cut {number}: {count} acknowledged, {len(gone)} lost")
    assert gone == []


@pytest.mark.long
def test_without_durable_writes_a_power_cut_does_lose_some(converged: Site, tmp_path: Path) -> None:
    """The control: were nothing ever lost here, the test above would show nothing. ext4 writes its journal every 5 s, so a cut may hit nothing."""
    declared = yaml.safe_load(Path("include/lake.yaml").read_text())
    declared["minio"]["durable_writes"] = False
    file = tmp_path / "lake.yaml"
    file.write_text(yaml.safe_dump(declared))
    converged.lab.lake("apply", "--yes", "--file", str(file), "service/minio")
    try:
        for _ in range(CONTROLS):
            count, gone = _cut_and_count(converged, "control", reset, objects=50, quiet=True)
            print(f"control without MINIO_FS_OSYNC: {count} acknowledged, {len(gone)} lost")
            if gone:
                break
        assert gone, f"{CONTROLS} cuts lost nothing: they come too late to show anything"
    finally:
        converged.lab.lake("apply", "--yes")
    assert converged.plan()[0] == 0
