"""`./lake backup` and `./lake restore`, and the tasks of their DAGs, on a site in memory."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from include.adapters import restored
from include.adapters.restored import parse_address
from include.commands import backup as commands
from include.connections import Connection
from include.lake.equal import Version
from include.lake.errors import LakeError
from include.lake.lake import load_lake
from include.lake.site import restore_privileges
from include.operators import backup as operators
from tests.fakes.backups import FakeBackups, FakeStore
from tests.unit.test_cli import run

LAKE = load_lake()
OBJECT = Version("datalake", "a", "v1", False, 10, 3)


class Parts:
    """The clients of a site: Proxmox VE with backups, and a MinIO on either side."""

    def __init__(self) -> None:
        self.backups: Any = FakeBackups()
        self.stores = {"": FakeStore({OBJECT: b"abc"}), "10.0.0.30": FakeStore({OBJECT: b"abc"})}
        self.backups.store, self.backups.copy = lambda: self.stores[""], lambda vmid, address: self.stores[address]
        self.proxmox = SimpleNamespace(call=self.call)
        self.held: dict[str, Any] | None = None
        self.closed = 0

    def call(self, method: str, path: str, /, **params: Any) -> Any:
        if path == "version":
            return {"version": "8.4.1"}
        assert path == "access/permissions"
        archived = {"net0": "virtio,bridge=vmbr0"}
        all_of_it = {p: dict.fromkeys(needed, 1) for p, (_, needed) in restore_privileges(110, "local-lvm", archived, "8").items()}
        return all_of_it if self.held is None else self.held

    def connections(self, name: str) -> Connection:
        return Connection(name, name, login="homelake@pve!bootstrap")

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    parts = Parts()
    monkeypatch.setattr(commands, "Clients", lambda *args: parts)
    monkeypatch.setattr(commands, "command_line_connections", lambda: None)
    return parts


def test_from_a_backup_to_a_proven_restore(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "backup", "--list")
    assert (code, out) == (0, "There is no backup yet.\n")
    code, out, _ = run(capsys, "backup")
    assert code == 0
    assert out.startswith("Backed up: local:backup/vzdump-qemu-100-")
    assert f"lake homelake, declaration {LAKE.spec.digest()}" in out
    code, out, _ = run(capsys, "backup", "--list", "--json")
    (row,) = json.loads(out)
    assert (code, row["vmid"], row["lake"]) == (0, 100, "homelake")
    code, out, _ = run(capsys, "restore", "--vmid", "110", "--address", "10.0.0.30/24", "--verify")
    assert code == 0
    assert out.splitlines() == [
        f"Restored: VM 110 answers at 10.0.0.30, from {row['backup']}.",
        "Proven: 1 versions and 0 delete markers are there, 1 bodies (0.0 MiB) are byte-equal.",
    ]
    writes = list(parts.backups.writes)
    code, out, _ = run(capsys, "restore", "--vmid", "110", "--address", "10.0.0.30/24", "--verify", "--sample", "50", "--json")
    assert (code, json.loads(out)["address"], json.loads(out)["proof"]["versions"]) == (0, "10.0.0.30", 1)
    assert parts.backups.writes == writes
    assert parts.closed == 5


def test_other_bytes_are_an_error(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "backup")
    parts.stores["10.0.0.30"].bodies[OBJECT] = b"abd"
    code, _, err = run(capsys, "restore", "--vmid", "110", "--address", "10.0.0.30/24", "--verify")
    assert code == 1
    assert "Unable to prove that the restored lake is the original's: datalake/a (version v1) has other bytes. The backup is not a whole copy" in err
    assert run(capsys, "restore", "--vmid", "110", "--address", "10.0.0.30/24")[0] == 0, "nothing is compared unless it is asked for"


def test_a_token_without_rights_is_told_the_lines_before_anything_is_made(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "backup")
    parts.held, before = {"/vms/110": {"VM.Audit": 1}}, list(parts.backups.writes)
    code, _, err = run(capsys, "restore", "--vmid", "110", "--address", "10.0.0.30/24")
    assert code == 1
    assert "pveum acl modify /vms/110 --roles HomelakeRestored " in err
    assert "pveum acl modify /sdn/zones/localnetwork/vmbr0 --roles HomelakeBridge " in err
    assert parts.backups.writes == before


@pytest.mark.parametrize("words", [
    ("--vmid", "99", "--address", "10.0.0.30/24"), ("--vmid", "110", "--address", "10.0.0.30"), ("--vmid", "110", "--address", "10.0.0.0/24"),
    ("--vmid", "110", "--address", "10.0.0.255/24"), ("--vmid", "110", "--address", "fd00::1/64"), ("--vmid", "110", "--address", "elsewhere"),
    ("--vmid", "110", "--address", "10.0.0.30/32"),
])  # fmt: skip
def test_bad_input_is_one_clear_line(parts: Parts, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "backup")
    code, out, err = run(capsys, "restore", *words)
    assert (code, out) == (1, "")
    assert "Unable to re" in err
    assert parts.backups.writes == ["start_backup"]


@pytest.mark.parametrize("share", ["0", "101", "many", ""])
def test_a_share_is_a_percentage(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "restore", "--vmid", "110", "--address", "dhcp", "--sample", share)
    assert code == 1
    assert "write it as '80 %'" in err


def test_addresses() -> None:
    assert str(parse_address(" 10.0.0.30/24 ")) == "10.0.0.30/24"
    assert parse_address("DHCP") is None


# The DAGs' tasks


def context(**params: Any) -> Any:
    return {"params": params}


def test_the_tasks_of_the_dags(parts: Parts) -> None:
    made = operators.BackUpOperator(task_id="back_up", lake=LAKE).work(context(mode="snapshot"), parts)  # type: ignore[arg-type]
    assert made["backup"].startswith("local:backup/vzdump-qemu-100-")
    assert operators.PruneBackupsOperator(task_id="prune", lake=LAKE).work(context(), parts) == []  # type: ignore[arg-type]
    wanted = context(vmid=110, address="10.0.0.30/24", backup=None, verify=True, sample=100)
    done = operators.RestoreOperator(task_id="restore", lake=LAKE).work(wanted, parts)  # type: ignore[arg-type]
    assert done == {"vmid": 110, "address": "10.0.0.30", "backup": made["backup"], "made": made["made"]}
    prove = operators.ProveOperator(task_id="verify", restored=done)
    assert prove.work(wanted, parts)["bodies"] == 1  # type: ignore[arg-type]
    with pytest.raises(AirflowSkipException):
        prove.work(context(verify=False, sample=100), parts)  # type: ignore[arg-type]
    for name, value in (("vmid", None), ("address", "")):
        with pytest.raises(LakeError, match=f"the run has no {name}"):
            operators.RestoreOperator(task_id="again", lake=LAKE).work({"params": wanted["params"] | {name: value}}, parts)  # type: ignore[arg-type]


def test_a_backup_that_was_pruned_since_can_still_be_proven(parts: Parts) -> None:
    report = restored.prove(parts, {"vmid": 110, "backup": "local:backup/gone", "made": 50, "address": "10.0.0.30"}, lambda line: None)  # type: ignore[arg-type]
    assert report.versions == 1
    assert restored.prove(parts, {"vmid": 110, "backup": "local:backup/gone", "made": 10, "address": "10.0.0.30"}, print).versions == 0  # type: ignore[arg-type]


def test_a_sample_without_a_comparison_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "restore", "--vmid", "110", "--address", "dhcp", "--sample", "5%")
    assert code == 1
    assert err.startswith("Unable to restore a backup: --sample says how much --verify compares")
