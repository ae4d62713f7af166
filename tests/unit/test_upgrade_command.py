"""`./lake upgrade` on a whole site in memory."""

import io
import json
from typing import Any

import pytest

from include.adapters import proof
from include.commands import lake as commands
from include.commands import upgrade as command
from include.lake.lake import Lake, load_lake
from tests.fakes.guest import AGPL, ELF
from tests.fakes.site import FakeSite
from tests.fakes.tenant import FakeTenant
from tests.unit.test_cli import run

ALLOWED = {f"{call} datalake" for call in ("put", "get", "list", "multipart", "delete")}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> FakeSite:
    """A lake that runs the program `new`, and is to be upgraded to `newer`."""
    site = FakeSite()
    for module in (commands, command):
        monkeypatch.setattr(module, "Clients", lambda *args: site)
        monkeypatch.setattr(module, "command_line_connections", lambda: None)
    monkeypatch.setattr(proof, "TenantS3", lambda server, pair: FakeTenant(ALLOWED))
    monkeypatch.setattr(proof, "PATIENCE", 0)
    assert run(capsys, "apply", "--yes")[0] == 0
    site.host.sources[str(load_lake().minio_binary.source)] = ("newer", ELF, AGPL)
    site.host.origins["new"] = "another declaration"
    site.locks.clear()
    return site


def test_it_shows_what_it_will_do_does_it_and_then_has_nothing_to_do(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "upgrade", "--yes")
    assert code == 0
    assert out.startswith("~ binary/minio\n    program: new → a program that is still to be built or fetched\n")
    assert "snapshot of VM 100: none (--snapshot takes one)" in out
    assert out.splitlines()[-1] == "Upgraded: new → newer, proven."
    assert "restarting MinIO" in err
    assert site.host.links["minio"] == "newer"
    assert site.locks == ["./lake upgrade"]
    before = list(site.writes)
    code, out, _ = run(capsys, "upgrade")
    assert (code, out) == (0, "Nothing to do: the declared program is in place (newer).\n")
    assert site.writes == before
    assert not site.proxmox.taken


def test_a_snapshot_is_taken_before_anything_is_touched_and_told(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    site.host.broken = {"newer"}
    code, out, err = run(capsys, "upgrade", "--yes", "--snapshot")
    (name,) = site.proxmox.taken
    assert code == 1
    assert f"snapshot of VM 100: {name}\n" in out
    assert name.startswith("homelake-20")
    assert "is back in place, serves, and was proven" in err
    assert site.host.links["minio"] == "new"
    site.host.broken = set()
    site.proxmox.taken.clear()
    code, out, _ = run(capsys, "upgrade", "--yes", "--snapshot", "--json")
    (name,) = site.proxmox.taken
    assert (code, json.loads(out)) == (0, {"before": "new", "after": "newer", "changed": True, "snapshot": name})


def test_without_approval_nothing_is_touched(site: FakeSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(site.writes)
    for stdin in (io.StringIO(), io.StringIO("yes\n")):
        monkeypatch.setattr("sys.stdin", stdin)
        code, _, err = run(capsys, "upgrade")
        assert (code, err) == (1, "Unable to upgrade binary/minio: nobody is there to approve it. Run it with --yes.\n")
    monkeypatch.setattr("sys.stdin", Terminal("no\n"))
    code, _, err = run(capsys, "upgrade")
    assert code == 1
    assert err.endswith("Unable to upgrade binary/minio: it was not approved.\n")
    assert site.writes == before
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert run(capsys, "upgrade")[0] == 0


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


def test_a_user_who_cannot_work_is_no_start_for_an_upgrade(site: FakeSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "TenantS3", lambda server, pair: FakeTenant(ALLOWED - {"put datalake"}))
    code, _, err = run(capsys, "upgrade", "--yes")
    assert code == 1
    assert "write an object to datalake was refused" in err
    assert "switch" not in site.host.writes[-2:]


def test_where_the_jobs_bucket_keeps_what_is_written_no_object_is(site: FakeSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tenants: list[FakeTenant] = []

    def tenant(server: Any, pair: Any) -> FakeTenant:
        tenants.append(FakeTenant(ALLOWED, keeping=frozenset({"datalake"})))
        return tenants[-1]

    monkeypatch.setattr(proof, "TenantS3", tenant)
    monkeypatch.setattr(Lake, "keeps", lambda lake, bucket: bucket == "datalake")
    assert run(capsys, "upgrade", "--yes")[0] == 0
    assert tenants
    assert not any(t.things for t in tenants)


def test_the_proof_is_tried_again_while_minio_wakes(site: FakeSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[Any] = []

    def tenant(server: Any, pair: Any) -> FakeTenant:
        tries.append(pair)
        return FakeTenant(ALLOWED if len(tries) > 2 else set())

    monkeypatch.setattr(proof, "TenantS3", tenant)
    monkeypatch.setattr(proof, "PATIENCE", 60)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert run(capsys, "upgrade", "--yes")[0] == 0
    assert len(tries) == 4
