"""The lab's own life: a second `up`, what is killed, what is printed and kept secret, what `destroy` leaves."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import proxmoxer
import pytest
import requests

from lab import doctor
from lab.cli import main
from lab.site import REGISTRY, find_lab
from tests.conftest import ROOT, TestLab
from tests.lab.conftest import TINY, Task, client, remove

pytestmark = pytest.mark.lab

KEYS = ("PVE_URL PVE_TOKEN_ID PVE_TOKEN_SECRET PVE_NOPRIV_TOKEN_ID PVE_NOPRIV_TOKEN_SECRET PVE_STORAGE PVE_NODE PVE_VMID PVE_CA SSH_HOST SSH_PORT "
        "SSH_USER SSH_KEY SSH_KNOWN_HOSTS S3_ENDPOINT S3_REGION S3_ROOT_USER S3_ROOT_PASSWORD S3_CA KUBECONFIG").split()  # fmt: skip
OURS = ["PVE_BOOTSTRAP_TOKEN_ID", "PVE_BOOTSTRAP_TOKEN_SECRET"]


def running(lab: TestLab) -> dict[str, int]:
    """The process ids of the stand-in and of VM 100."""
    files = {"pve": lab.state / "run" / "pve.pid", "vm": lab.state / "pve" / "run" / "100" / "qemu.pid"}
    return {name: int(json.loads(file.read_text())["pid"]) for name, file in files.items()}


def boot_id(lab: TestLab) -> str:
    return lab.ssh("cat /proc/sys/kernel/random/boot_id", wait=120).strip()


def secrets(lab: TestLab) -> dict[str, str]:
    """Every secret of the lab, by where it is."""
    found = {k: v for k, v in lab.items() if k.endswith(("SECRET", "PASSWORD"))}
    for file in (lab.state / "secrets").iterdir():
        if file.suffix == ".key" or file.name in ("id_ed25519", "host_ed25519"):
            found[file.name] = file.read_text().splitlines()[2]
    found["host-key.credential"] = (lab.state / "secrets" / "host-key.credential").read_text().partition("=")[2][200:260]
    return found


# --- a second up ------------------------------------------------------------------------------------------------------


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


# --- what is killed ---------------------------------------------------------------------------------------------------


def test_a_killed_stand_in_knows_all_again(lab: TestLab, node: Any, done: Task, ended: Task, free_id: int) -> None:
    done(node.qemu.post(vmid=free_id, name="survivor", start=1, **TINY))
    try:
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


# --- reset ------------------------------------------------------------------------------------------------------------


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


# --- what is printed, what is secret ----------------------------------------------------------------------------------


def test_env_prints_what_a_client_needs(lab: TestLab) -> None:
    lines = lab.lab("env").stdout.splitlines()
    facts = dict(line.split("=", 1) for line in lines)
    assert sorted(facts) == sorted([*KEYS, *OURS]) and len(lines) == len(facts)
    assert [k for k, v in facts.items() if not v] == ["S3_CA"], "MinIO speaks http for now"
    assert re.fullmatch(r"https://10\.\d+\.0\.2:8006", facts["PVE_URL"]) and facts["PVE_VMID"] == "100" and facts["S3_REGION"] == "ap-northeast-2"
    assert all(Path(facts[k]).is_absolute() and Path(facts[k]).is_file() for k in ("PVE_CA", "SSH_KEY", "SSH_KNOWN_HOSTS"))
    never = command("env", "--name", "nowhere")
    assert (never.returncode, never.stdout) == (1, "") and "it was never started. Run: ./lake lab up --name nowhere." in never.stderr


def test_secrets_are_in_files_of_their_owner_only(lab: TestLab) -> None:
    for folder in (lab.state.parent, lab.state, lab.state / "secrets", lab.state / "pve", lab.state / "pve" / "run" / "100"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    for file in (lab.state / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) in (0o600, 0o644) and (file.suffix == ".pub" or stat.S_IMODE(file.stat().st_mode) == 0o600), file
    hidden = secrets(lab)
    assert len(set(hidden.values())) == len(hidden) >= 8
    for file in [f for f in lab.state.rglob("*") if f.is_file() and "k8s" not in f.parts and f.stat().st_size < 1 << 20]:
        if any(secret.encode() in file.read_bytes() for secret in hidden.values()):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
            assert file.parent.name == "secrets" or file.name == "site.env", f"{file} holds a secret"


def test_no_secret_is_in_the_process_list(lab: TestLab, node: Any) -> None:
    node.qemu(100).status.current.get()
    hidden, seen = secrets(lab), 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line, folder = (process / "cmdline").read_bytes(), os.readlink(process / "cwd")
            surroundings = (process / "environ").read_bytes() if str(lab.state) in line.decode(errors="replace") else b""
        except OSError:
            continue
        seen += str(lab.state) in line.decode(errors="replace")
        for name, secret in hidden.items():
            assert secret.encode() not in line + surroundings, f"{name} is visible in the process {process.name} ({folder})"
    assert seen >= 2, "the stand-in and the VM are among them"


def test_the_host_key_is_known_beforehand(lab: TestLab) -> None:
    host, kind, key = (lab.state / "secrets" / "known_hosts").read_text().split()
    assert (host, kind) == (lab["SSH_HOST"], "ssh-ed25519")
    assert lab.run("ssh-keyscan", "-T", "60", "-t", "ed25519", lab["SSH_HOST"]).split()[-1] == key


# --- doctor -----------------------------------------------------------------------------------------------------------


def command(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "lab", *args], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def only(folder: Path, *programs: str) -> Path:
    """A folder for PATH in which there are only these programs."""
    for program in programs:
        (folder / program).symlink_to(subprocess.run(["which", program], capture_output=True, text=True, check=True).stdout.strip())
    return folder


def test_doctor_on_a_machine_that_has_everything(lab: TestLab) -> None:
    done = lab.lab("doctor")
    assert [line for line in done.stdout.splitlines() if not line.startswith("✓ ")] == []
    assert {"root", "memory", "disk", "packages", "Go", "Maven", "/dev/net/tun", "overlayfs", "network"} == {x[2:] for x in done.stdout.splitlines()}


def test_doctor_names_what_is_missing_and_the_way_to_it(lab: TestLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packages.txt").write_text("bash\nnot-a-package-of-debian  # a comment\n")
    for name, value in (("MEMORY_GIB", 10_000), ("WARM_DISK_GIB", 10_000_000), ("DISK_GIB", 10_000_000), ("PACKAGES", tmp_path / "packages.txt")):
        monkeypatch.setattr(doctor, name, value)
    monkeypatch.setenv("PATH", str(only(tmp_path, "dpkg-query", "ip")))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = {f.what: f for f in doctor.examine(find_lab("nowhere")) if f.problem}
    assert set(found) == {"root", "memory", "disk", "packages", "Go", "Maven"}
    assert re.fullmatch(r"[\d.]+ GiB are free, 10000 GiB are needed", found["memory"].problem)
    assert "10000000 GiB are needed" in found["disk"].problem and "HOMELAKE_CACHE" in found["disk"].remedy
    assert found["packages"].problem == "missing: not-a-package-of-debian" and found["packages"].remedy.endswith(" not-a-package-of-debian")
    assert all(f.remedy for f in found.values())


def test_doctor_where_taps_are_not_allowed_and_the_subnet_is_taken(lab: TestLab) -> None:
    subnet = find_lab("nowhere").subnet
    script = f'mount -t tmpfs none /dev/net && ip link add taken type bridge && ip addr add 10.{subnet}.0.7/24 dev taken && ip link set taken up && exec "$@"'
    done = subprocess.run(["unshare", "--mount", "--net", "bash", "-c", script, "-", sys.executable, "-m", "lab", "doctor", "--name", "nowhere"], cwd=ROOT,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert "✗ /dev/net/tun: it is not there. mkdir -p /dev/net && mknod /dev/net/tun c 10 200, or run where taps are allowed." in done.stderr
    assert f"✗ network: 10.{subnet}.0.0/24 is already in use here (10.{subnet}.0.7). Take a lab of another name: --name other." in done.stderr


@pytest.mark.parametrize("name", ["", "Demo", "toolongname", "1st", "../etc", "a b", "a-b"])
def test_names_are_checked(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("up", "env", "destroy"):
        assert main([verb, "--name", name]) == 1
        assert capsys.readouterr().err == f"Unable to use the lab name {name!r}: it is not 1 to 8 lower-case letters and digits.\n"


# --- two labs, and the end of one -------------------------------------------------------------------------------------


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


@pytest.fixture(params=["--no-k8s", pytest.param("", marks=pytest.mark.long)])
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
