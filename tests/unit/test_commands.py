"""The commands on a whole site in memory: what they print, what they write, and their exit codes."""

import io
import json
import os
import pty
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.commands import lake as commands
from include.lake.errors import LakeError
from include.lake.units import Size
from include.settings import ROOT
from tests.fakes.site import FakeSite
from tests.unit.test_cli import RESOURCES, run


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    site = FakeSite()
    monkeypatch.setattr(commands, "Clients", lambda *args: site)
    monkeypatch.setattr(commands, "command_line_connections", lambda: None)
    return site


def test_a_fresh_site_from_plan_to_apply_to_nothing_to_do(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_drift_is_shown_by_name_and_in_json(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_what_the_program_cannot_be_made_with_is_told_before_anything_is_made(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    site.host.lacking = LakeError("build", "github.com/minio/minio@v0", "there is no go on this machine", "Install Go 1.24 or newer")
    code, out, err = run(capsys, "plan")
    assert (code, "+ binary/minio" in out) == (2, True)
    assert "Unable to build github.com/minio/minio@v0: there is no go on this machine. Install Go 1.24 or newer." in err
    code, _, err = run(capsys, "apply", "--yes")
    assert (code, "there is no go on this machine" in err) == (1, True)
    assert not site.writes
    assert run(capsys, "apply", "--yes", "vm-disk/100/scsi1")[0] == run(capsys, "plan", "vm-disk/100/scsi1")[0] == 0, "what does not need it can be made"
    site.host.lacking = None
    assert run(capsys, "apply", "--yes")[0] == 0
    site.host.lacking = LakeError("build", "github.com/minio/minio@v0", "there is no go on this machine")
    assert run(capsys, "plan")[::2] == (0, ""), "it is built and in place"


def test_only_the_named_resources_are_looked_at(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plan", "namespace/spark-jobs")
    assert (code, out.splitlines()[0], out.splitlines()[-1]) == (2, "+ namespace/spark-jobs", "Plan: 1 to change.")
    code, _, err = run(capsys, "plan", "bucket/nosuch", "namespace/spark-jobs")
    assert code == 1
    assert err.startswith("Unable to find bucket/nosuch: the declaration has no such resource. It has vm-disk/100/scsi1, ")


def test_a_dangerous_change_needs_force_by_name(site: FakeSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load((ROOT / "include/lake.yaml").read_text())
    content["buckets"][0] |= {"object_lock": False, "lifecycle": []}
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


def test_without_a_terminal_nobody_can_approve(site: FakeSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, out, err = run(capsys, "apply")
    assert code == 1
    assert "+ vm-disk/100/scsi1" in out
    assert err == "Unable to apply the plan: nobody is there to approve it. Run it with --yes.\n"
    assert not site.writes


@pytest.mark.parametrize(("answer", "applied"), [("yes\n", True), ("no\n", False), ("y\n", False), ("\n", False), ("\x04", False)])
def test_at_a_terminal_only_yes_goes_on(
    site: FakeSite, answer: str, applied: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = pty.openpty()
    with open(slave, encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        os.write(master, answer.encode())
        code, _, err = run(capsys, "apply", "namespace/spark-jobs")
    os.close(master)
    assert "Apply it? Only 'yes' goes on: " in err
    assert (code, bool(site.writes)) == ((0, True) if applied else (1, False))
    assert applied or "Unable to apply the plan: it was not approved." in err


def test_stopping_it_is_no_traceback(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*args: Any) -> Any:
        raise KeyboardInterrupt

    site.proxmox.slot = stop  # type: ignore[method-assign]
    assert run(capsys, "plan") == (130, "", "Stopped. What was done stays; run again to go on.\n")


def test_the_declaration_is_read_once(site: FakeSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for command in ("plan", "status"):
        writer = threading.Thread(target=pipe.write_text, args=((ROOT / "include/lake.yaml").read_text(),), daemon=True)
        writer.start()
        assert run(capsys, command, "--file", str(pipe))[0] == 2
        writer.join(5)
