"""The contract of ProxmoxClient. The real one is a small VM that runs without a system, made for it: the lake's VM is left alone."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import requests

from include.adapters.proxmox import Proxmox
from include.connections import Connection
from include.lake.errors import LakeError, Refused
from include.lake.resource import ensure, plan
from include.lake.resources.vm_disk import FLAGS, SlotFacts, VmDisk, VmDiskState
from include.lake.secret import Secret
from include.lake.units import Size
from tests.contract.real import Parts
from tests.fakes.proxmox import FakeProxmox

GIB = 2**30
STATE = VmDiskState("local-lvm", Size(2 * GIB), ssd=True, discard=True, backup=True, iothread=True)
PLAIN = {"ssd": False, "discard": False, "backup": True, "iothread": False}  # what Proxmox takes for a flag that is left out
SLOT = "scsi4"


class Fake:
    """A new fake for each test."""

    def clear(self) -> None:
        self.client = FakeProxmox()
        self.at = ("pve", self.client.vmid, SLOT)

    def close(self) -> None:
        pass

    def take(self, what: str) -> None:
        """Put something into the slot that is not a disk of the VM."""
        self.client.foreign.add(SLOT)

    def volumes(self) -> int:
        """How many volumes the VM has."""
        return len({*self.client.slots, *self.client.queued})

    @contextmanager
    def without_hotplug(self) -> Iterator[None]:
        """In the block the VM takes on no disk as it runs, and lets none go."""
        self.client.hotplug = False
        yield
        self.client.hotplug = True

    def delete_later(self) -> None:
        """Ask by hand for the disk to be taken off, without hotplug."""
        self.client.leaving.add(SLOT)

    def restart(self) -> None:
        """Stop the VM and start it."""
        self.client.restart()

    @contextmanager
    def unwritten(self) -> Iterator[None]:
        """The part's own record shows no writing call in the block."""
        before = list(self.client.writes)
        yield
        assert self.client.writes == before


class Real:
    """A VM behind the lab's stand-in: real QEMU. Bare calls of the API make the states."""

    needs = "parts"

    def __init__(self, parts: Parts) -> None:
        self.lab = parts.lab
        token, secret = self.lab["PVE_TOKEN_ID"], self.lab["PVE_TOKEN_SECRET"]
        self.headers = {"Authorization": f"PVEAPIToken={token}={secret}"}
        self.client = Proxmox(Connection("proxmox", "proxmox", self.lab["PVE_URL"], token, Secret(secret), None, {"ca": self.lab["PVE_CA"]}))
        for left in self.call("GET", "/qemu"):
            if left.get("name") == "contract":  # of a run that was killed
                self._destroy(left["vmid"])
        self.vmid = max(v["vmid"] for v in self.call("GET", "/qemu")) + 1000
        self.at = ("pve", self.vmid, SLOT)
        self.call("POST", "/qemu", vmid=self.vmid, name="contract", memory=64, scsihw="virtio-scsi-single")
        self.call("POST", f"/qemu/{self.vmid}/status/start")

    def call(self, method: str, path: str, **data: Any) -> Any:
        """A bare API call; its task is waited for."""
        url = f"{self.lab['PVE_URL']}/api2/json/nodes/pve{path}"
        given = {"params" if method == "GET" else "data": data}
        answer = requests.request(method, url, headers=self.headers, verify=self.lab["PVE_CA"], timeout=60, **given)
        assert answer.status_code == 200, f"{method} {path}: {answer.reason}"
        result = answer.json()["data"]
        if str(result).startswith("UPID:"):
            while (task := self.call("GET", f"/tasks/{result}/status"))["status"] == "running":
                time.sleep(0.05)
            assert task["exitstatus"] == "OK", task
        return result

    def _disks(self) -> list[str]:
        return [k for k in self.call("GET", f"/qemu/{self.vmid}/config") if k.startswith(("scsi", "unused")) and k != "scsihw"]

    def clear(self) -> None:
        if self._disks():
            self.call("POST", f"/qemu/{self.vmid}/status/stop")  # without a system it does not let go of a disk
            for taken in self.call("GET", f"/qemu/{self.vmid}/snapshot"):
                if taken["name"] != "current":  # it holds the disks
                    self.call("DELETE", f"/qemu/{self.vmid}/snapshot/{taken['name']}")
            for _ in range(2):  # a disk that is taken off stays as `unused0`, and goes with that
                for key in self._disks():
                    self.call("PUT", f"/qemu/{self.vmid}/config", delete=key)
            for volume in self.call("GET", "/storage/local-lvm/content", vmid=self.vmid + 1):
                self.call("DELETE", f"/storage/local-lvm/content/{volume['volid']}")
            self.call("POST", f"/qemu/{self.vmid}/status/start")

    def close(self) -> None:
        self._destroy(self.vmid)

    def _destroy(self, vmid: int) -> None:
        self.call("POST", f"/qemu/{vmid}/status/stop")
        self.call("DELETE", f"/qemu/{vmid}")

    def take(self, what: str) -> None:
        value = "none,media=cdrom"
        if what == "another VM's volume":
            value = self.call("POST", "/storage/local-lvm/content", vmid=self.vmid + 1, filename=f"vm-{self.vmid + 1}-disk-0", size="1G")
        self.call("PUT", f"/qemu/{self.vmid}/config", **{SLOT: value})

    def volumes(self) -> int:
        return len(self.call("GET", "/storage/local-lvm/content", vmid=self.vmid))

    @contextmanager
    def without_hotplug(self) -> Iterator[None]:
        self.call("PUT", f"/qemu/{self.vmid}/config", hotplug="network")
        try:
            yield
        finally:
            self.call("PUT", f"/qemu/{self.vmid}/config", delete="hotplug")

    def delete_later(self) -> None:
        self.call("PUT", f"/qemu/{self.vmid}/config", delete=SLOT)

    def restart(self) -> None:
        self.call("POST", f"/qemu/{self.vmid}/status/stop")
        self.call("POST", f"/qemu/{self.vmid}/status/start")

    @contextmanager
    def unwritten(self) -> Iterator[None]:
        log = self.lab.state / "pve" / "access.log"
        start = log.stat().st_size
        yield
        with open(log) as file:
            file.seek(start)
            methods = {line.split()[2] for line in file}
        assert methods == {"GET"}, "something was written, or nothing recorded"


Rig = Fake | Real


def look(rig: Rig) -> SlotFacts:
    facts = rig.client.slot(*rig.at)
    assert facts
    return facts


def test_an_empty_slot_is_absent_and_looking_writes_nothing(rig: Rig) -> None:
    with rig.unwritten():
        assert rig.client.slot(*rig.at) is None
        assert rig.client.scsihw(*rig.at[:2]) == "virtio-scsi-single"


def test_a_disk_is_as_it_was_added(rig: Rig) -> None:
    rig.client.add_disk(*rig.at, STATE)
    with rig.unwritten():
        facts = look(rig)
    assert (facts.state, facts.pending) == (STATE, {})
    assert facts.volume.startswith(f"local-lvm:vm-{rig.at[1]}-disk-")


def test_flags_left_out_are_as_proxmox_takes_them(rig: Rig) -> None:
    rig.client.add_disk(*rig.at, VmDiskState("local-lvm", Size(GIB)))
    assert look(rig).state == VmDiskState("local-lvm", Size(GIB), **PLAIN)


def test_a_second_disk_in_the_slot_is_refused(rig: Rig) -> None:
    rig.client.add_disk(*rig.at, STATE)
    before = look(rig)
    with pytest.raises(Refused):
        rig.client.add_disk(*rig.at, replace(STATE, size=Size(GIB)))
    assert look(rig) == before
    assert rig.volumes() == 1


def test_a_disk_grows_and_never_shrinks(rig: Rig) -> None:
    rig.client.add_disk(*rig.at, STATE)
    larger = replace(look(rig), state=replace(STATE, size=Size(3 * GIB)))
    for _ in range(2):  # growing to the size it has is no change
        rig.client.grow(*rig.at, Size(3 * GIB))
        assert look(rig) == larger
    with pytest.raises(LakeError, match="shrink"):
        rig.client.grow(*rig.at, Size(2 * GIB))
    assert look(rig) == larger


def test_a_flag_waits_for_the_restart_with_all_others(rig: Rig) -> None:
    rig.client.add_disk(*rig.at, STATE)
    for _ in range(2):
        rig.client.set_flags(*rig.at, {"ssd": False})
        facts = look(rig)
        assert (facts.state, facts.pending) == (STATE, {f: f != "ssd" for f in FLAGS})
    rig.client.set_flags(*rig.at, {"discard": False})  # what waits already goes on waiting
    assert look(rig).pending == {"ssd": False, "discard": False, "backup": True, "iothread": True}
    rig.client.grow(*rig.at, Size(3 * GIB))
    rig.restart()
    facts = look(rig)
    assert (facts.state, facts.pending) == (replace(STATE, size=Size(3 * GIB), ssd=False, discard=False), {})


def test_a_flag_taken_back_waits_no_more(rig: Rig) -> None:
    rig.client.add_disk(*rig.at, STATE)
    rig.client.set_flags(*rig.at, {"ssd": False})
    rig.client.set_flags(*rig.at, {"ssd": True})
    assert (look(rig).state, look(rig).pending) == (STATE, {})


def test_backup_holds_at_once(rig: Rig) -> None:
    rig.client.add_disk(*rig.at, STATE)
    rig.client.set_flags(*rig.at, {"backup": False})
    assert (look(rig).state, look(rig).pending) == (replace(STATE, backup=False), {})


@pytest.mark.parametrize("what", ["a CD-ROM", "another VM's volume"])
def test_what_is_not_a_disk_of_the_vm_is_refused(rig: Rig, what: str) -> None:
    rig.take(what)
    with pytest.raises(Refused):
        rig.client.slot(*rig.at)
    with pytest.raises(Refused):
        rig.client.add_disk(*rig.at, STATE)
    with pytest.raises(Refused):
        ensure(VmDisk(*rig.at, STATE), rig.client, force={f"vm-disk/{rig.at[1]}/{SLOT}"})


def test_what_is_not_there_is_an_error_and_never_absent(rig: Rig) -> None:
    for call in (lambda: rig.client.grow(*rig.at, Size(GIB)), lambda: rig.client.set_flags(*rig.at, {"ssd": True}),
                 lambda: rig.client.slot("pve", 99999, SLOT), lambda: rig.client.scsihw("pve", 99999),
                 lambda: rig.client.add_disk(*rig.at, replace(STATE, storage="nowhere"))):  # fmt: skip
        with pytest.raises(LakeError) as caught:
            call()
        assert not isinstance(caught.value, Refused)
    assert rig.client.slot(*rig.at) is None


@pytest.mark.parametrize(("start", "fields", "waits"), [
    (None, {"storage", "size", *FLAGS}, set()),
    (STATE, set(), set()),
    (replace(STATE, backup=False), {"backup"}, set()),
    (replace(STATE, size=Size(GIB), ssd=False, iothread=False), {"size", "ssd", "iothread"}, {"ssd", "iothread"}),
], ids=["empty", "as declared", "not in backups", "smaller, other flags"])  # fmt: skip
def test_the_law_holds(rig: Rig, start: VmDiskState | None, fields: set[str], waits: set[str]) -> None:
    if start:
        rig.client.add_disk(*rig.at, start)
    disk = VmDisk(*rig.at, STATE)
    assert ensure(disk, rig.client).plan.fields() == fields
    again, _ = plan(disk, rig.client)
    assert (again.fields(), {c.field for c in again.pending}) == (set(), waits)
    rig.restart()
    after, state = plan(disk, rig.client)
    assert (after.changes, after.pending, state) == ((), (), STATE)


def test_snapshots(rig: Rig) -> None:
    before = rig.client.snapshots(*rig.at[:2])
    rig.client.take_snapshot(*rig.at[:2], "homelake-20260102-030405", "before something")
    assert sorted(rig.client.snapshots(*rig.at[:2])) == sorted([*before, "homelake-20260102-030405"])
    with pytest.raises(LakeError, match="already used"):
        rig.client.take_snapshot(*rig.at[:2], "homelake-20260102-030405", "once more")


def test_a_larger_disk_is_refused(rig: Rig) -> None:
    rig.client.add_disk(*rig.at, replace(STATE, size=Size(3 * GIB)))
    with rig.unwritten(), pytest.raises(Refused, match="never shrinks"):
        ensure(VmDisk(*rig.at, STATE), rig.client)


def test_a_disk_goes_with_its_volume(rig: Rig) -> None:
    before = rig.volumes()
    assert rig.client.holding(*rig.at) == []
    rig.client.remove_disk(*rig.at)  # none: no error
    rig.client.add_disk(*rig.at, STATE)
    gone = VmDisk(*rig.at, None)
    with rig.unwritten(), pytest.raises(Refused, match="deletes the disk with all that is on it"):
        ensure(gone, rig.client)
    assert ensure(gone, rig.client, force={gone.id}).applied
    assert rig.client.slot(*rig.at) is None
    assert rig.volumes() == before


def test_a_disk_that_waits_for_the_vms_restart_is_told_and_not_added_again(rig: Rig) -> None:
    disk = VmDisk(*rig.at, STATE)
    with rig.without_hotplug():
        with pytest.raises(Refused, match="waits there until the VM is stopped and started"):
            ensure(disk, rig.client)
        with rig.unwritten(), pytest.raises(Refused, match="waits there until"):
            ensure(disk, rig.client)
        with pytest.raises(Refused, match="waits there until"):
            rig.client.add_disk(*rig.at, STATE)
        assert rig.volumes() == 1
        rig.restart()
        assert look(rig).state == STATE


def test_a_disk_that_the_vm_does_not_let_go_stays_and_no_deletion_waits(rig: Rig) -> None:
    rig.client.add_disk(*rig.at, STATE)
    with rig.without_hotplug():
        with pytest.raises(LakeError, match="does not let it go"):
            ensure(VmDisk(*rig.at, None), rig.client, force={f"vm-disk/{rig.at[1]}/{SLOT}"})
        assert look(rig).state == STATE
        rig.restart()
    assert look(rig).state == STATE


def test_a_deletion_that_waits_is_told(rig: Rig) -> None:
    rig.client.add_disk(*rig.at, STATE)
    with rig.without_hotplug():
        rig.delete_later()
        with rig.unwritten(), pytest.raises(Refused, match="is to be taken off"):
            plan(VmDisk(*rig.at, STATE), rig.client)
        rig.restart()
        assert rig.client.slot(*rig.at) is None


def test_a_disk_that_a_snapshot_holds_stays(rig: Rig) -> None:
    rig.client.add_disk(*rig.at, STATE)
    rig.client.take_snapshot(*rig.at[:2], "homelake-1", "")
    assert rig.client.holding(*rig.at) == ["homelake-1"]
    with pytest.raises(LakeError):
        rig.client.remove_disk(*rig.at)
    assert look(rig).state == STATE
