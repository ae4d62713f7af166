"""What the lab prints, what it keeps secret, and what its doctor finds."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import doctor
from lab.cli import main
from lab.site import find_lab
from tests.conftest import ROOT, TestLab
from tests.lab.helpers import KEYS, OURS, command, only

pytestmark = pytest.mark.lab


def secrets(lab: TestLab) -> dict[str, str]:
    """Every secret of the lab, by where it is."""
    found = {k: v for k, v in lab.items() if k.endswith(("SECRET", "PASSWORD"))}
    for file in (lab.state / "secrets").iterdir():
        if file.suffix == ".key" or file.name in ("id_ed25519", "host_ed25519"):
            found[file.name] = file.read_text().splitlines()[2]
    found["host-key.credential"] = (lab.state / "secrets" / "host-key.credential").read_text().partition("=")[2][200:260]
    return found


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
        assert (
            capsys.readouterr().err
            == f"Unable to use the lab name {name!r}: it is not 1 to 8 lower-case letters and digits that begin with a letter. Choose another --name.\n"
        )
