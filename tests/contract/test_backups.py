"""The contract of BackupClient and RestoreClient. The real one backs up a small VM that runs without a system: the lake's VM is left alone."""

import time
from collections.abc import Iterator

import pytest

from include.adapters.backups import Backups
from include.adapters.proxmox import Proxmox
from include.connections import Connection
from include.lake.backup import Backup, Keeping, started
from include.lake.errors import LakeError
from include.lake.restore import Mark, first_card, unplugged
from include.lake.secret import Secret
from tests.contract.real import Parts
from tests.fakes.backups import FakeBackups

MARK = Mark("contract", 100, "local:backup/none", 1)
NOTES = "Homelake: lake contract, declaration 0123abcd"


def silent(line: str) -> None:
    pass


class Fake:
    """A new fake for each test."""

    def clear(self) -> None:
        self.client = FakeBackups()
        self.vmid, self.new = 100, 110
        self.client.vms[100].running = False

    def close(self) -> None:
        pass

    def free(self) -> str:
        return "10.0.0.77"


class Real:
    """A VM behind the lab's stand-in, with the administrator's token."""

    needs = "parts"

    def __init__(self, parts: Parts) -> None:
        self.lab = parts.lab
        secret = Secret(self.lab["PVE_TOKEN_SECRET"])
        proxmox = Proxmox(Connection("proxmox", "proxmox", self.lab["PVE_URL"], self.lab["PVE_TOKEN_ID"], secret, None, {"ca": self.lab["PVE_CA"]}))
        self.call, self.client = proxmox.call, Backups(proxmox, parts.clients.connections)
        self.proxmox = proxmox
        for left in self.call("get", "nodes/pve/qemu"):
            if str(left.get("name")).startswith("contract-backup"):  # of a run that was killed
                self._destroy(left["vmid"])
        self.vmid = max(v["vmid"] for v in self.call("get", "nodes/pve/qemu")) + 2000
        self.new = self.vmid + 1
        self._wait(self.call("post", "nodes/pve/qemu", vmid=self.vmid, name="contract-backup", memory=64, scsihw="virtio-scsi-single", scsi0="local-lvm:1",
                             net0="virtio,bridge=vmbr0", agent=1))  # fmt: skip

    def _wait(self, upid: str | None) -> None:
        self.proxmox.task("pve", upid)

    def _destroy(self, vmid: int) -> None:
        for backup in self.client.backups("pve", "local", vmid):
            self.call("put", f"nodes/pve/storage/local/content/{backup.volid}", protected=0)
            self.client.remove_backup("pve", backup.volid)
        if vmid in {v["vmid"] for v in self.call("get", "nodes/pve/qemu")}:
            self._wait(self.call("post", f"nodes/pve/qemu/{vmid}/status/stop"))
            self._wait(self.call("delete", f"nodes/pve/qemu/{vmid}"))

    def clear(self) -> None:
        self._destroy(self.new)
        for backup in self.client.backups("pve", "local", self.vmid):
            self.client.remove_backup("pve", backup.volid)

    def close(self) -> None:
        self._destroy(self.vmid)

    def free(self) -> str:
        return self.lab["SSH_HOST"].rpartition(".")[0] + ".77"


Rig = Fake | Real


def made(rig: Rig, notes: str = NOTES) -> Backup:
    before = {b.volid for b in rig.client.backups("pve", "local", rig.vmid)}
    if isinstance(rig, Real) and before:
        time.sleep(1.1)  # a backup's name has seconds
    rig.client.follow("pve", rig.client.start_backup("pve", rig.vmid, "local", "snapshot", notes), silent)
    (new,) = [b for b in rig.client.backups("pve", "local", rig.vmid) if b.volid not in before]
    return new


def test_a_backup_is_listed_with_what_is_known_of_it(rig: Rig) -> None:
    assert rig.client.backups("pve", "local", rig.vmid) == []
    said = list[str]()
    upid = rig.client.start_backup("pve", rig.vmid, "local", "snapshot", NOTES)
    rig.client.follow("pve", upid, said.append)
    (backup,) = rig.client.backups("pve", "local", rig.vmid)
    assert (backup.vmid, backup.notes, backup.lake, backup.declaration, backup.protected) == (rig.vmid, NOTES, "contract", "0123abcd", False)
    assert backup.made >= started(upid)
    assert backup.volid.startswith(f"local:backup/vzdump-qemu-{rig.vmid}-")
    assert said
    rig.client.remove_backup("pve", backup.volid)
    assert rig.client.backups("pve", "local", rig.vmid) == []


@pytest.mark.long
def test_a_backup_that_goes_on_is_found_by_its_task(rig: Rig) -> None:
    assert rig.client.running("pve", rig.vmid, "vzdump") is None
    upid = rig.client.start_backup("pve", rig.vmid, "local", "snapshot", NOTES)
    assert rig.client.running("pve", rig.vmid, "vzdump") in (upid, None), "None: over already"
    assert rig.client.running("pve", rig.vmid, "qmrestore") is None
    assert rig.client.running("pve", rig.vmid + 7, "vzdump") is None
    rig.client.follow("pve", upid, silent)
    assert rig.client.running("pve", rig.vmid, "vzdump") is None


def test_keeping_makes_finds_and_prunes(rig: Rig) -> None:
    keeping = Keeping("contract", "0123abcd", "pve", rig.vmid, "local", 1)
    foreign = made(rig, "nightly")
    if isinstance(rig, Real):
        time.sleep(1.1)
    first = keeping.back_up(rig.client, "snapshot", silent)
    if isinstance(rig, Real):
        time.sleep(1.1)
    second = keeping.back_up(rig.client, "snapshot", silent)
    assert keeping.prune(rig.client, silent) == [first.volid]
    assert {b.volid for b in rig.client.backups("pve", "local", rig.vmid)} == {foreign.volid, second.volid}
    assert keeping.choose(rig.client) == second


def test_a_restore_makes_a_vm_with_what_is_given_and_unplugged(rig: Rig) -> None:
    backup, client = made(rig), rig.client
    saved = client.archived("pve", backup.volid)
    card, mac = first_card(saved, rig.vmid)
    assert not client.taken(rig.new)
    assert client.settings("pve", rig.new) is None
    settings = {"name": "contract-backup-restored", "description": str(MARK), "onboot": "0", card: "virtio,bridge=vmbr0,link_down=1"}
    client.follow("pve", client.start_restore("pve", rig.new, backup.volid, "local-lvm", settings), silent)
    assert client.taken(rig.new)
    there = client.settings("pve", rig.new)
    assert there is not None
    assert (there["name"], Mark.read(there["description"]), there["onboot"], there["agent"]) == (settings["name"], MARK, "0", "1")
    assert unplugged(there[card])
    assert first_card(there, rig.new)[1] != mac
    assert "lock" not in there
    assert client.power_on("pve", rig.new)
    assert not client.power_on("pve", rig.new), "it runs already"
    client.change("pve", rig.new, {card: there[card].replace(",link_down=1", ""), "description": f"{MARK}\nAddress: 10.0.0.30"})
    after = client.settings("pve", rig.new)
    assert after is not None
    assert not unplugged(after[card])
    assert first_card(after, rig.new) == first_card(there, rig.new)
    assert Mark.read(after["description"]) == Mark("contract", 100, "local:backup/none", 1, "10.0.0.30")


def test_a_restore_to_a_vm_that_exists_is_an_error(rig: Rig) -> None:
    backup = made(rig)
    with pytest.raises(LakeError, match="already exists"):
        rig.client.start_restore("pve", rig.vmid, backup.volid, "local-lvm", {})


def test_nothing_answers_at_a_free_address(rig: Rig) -> None:
    assert not rig.client.occupied(rig.free())
    own = rig.client.own_addresses()
    assert own
    if isinstance(rig, Fake):
        rig.client.vms[100].running = True
    assert all(rig.client.occupied(a) for a in own)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tasks of a VM this small take less than a second."""
    from include.adapters import backups

    monkeypatch.setattr(backups, "PAUSE", 0.1)
    yield


def test_what_a_client_must_have_is_had_by_both() -> None:
    from include.lake.backup import BackupClient
    from include.lake.restore import RestoreClient

    names = {n for kind in (BackupClient, *RestoreClient.__mro__) for n in vars(kind) if not n.startswith("_")}
    for kind in (Backups, FakeBackups):
        assert [n for n in sorted(names) if not callable(getattr(kind, n, None))] == []
