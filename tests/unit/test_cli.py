"""`./lake` as a person meets it: what it prints, and its exit codes. Addresses are loopback's, where nobody listens."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from include import cli, commands
from include.lake.lake import load_lake
from include.settings import ROOT
from tests.fakes.guest import AGPL, ELF, FakeGuest
from tests.fakes.kubernetes import FakeKeyPairs
from tests.fakes.minio import FakeMinio
from tests.fakes.proxmox import FakeProxmox

SECRETS = ("the-token-secret", "the-root-password", "the-kube-token")
RESOURCES = [r.id for r in load_lake().resources()]


def nobody(tmp_path: Path) -> dict[str, str]:
    """An environment with a site whose every address leads to nobody."""
    kube = tmp_path / "kubeconfig"
    kube.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:4", "insecure-skip-tls-verify": True}}], "users": [{"name": "u", "user": {"token": SECRETS[2]}}],
    }))  # fmt: skip
    site = tmp_path / "site.env"
    site.write_text(
        f"PVE_URL=https://127.0.0.1:1\nPVE_TOKEN_ID=homelake@pve!b\nPVE_TOKEN_SECRET={SECRETS[0]}\nSSH_HOST=127.0.0.1\nSSH_PORT=2\nSSH_USER=debian\n"
        f"S3_ENDPOINT=http://127.0.0.1:3\nS3_ROOT_USER=lakeroot\nS3_ROOT_PASSWORD={SECRETS[1]}\nKUBECONFIG={kube}\n"
    )
    site.chmod(0o600)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "HOMELAKE", "PYTHON"))}
    return kept | {"HOMELAKE_SITE": str(site), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def lake(*argv: str, environment: dict[str, str], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "include.cli", *argv], cwd=ROOT, env=environment, input=stdin or "", capture_output=True, text=True, check=False, timeout=60
    )


def test_nobody_reachable_is_told_in_a_line_for_each_resource_quickly(tmp_path: Path) -> None:
    began = time.monotonic()
    done = lake("plan", environment=nobody(tmp_path))
    took = time.monotonic() - began
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("! ")] == RESOURCES
    causes = [line.strip() for line in lines if line.startswith("    ")]
    assert len(causes) == len(RESOURCES)
    assert all(re.match(r"Unable to (reach|find|trust) .+: .+\. Check .+\.$", c) for c in causes), causes
    assert lines[-1] == f"Plan: {len(RESOURCES)} unreachable."
    assert len(lines) == 2 * len(RESOURCES) + 1
    assert "Traceback" not in done.stderr
    assert not [s for s in SECRETS if s in done.stdout + done.stderr]
    assert took < 20, "seconds: a single time-out of a connection would take longer"


def test_a_mistake_in_the_declaration_is_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "lake.yaml"
    file.write_text("nmae: x\n")
    done = lake("plan", "--file", str(file), environment=nobody(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == f"Unable to read {file}: 6 problems"
    assert "  nmae: unknown key. Did you mean 'name'?" in done.stderr.splitlines()
    assert "Traceback" not in done.stderr


# In this process: importing costs more than all the rest.


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    try:
        code = cli.main(list(argv))
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_nobody_reachable_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in nobody(tmp_path).items():
        monkeypatch.setenv(name, value)
    code, out, _ = run(capsys, "plan", "--json")
    rows = json.loads(out)
    assert code == 1
    assert [(r["resource"], r["status"]) for r in rows] == [(i, "unreachable") for i in RESOURCES]
    assert all(r["error"].startswith("Unable to ") for r in rows)
    assert not [s for s in SECRETS if s in out]


COMMANDS = ["plan", "apply", "status", "doctor", "connections"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: ./lake {command}")
    description = out.split("\n\n")[1]
    assert len(description) > 40
    assert description.rstrip().endswith((".", ")"))


def test_the_tool_explains_itself_with_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for command in (*COMMANDS, "airflow", "lab"):
        assert re.search(rf"^ +{command}\s+\S", out, re.M), command
    assert "exit codes: 0 nothing to do, or done; 2 there are changes (plan, status); 1 an error" in out
    assert "./lake lab up" in out


def test_airflow_without_arguments_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "airflow")
    assert (code, out.splitlines()[0]) == (0, "usage: ./lake airflow ARGUMENT…")


@pytest.mark.parametrize("argv", [[], ["nosuch"], ["plan", "--nosuch"], ["plan", "--file"], ["apply", "--force"], ["status", "bucket/datalake"]])
def test_a_wrong_argument_is_an_error_and_not_there_are_changes(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *argv)
    assert (code, out) == (1, "")
    assert err.startswith("usage: ./lake")
    assert "\nUnable to run ./lake" in err


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HOMELAKE_SITE": "/nonexistent/site.env"}, "Unable to read the site's facts /nonexistent/site.env: there is no such file. Correct HOMELAKE_SITE"),
        ({"AIRFLOW_CONN_PROXMOX": "nonsense"}, None),
    ],
)
def test_a_site_that_is_not_there_is_told(
    environment: dict[str, str], said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (nobody(tmp_path) | environment).items():
        monkeypatch.setenv(name, value)
    code, out, err = run(capsys, "plan", "vm-disk/100/scsi1")
    assert code == 1
    assert (err.startswith(said) and not out) if said else "Unable to read the connection 'proxmox': it is neither Airflow's JSON form nor a URI" in out


class Site:
    """A whole site in memory, as the clients of a command."""

    def __init__(self, *args: Any) -> None:
        self.proxmox, self.host, self.minio = FakeProxmox(), FakeGuest(), FakeMinio()
        self.kubernetes = self.keypair = FakeKeyPairs()
        self.host.sources[str(load_lake().minio_binary.source)] = ("new", ELF, AGPL)
        self.host.locked = self.locked  # type: ignore[attr-defined]
        self.locks, self.closed = list[str](), 0

    def __call__(self, part: str) -> Any:
        return getattr(self, part)

    def locked(self, who: str) -> Any:
        from contextlib import nullcontext

        self.locks.append(who)
        return nullcontext()

    @property
    def writes(self) -> list[str]:
        return [*self.proxmox.writes, *self.host.writes, *self.minio.writes, *self.kubernetes.writes]

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site()
    # One store for root and for the pair's own view.
    for name in ("buckets", "policies", "users"):
        setattr(site.keypair, name, getattr(site.minio, name))
    monkeypatch.setattr(commands, "Clients", lambda *args: site)
    monkeypatch.setattr(commands, "command_line_connections", lambda: None)
    return site


def test_a_fresh_site_from_plan_to_apply_to_nothing_to_do(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plan")
    assert code == 2
    assert out.startswith("+ vm-disk/100/scsi1\n    storage: local-lvm\n    size: 500 GiB\n")
    assert "? filesystem/scsi1  (known after apply)" in out
    assert not site.writes
    assert run(capsys, "status")[0] == 2

    code, out, _ = run(capsys, "apply", "--yes")
    assert code == 0
    assert out.splitlines()[-1] == f"Applied: {len(RESOURCES)} changed, 0 as declared."
    assert site.locks == ["./lake apply"]

    before = list(site.writes)
    code, out, _ = run(capsys, "plan")
    assert (code, out) == (0, f"No changes: the lake is as declared ({len(RESOURCES)} resources).\n")
    code, out, _ = run(capsys, "status")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [[i, "ok"] for i in RESOURCES]
    code, out, _ = run(capsys, "apply")
    assert (code, out.splitlines()[-1]) == (0, f"Applied: 0 changed, {len(RESOURCES)} as declared."), "nothing to approve"
    assert site.locks == ["./lake apply"], "and nobody was locked out for it"
    code, out, _ = run(capsys, "apply", "--json")
    assert (code, [(r["resource"], r["applied"]) for r in json.loads(out)]) == (0, [(i, False) for i in RESOURCES])
    assert site.writes == before, "a second run writes nothing"
    assert site.closed == 7, "every command ends its connections"


def test_drift_is_shown_by_name_and_in_json(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    from include.lake.units import Size

    run(capsys, "apply", "--yes")
    site.minio.buckets["datalake"] = replace(site.minio.buckets["datalake"], quota=Size.parse("7 GiB"))
    code, out, _ = run(capsys, "plan")
    assert (code, out) == (2, f"~ bucket/datalake\n    quota: 7 GiB → 100 GiB\nPlan: 1 to change, {len(RESOURCES) - 1} as declared.\n")
    code, out, _ = run(capsys, "status", "--json")
    assert (code, {k for k, v in json.loads(out).items() if v != "ok"}) == (2, {"bucket/datalake"})
    code, out, _ = run(capsys, "plan", "--json", "bucket/datalake")
    (row,) = json.loads(out)
    assert (code, row["status"], row["changes"]) == (2, "changes", [{"field": "quota", "before": "7 GiB", "after": "100 GiB"}])
    code, out, _ = run(capsys, "apply", "--yes", "--json", "bucket/datalake")
    (row,) = json.loads(out)
    assert (code, row["applied"], row["action"]) == (0, True, "update")


def test_only_the_named_resources_are_looked_at(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plan", "namespace/spark-jobs")
    assert (code, out.splitlines()[0], out.splitlines()[-1]) == (2, "+ namespace/spark-jobs", "Plan: 1 to change.")
    code, _, err = run(capsys, "plan", "bucket/nosuch", "namespace/spark-jobs")
    assert code == 1
    assert err.startswith("Unable to find bucket/nosuch: the declaration has no such resource. It has vm-disk/100/scsi1, ")


def test_a_dangerous_change_needs_force_by_name(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load((ROOT / "include/lake.yaml").read_text())
    content["buckets"][0] |= {"object_lock": False}
    file = tmp_path / "lake.yaml"
    file.write_text(yaml.safe_dump(content))
    assert run(capsys, "apply", "--yes", "--file", str(file))[0] == 0
    content["buckets"][0] |= {"versioning": False}
    file.write_text(yaml.safe_dump(content))
    for force in ([], ["--force", "bucket/other"]):
        code, _, err = run(capsys, "apply", "--yes", "--file", str(file), "bucket/datalake", *force)
        assert code == 1
        assert "it stops keeping the versions that are overwritten. If that is what you want, run again with force naming bucket/datalake." in err
    assert site.minio.buckets["datalake"].versioning
    assert run(capsys, "apply", "--yes", "--file", str(file), "bucket/datalake", "--force", "bucket/datalake")[0] == 0
    assert not site.minio.buckets["datalake"].versioning


def test_without_a_terminal_nobody_can_approve(site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, out, err = run(capsys, "apply")
    assert code == 1
    assert "+ vm-disk/100/scsi1" in out
    assert err == "Unable to apply the plan: nobody is there to approve it. Run it with --yes.\n"
    assert not site.writes


@pytest.mark.parametrize(("answer", "applied"), [("yes\n", True), ("no\n", False), ("y\n", False), ("\n", False), ("\x04", False)])
def test_at_a_terminal_only_yes_goes_on(site: Site, answer: str, applied: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    with open(slave, encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        os.write(master, answer.encode())
        code, _, err = run(capsys, "apply", "namespace/spark-jobs")
    os.close(master)
    assert "Apply it? Only 'yes' goes on: " in err
    assert (code, bool(site.writes)) == ((0, True) if applied else (1, False))
    assert applied or "Unable to apply the plan: it was not approved." in err


def test_stopping_it_is_no_traceback(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*args: Any) -> Any:
        raise KeyboardInterrupt

    site.proxmox.slot = stop  # type: ignore[method-assign]
    assert run(capsys, "plan") == (130, "", "Stopped. What was done stays; run again to go on.\n")


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m include.cli plan | head -c 1"
    done = subprocess.run(["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], cwd=ROOT, env=nobody(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_connections_are_printed_as_a_shell_and_astro_read_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    environment = nobody(tmp_path)
    site = Path(environment["HOMELAKE_SITE"])
    site.write_text(site.read_text().replace(SECRETS[1], 'it\'s $HOME "quoted" \\ and more'))
    monkeypatch.setenv("HOMELAKE_SITE", str(site))
    code, out, _ = run(capsys, "connections")
    assert code == 0
    file = tmp_path / ".env"
    file.write_text(out)
    printed = subprocess.run(["bash", "-c", f'set -a; . {file}; printf "%s" "$AIRFLOW_CONN_MINIO_ADMIN"'], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed)["password"] == 'it\'s $HOME "quoted" \\ and more'


def test_names_of_connections_hold_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOMELAKE_SITE", nobody(tmp_path)["HOMELAKE_SITE"])
    code, out, _ = run(capsys, "connections", "--names")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["proxmox", "lake_host", "minio_admin", "lake_s3", "kubernetes_default"]
    assert "http://127.0.0.1:3" in out
    assert not [s for s in SECRETS if s in out]
