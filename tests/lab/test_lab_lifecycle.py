"""The lab's own life: a second `up`, what is killed, reset, two labs, what `destroy` leaves."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import proxmoxer
import proxmoxer.tools
import pytest
import requests

from lab.site import REGISTRY, find_lab
from tests.conftest import ROOT, TestLab
from tests.lab.conftest import TINY, Task, client, remove
from tests.lab.helpers import KEYS, OURS, command, only, running, until_running

pytestmark = pytest.mark.lab


def boot_id(lab: TestLab) -> str:
    return lab.ssh("cat /proc/sys/kernel/random/boot_id", wait=120).strip()


def test_a_second_up_changes_nothing(lab: TestLab, node: Any) -> None:
    def standing() -> Any:
        kept = {f.name: f.read_bytes() for f in (lab.state / "secrets").iterdir()}
        return running(lab), boot_id(lab), node.qemu(100).config.get(), node.qemu(100).snapshot.get(), kept

    before, began = standing(), time.monotonic()
    assert lab.up(capture_output=True).returncode == 0
    assert time.monotonic() - began < 60
    assert standing() == before


def test_up_names_what_is_wrong_and_builds_nothing(tmp_path: Path) -> None:
    done = command("up", "--name", "nowhere", PATH=str(only(tmp_path, "ip", "dpkg-query")))
    assert done.returncode == 1 and done.stdout == ""
    assert "✗ Maven: there is no mvn" in done.stderr and "✗ Go: there is no go" in done.stderr
    assert "nowhere" not in REGISTRY.read_text() and not (ROOT / ".lab" / "nowhere").exists()


def test_a_killed_stand_in_knows_all_again(lab: TestLab, node: Any, done: Task, ended: Task, free_id: int) -> None:
    done(node.qemu.post(vmid=free_id, name="survivor", start=1, **TINY))
    try:
        until_running(node.qemu(free_id))
        hanging = node.qemu(free_id).status.shutdown.post(timeout=300)  # nobody listens: it is still at it when the stand-in dies

        def standing() -> Any:
            rows = [{k: v[k] for k in ("vmid", "name", "status", "pid", "maxmem")} for v in node.qemu.get()]
            return rows, node.qemu(100).config.get(), node.qemu(100).snapshot.get(), node.qemu(free_id).config.get(), boot_id(lab)

        before = standing()
        os.kill(running(lab)["pve"], signal.SIGKILL)
        assert lab.up(capture_output=True).returncode == 0
        assert standing() == before
        assert node.tasks(hanging).status.get()["exitstatus"] == "unexpected status"
        done(node.qemu(free_id).status.stop.post())
    finally:
        remove(node, done, free_id)


def test_a_vm_half_made_goes_with_the_killed_stand_in(lab: TestLab, node: Any, free_id: int) -> None:
    image = node.storage("local").content.get(content="import")[0]["volid"]
    upid = node.qemu.post(vmid=free_id, scsi0="local-lvm:1", scsi1=f"local-lvm:0,import-from={image}", scsi2=f"local-lvm:0,import-from={image}")
    os.kill(running(lab)["pve"], signal.SIGKILL)
    assert lab.up(capture_output=True).returncode == 0
    assert node.tasks(upid).status.get()["exitstatus"] == "unexpected status"
    assert free_id not in {v["vmid"] for v in node.qemu.get()}
    assert node.storage("local-lvm").content.get(vmid=free_id) == []


def test_a_lab_that_was_killed_dead_comes_back(lab: TestLab, node: Any) -> None:
    lab.ssh("echo kept | sudo tee /var/lib/kept >/dev/null && sync")
    before, pids = boot_id(lab), running(lab)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    assert lab.lab("status", check=False).returncode == 3
    assert "is not running" in lab.lab("reset", check=False).stderr
    done = lab.up(capture_output=True)
    assert done.returncode == 0, done.stderr
    assert node.qemu(100).status.current.get()["status"] == "running"
    assert boot_id(lab) != before and lab.ssh("cat /var/lib/kept") == "kept\n"
    assert set(running(lab).values()).isdisjoint(pids.values())


def test_reset_is_fast_and_complete(lab: TestLab, node: Any, done: Task) -> None:
    lab.reset()
    lab.ssh("sudo touch /var/lib/traces; sudo mkdir -p /mnt/traces; echo '#trace' | sudo tee -a /etc/fstab >/dev/null")
    node.qemu(100).config.set(scsi7="local-lvm:3,ssd=1", onboot=0, description="used")
    began = time.monotonic()
    lab.reset()
    took = time.monotonic() - began
    guest, here = float(lab.ssh("date +%s.%N")), time.time()
    assert abs(guest - here) < 2, f"the guest's clock is {guest - here:+.1f} s off: S3 refuses signatures made with it"
    assert lab.ssh("ls -d /var/lib/traces /mnt/traces /dev/disk/by-id/*drive-scsi7 2>/dev/null | wc -l; grep -c trace /etc/fstab", check=False).split() == [
        "0",
        "0",
    ]
    config = node.qemu(100).config.get()
    assert {"scsi7", "unused0", "description"}.isdisjoint(config) and config["onboot"] == 1 and config["parent"] == "fresh"
    assert {v["volid"] for v in node.storage("local-lvm").content.get(vmid=100)} == {"local-lvm:vm-100-disk-0"}
    assert lab.ssh("systemctl is-system-running").strip() == "running"
    assert took < 60, f"it took {took:.0f} s"


def test_a_lab_without_its_snapshot_says_so(lab: TestLab, node: Any, done: Task) -> None:
    lab.reset()
    done(node.qemu(100).snapshot("fresh").delete())
    refused = lab.lab("reset", check=False)
    assert refused.returncode == 1 and f"Unable to reset the lab '{lab.name}': it has no snapshot 'fresh'." in refused.stderr
    again = lab.up(capture_output=True)
    assert again.returncode == 1 and "its VM is not new any more" in again.stderr, "a used VM must not become the fresh one"
    done(node.qemu(100).snapshot.post(snapname="fresh", vmstate=1))  # it was fresh a moment ago, as this test knows
    assert lab.up(capture_output=True).returncode == 0


def traces(name: str, subnet: int) -> list[str]:
    """All that a lab of that name has on this machine."""
    found = [f"namespace {n}" for n in os.listdir("/run/netns") if n in (f"hl-{name}", f"hl-{name}-k8s")]
    found += [f"link {n}" for n in os.listdir("/sys/class/net") if n == f"hl{subnet}"]
    found += [f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines() if f"/.lab/{name}/" in line or f"hl-{name}" in line]
    found += [f"cgroup {p}" for top in ("", "*/") for p in Path("/sys/fs/cgroup").glob(f"{top}homelake-{name}")]
    found += ["registry"] if name in json.loads(REGISTRY.read_text() or "{}") else []
    found += [str(ROOT / ".lab" / name)] if (ROOT / ".lab" / name).exists() else []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"/.lab/{name}/" in (process / "cmdline").read_text(errors="replace"):
                found.append(f"process {process.name}")
        except OSError:
            continue
    return found


@pytest.fixture(params=["--no-k8s", ""])
def other(lab: TestLab, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestLab]:
    """A lab to throw away, beside the test lab."""
    other = TestLab(lab.name[:7] + "x", tmp_path)
    try:
        other.lab("up", *filter(None, [request.param]), timeout=900)
        other.update(line.split("=", 1) for line in other.lab("env").stdout.splitlines())
        yield other
    finally:
        other.close_ssh()
        other.lab("destroy")


@pytest.mark.long
def test_two_labs_do_not_touch_each_other_and_destroy_leaves_nothing(lab: TestLab, other: TestLab, node: Any) -> None:
    before, subnet = (running(lab), boot_id(lab)), int(other["SSH_HOST"].split(".")[1])
    shared = {
        "PVE_STORAGE",
        "PVE_NODE",
        "PVE_VMID",
        "SSH_PORT",
        "SSH_USER",
        "S3_REGION",
        "S3_ROOT_USER",
        "S3_CA",
        *(k for k in KEYS + OURS if k.endswith("TOKEN_ID")),
    }
    assert {k for k in lab if lab[k] == other[k]} == shared
    assert client(other).nodes("pve").qemu(100).config.get()["smbios1"] != node.qemu(100).config.get()["smbios1"]
    with pytest.raises(proxmoxer.ResourceException, match="invalid token value"):
        foreign = TestLab(lab.name, Path())
        foreign.update({**other, "PVE_TOKEN_SECRET": lab["PVE_TOKEN_SECRET"]})
        client(foreign).version.get()
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(other["PVE_URL"] + "/api2/json/version", verify=lab["PVE_CA"], timeout=10)
    assert "no way" in lab.ssh(f"timeout 5 bash -c '</dev/tcp/{other['SSH_HOST']}/22' 2>/dev/null && echo reached || echo no way")
    assert len(traces(other.name, subnet)) >= 6, "what is looked for is there while the lab is"
    other.close_ssh()
    other.lab("destroy")
    assert traces(other.name, subnet) == []
    assert (running(lab), boot_id(lab)) == before


def test_destroy_finds_what_runs_of_a_lab_whose_folder_was_removed(lab: TestLab) -> None:
    """Its process ids are lost with the folder; the namespace still knows what is in it."""
    name, folder = lab.name[:7] + "y", ROOT / ".lab" / (lab.name[:7] + "y")
    place = find_lab(name, claim=True)
    lab.run("ip", "netns", "add", place.netns)
    left = subprocess.Popen(["ip", "netns", "exec", place.netns, "sleep", "600"])
    try:
        assert not folder.exists()
        assert command("destroy", "--name", name).returncode == 0
        assert left.wait(10) == -signal.SIGTERM
        assert traces(name, place.subnet) == []
    finally:
        left.kill()
