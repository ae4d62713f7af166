"""`./lake` as a person meets it: what it prints, and its exit codes. Addresses are loopback's, where nobody listens."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from include import cli
from include.lake.lake import load_lake
from include.settings import ROOT

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


COMMANDS = ["plan", "apply", "status", "usage", "doctor", "connections"]


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
    assert [line.split()[0] for line in out.splitlines()] == ["proxmox", "lake_host", "minio_admin", "lake_s3", "kubernetes_default", "kafka_default"]
    assert "http://127.0.0.1:3" in out
    assert not [s for s in SECRETS if s in out]
