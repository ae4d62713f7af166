"""`./lake remove` on a whole site in memory."""

import io
import json

import pytest

from include.commands import lake as commands
from include.commands import remove as command
from include.lake.lake import load_lake
from include.lake.remove import NOTE
from tests.fakes.site import FakeSite
from tests.unit.test_cli import run
from tests.unit.test_upgrade_command import Terminal

STAYS = ["bucket/datalake", "account/minio-user", "filesystem/scsi1", "vm-disk/100/scsi1"]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> FakeSite:
    """A lake as declared."""
    site = FakeSite()
    for module in (commands, command):
        monkeypatch.setattr(module, "Clients", lambda *args: site)
        monkeypatch.setattr(module, "command_line_connections", lambda: None)
    assert run(capsys, "apply", "--yes")[0] == 0
    site.locks.clear()
    return site


def test_it_shows_what_goes_and_what_stays_takes_it_down_and_then_finds_nothing(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "remove", "--yes", "homelake")
    assert code == 0
    lines = out.splitlines()
    assert lines[:2] == ["- keypair/spark-user", "- service-account/spark-jobs/spark-sa"]
    assert lines[8] == "= bucket/datalake  stays: data; --data bucket/datalake would delete it"
    assert [line.split()[1] for line in lines if line.startswith("= ")] == STAYS
    assert "Removes 8, 4 stay. VM 100 itself is never removed." in lines
    assert lines[-1] == "Removed 8."
    assert site.locks == ["./lake remove"]
    before = list(site.writes)
    code, out, _ = run(capsys, "remove")
    assert (code, out.splitlines()[-1]) == (0, "There is nothing left of homelake but what stays.")
    assert site.writes == before


def test_the_disk_goes_by_name_and_says_what_goes_with_it(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "remove", "--yes", "homelake", "--data", "vm-disk/100/scsi1")
    assert code == 0
    assert "- vm-disk/100/scsi1  with user/spark-user, policy/spark-user, bucket/datalake, filesystem/scsi1" in out.splitlines()
    assert not site.proxmox.slots
    code, out, _ = run(capsys, "remove", "--json", "--data", "vm-disk/100/scsi1")
    assert (code, json.loads(out)) == (0, {"removed": [], "stays": {}})
    assert run(capsys, "remove", "--data", "vm-disk/100/scsi1")[1] == "There is nothing left of homelake.\n"


@pytest.mark.parametrize("answer", ["yes", "homelak", "Homelake", ""])
def test_only_the_lakes_name_goes_on(site: FakeSite, answer: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(site.writes)
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    code, _, err = run(capsys, "remove")
    assert (code, err) == (1, "Type the lake's name, homelake, to go on: Unable to remove the lake homelake: it was not approved.\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("homelake\n"))
    code, _, err = run(capsys, "remove")
    assert (code, err) == (1, "Unable to remove the lake homelake: nobody is there to approve it. Run it with --yes homelake.\n")
    code, _, err = run(capsys, "remove", "--yes", answer or "other")
    assert (code, err) == (1, f"Unable to remove the lake {answer or 'other'}: the lake that is declared is homelake. Run it with --yes homelake.\n")
    assert site.writes == before
    monkeypatch.setattr("sys.stdin", Terminal("homelake\n"))
    assert run(capsys, "remove")[0] == 0


def test_a_locked_object_refuses_it_before_anybody_is_asked(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    site.minio.locked["datalake"] = "rows.parquet: legal hold"
    before = list(site.writes)
    code, _, err = run(capsys, "remove", "--data", "bucket/datalake")
    assert code == 1
    assert err.startswith("Unable to delete bucket/datalake: it holds locked objects (rows.parquet: legal hold). Wait until their retention is over")
    assert site.writes == before
    assert not site.locks


def test_what_a_killed_run_left_is_cleared_without_a_question(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "remove", "--yes", "homelake")
    site.host.notes[NOTE] = f"filesystem/scsi1 {load_lake().mount.uuid}"
    assert run(capsys, "remove")[0] == 0
    assert not site.host.notes
