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

from include import arguments, cli
from include.lake.lake import load_lake
from include.lake.stream_log import TABLES
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


@pytest.mark.parametrize("argv", [[], ["nosuch"], ["plan", "--nosuch"], ["plan", "--file"], ["apply", "--force"], ["status", "bucket/datalake"],
                                  ["history", "--port", "99999"], ["history", "--port", "-1"], ["history", "--port", "x"]])  # fmt: skip
def test_a_wrong_argument_is_an_error_and_not_there_are_changes(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *argv)
    assert (code, out) == (1, "")
    assert err.startswith("usage: ./lake")
    assert "\nUnable to run ./lake" in err


@pytest.mark.parametrize(
    ("words", "usage", "said"),
    [
        ("pln", "./lake [-h] COMMAND", "Unable to run ./lake: argument COMMAND: there is no 'pln'. Did you mean 'plan'? See ./lake --help."),
        ("xyzzy", "./lake [-h] COMMAND", "there is no 'xyzzy'. Known are plan, apply, "),
        ("plan --josn", "./lake plan [-h]", "Unable to run ./lake plan: it has no --josn. Did you mean '--json'? See ./lake plan --help."),
        ("status bucket/datalake", "./lake status [-h]", "Unable to run ./lake status: it has no bucket/datalake. See ./lake status --help."),
        (
            "stream sttaus",
            "./lake stream [-h]",
            "Unable to run ./lake stream: argument what: there is no 'sttaus'. Did you mean 'status'? See ./lake stream --help.",
        ),
        ("plan --js", "./lake plan [-h]", "it has no --js."),
        ("restore --vmid x", "./lake restore [-h]", "Unable to run ./lake restore: argument --vmid: invalid int value: 'x'. See ./lake restore --help."),
    ],
)
def test_a_wrong_word_is_told_with_its_own_usage_and_what_was_meant(words: str, usage: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *words.split())
    assert code == 1
    assert err.startswith(f"usage: {usage}")
    assert said in err


def test_every_command_has_examples_that_are_accepted_and_its_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    parser = arguments.parser()
    commands = next(a.choices for a in parser._actions if a.dest == "command")
    assert set(arguments.MORE) == set(commands) - {"airflow", "lab"}
    for name, (_, examples) in arguments.MORE.items():
        _, out, _ = run(capsys, name, "--help")
        last = out.rstrip().rpartition("\n\n")[2]
        assert re.match(r"exit codes: \d+ ", last), name
        for words in examples:
            assert words.split()[0] == name
            assert f"  ./lake {words}\n" in out
            assert arguments.parse(words.split()).run


def test_tables_in_the_help_are_those_that_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "stream", "--help")
    assert f"of files: {', '.join(TABLES)}" in " ".join(out.split())
    assert "raises" not in run(capsys, "audit", "--help")[1].lower()


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


@pytest.mark.parametrize("words", ["plan", "connections", "--help", "plan --help"])
def test_a_reader_that_is_gone_before_the_first_word_is_told_nothing(words: str, tmp_path: Path) -> None:
    command = f"{{ sleep 0.2; {sys.executable} -m include.cli {words}; echo $? >&2; }} | true"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=nobody(tmp_path), capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "1"


@pytest.mark.parametrize("words", ["connections", "--help", "plan --help"])
def test_a_full_disk_is_told(words: str, tmp_path: Path) -> None:
    done = subprocess.run(["bash", "-c", f"{sys.executable} -m include.cli {words} >/dev/full"], cwd=ROOT, env=nobody(tmp_path), capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "Unable to write the output: No space left on device. Make room, or write elsewhere.\n")
    done = subprocess.run(["bash", "-c", f"{sys.executable} -m include.cli {words} >&-"], cwd=ROOT, env=nobody(tmp_path), capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


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


def test_names_of_connections_show_no_password_of_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    environment = nobody(tmp_path)
    site = Path(environment["HOMELAKE_SITE"])
    site.write_text(site.read_text().replace("https://", "https://u:SECRETZ@").replace("http://", "http://SECRETZ@"))
    monkeypatch.setenv("HOMELAKE_SITE", str(site))
    code, out, _ = run(capsys, "connections", "--names")
    assert (code, "SECRETZ" in out) == (0, False)
    assert "https://127.0.0.1:1" in out


def test_a_connection_of_the_environment_is_shown_in_the_sites_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMELAKE_SITE", nobody(tmp_path)["HOMELAKE_SITE"])
    monkeypatch.setenv("AIRFLOW_CONN_PROXMOX", '{"conn_type": "proxmox", "host": "https://mine:8006"}')
    for more in ([], ["--names"]):
        code, out, _ = run(capsys, "connections", *more)
        assert (code, "https://mine:8006" in out, "https://127.0.0.1:1" in out) == (0, True, False)
    monkeypatch.setenv("AIRFLOW_CONN_PROXMOX", "nonsense")
    code, _, err = run(capsys, "connections", "--names")
    assert (code, err.startswith("Unable to read the connection 'proxmox'")) == (1, True)
