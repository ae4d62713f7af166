"""A restore: it survives a kill at every call, never meets the original on the network, and touches no VM that it did not make."""

import copy
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Interface

import pytest

from include.lake.backup import Keeping
from include.lake.errors import LakeError, NotConverged, Refused, Unreachable
from include.lake.guest_network import OURS, network_file
from include.lake.restore import Mark, Restore, Restored, first_card, plugged, unplugged, with_cable_out
from tests.fakes.backups import DHCP, LAN, NODE, STATIC, STORAGE, FakeBackups, law_of

KEEPING = Keeping("homelake", "0123abcd", NODE, 100, STORAGE, 2)
JOB = Restore("homelake", NODE, 100, 110, IPv4Interface("10.0.0.30/24"), "local-lvm", frozenset({"10.0.0.10"}))
BY_DHCP = replace(JOB, address=None)


def silent(line: str) -> None:
    pass


def site(change: Callable[[FakeBackups], None] = lambda fake: None) -> FakeBackups:
    """A lake with one backup."""
    fake = FakeBackups()
    change(fake)
    fake.keep(100, STORAGE, 1, KEEPING.notes)
    return fake


def dhcp(fake: FakeBackups) -> None:
    fake.vms[100].files = {LAN: DHCP}
    fake.leases[1] = "10.0.0.10"


def run(fake: FakeBackups, job: Restore = JOB, backup: str = "") -> Restored:
    return job.run(fake, lambda volid: KEEPING.choose(fake, volid), backup, silent)


@pytest.mark.parametrize(("job", "change", "calls"), [(JOB, lambda fake: None, 7), (BY_DHCP, dhcp, 6)], ids=["static", "dhcp"])
def test_a_kill_at_every_call_leaves_what_the_next_run_completes(job: Restore, change: Callable[[FakeBackups], None], calls: int) -> None:
    original = copy.deepcopy(site(change).vms[100])
    fakes: list[FakeBackups] = []

    def done(fake: FakeBackups) -> None:
        vm = fake.vms[110]
        assert vm.running
        assert set(fake.vms) == {100, 110}
        assert fake.vms[100] == original, "the original was touched"
        assert not unplugged(vm.settings["net0"])
        answer = "10.0.0.30" if job.address else fake.network(110)[0]
        assert fake.network(110) == [answer] != fake.network(100)
        assert Mark.read(vm.settings["description"]) == Mark("homelake", 100, next(iter(fake.kept)), 1, answer)
        assert (vm.settings["name"], vm.settings["onboot"], vm.settings["memory"]) == ("datalake-restored", "0", "2048")
        assert vm.mac != fake.vms[100].mac
        before = len(fake.writes)
        assert run(fake, job) == Restored(110, answer, next(iter(fake.kept)), 1)
        assert fake.writes[before:] == [], "a second run wrote"
        fakes.append(fake)

    assert law_of(lambda fake: run(fake, job), lambda: site(change), done) == calls
    assert len(fakes) == 3 * calls + 1


def test_gateway_and_name_servers_stay() -> None:
    fake = site()
    run(fake)
    text = fake.vms[110].files[OURS]
    assert text == f"[Match]\nMACAddress={fake.vms[110].mac}\n[Network]\nAddress=10.0.0.30/24\nGateway=10.0.0.2\n"


def test_a_killed_restore_task_is_followed() -> None:
    fake, said = site(), list[str]()
    fake.start_restore(NODE, 110, next(iter(fake.kept)), "local-lvm",
                       {"description": str(Mark("homelake", 100, next(iter(fake.kept)), 1)), "net0": "virtio,bridge=vmbr0,link_down=1"})  # fmt: skip
    JOB.run(fake, lambda volid: KEEPING.choose(fake, volid), "", said.append)
    assert "VM 110 is being restored already" in said[0]
    assert len(fake.tasks) == 1


def test_a_restore_that_failed_leaves_a_vm_without_anything_which_is_told_with_how_to_remove_it() -> None:
    """PVE 8.4: "VM 110 state is NOT cleaned up", whatever it failed at."""
    fake = site()
    fake.fail["qmrestore"] = "no space left"
    with pytest.raises(LakeError, match="no space left"):
        run(fake)
    fake.fail.clear()
    for left in ({"digest": "0", "memory": "128"}, {"digest": "0"}):
        fake.vms[110].settings = dict(left)
        before = list(fake.writes)
        with pytest.raises(Refused, match=r"was left by a restore that failed, unless .*remove it: qm destroy 110\."):
            run(fake)
        assert fake.writes == before
    del fake.vms[110]
    assert run(fake).address == "10.0.0.30"


def test_a_newer_backup_does_not_stop_a_restore_that_was_begun() -> None:
    fake = site()
    first = next(iter(fake.kept))
    run(fake)
    fake.keep(100, STORAGE, 5, KEEPING.notes)
    assert run(fake).backup == first
    with pytest.raises(Refused, match=f"it was restored from {first}.*qm destroy 110 --purge"):
        run(fake, backup=f"{STORAGE}:backup/vzdump-qemu-100-5.vma.zst")


# What is refused, and before anything was written


def someones(fake: FakeBackups) -> None:
    fake.vms[110] = copy.deepcopy(fake.vms[100])
    fake.vms[110].running = False
    fake.vms[110].settings["name"] = "someones"


def anothers(fake: FakeBackups) -> None:
    someones(fake)
    fake.vms[110].settings["description"] = "Restored by Homelake: lake other, VM 100, backup local:backup/x of 1"


def hidden(fake: FakeBackups) -> None:
    someones(fake)
    fake.hidden.add(110)


def bare(fake: FakeBackups) -> None:
    """As it is made by hand: PVE gives it an id and a boot order."""
    someones(fake)
    fake.vms[110].settings = {"digest": "0", "memory": "512", "smbios1": "uuid=x", "vmgenid": "x", "boot": " "}


def being_made(fake: FakeBackups) -> None:
    someones(fake)
    fake.vms[110].settings = {"lock": "create"}


@pytest.mark.parametrize(("change", "job", "cause"), [
    (someones, JOB, r"there is one of that number \(someones\), which is not a restored VM of this lake\. Choose a VMID that is free"),
    (bare, JOB, r"there is one of that number \(without a name\), which is not"),
    (anothers, JOB, "which is not a restored VM of this lake"),
    (hidden, JOB, "which the token may not look at"),
    (being_made, JOB, "by someone else, or by a task that died"),
    (lambda fake: fake.elsewhere.add("10.0.0.30"), JOB, "something answers at that address already"),
    (lambda fake: fake.vms[100].settings.update(agent="0"), JOB, "its VM has no guest agent"),
    (lambda fake: fake.vms[100].settings.pop("net0"), JOB, "it has no network card with a MAC"),
    (lambda fake: None, replace(JOB, vmid=100), "it is the lake's own VM"),
    (lambda fake: None, replace(JOB, address=IPv4Interface("10.0.0.10/24")), "it is the original's address"),
])  # fmt: skip
def test_refused_before_anything_is_written(change: Callable[[FakeBackups], None], job: Restore, cause: str) -> None:
    fake = site()
    change(fake)
    fake.kept.clear()
    fake.vms[100].running = "net0" in fake.vms[100].settings
    fake.keep(100, STORAGE, 1, KEEPING.notes)
    with pytest.raises(Refused, match=cause):
        run(fake, job)
    assert fake.writes == []


def test_an_address_that_someone_took_meanwhile_is_not_plugged_in() -> None:
    fake = site()
    fake.kill_at = (2, "before")
    with pytest.raises(BaseException, match="write"):
        run(fake)
    fake.kill_at = None
    fake.elsewhere.add("10.0.0.30")
    with pytest.raises(Refused, match="something answers at that address already"):
        run(fake)
    assert unplugged(fake.vms[110].settings["net0"])


def test_a_guest_with_a_fixed_address_never_gets_to_ask_a_dhcp_server() -> None:
    fake = site()
    with pytest.raises(Refused, match=rf"the original's address is in {LAN}\. Give it another address"):
        run(fake, BY_DHCP)
    assert unplugged(fake.vms[110].settings["net0"])
    assert fake.network(110) == []
    assert run(fake).address == "10.0.0.30", "and the same VM can be given one"


def test_a_guest_whose_network_is_not_networkds_stays_unplugged() -> None:
    fake = site(lambda fake: setattr(fake.vms[100], "networkd", False))
    with pytest.raises(Refused, match="systemd-networkd does not run its network"):
        run(fake)
    assert unplugged(fake.vms[110].settings["net0"])


def test_an_address_of_the_originals_that_shows_all_the_same_pulls_the_cable() -> None:
    fake = site(dhcp)
    fake.wait_addresses = lambda *args: ["10.0.0.31", "10.0.0.10"]  # type: ignore[method-assign]
    with pytest.raises(Refused, match=r"it has the original's address 10\.0\.0\.10; its card is unplugged again"):
        run(fake, BY_DHCP)
    assert unplugged(fake.vms[110].settings["net0"])


def test_a_restored_vm_keeps_its_address() -> None:
    fake = site()
    run(fake)
    with pytest.raises(Refused, match=r"it answers at 10\.0\.0\.30 already"):
        run(fake, replace(JOB, address=IPv4Interface("10.0.0.31/24")))


def test_without_minio_it_is_not_done() -> None:
    fake = site()
    fake.without_store.add("10.0.0.30")
    with pytest.raises(Unreachable, match=r"MinIO at 10\.0\.0\.30"):
        run(fake)
    fake.without_store.clear()
    assert run(fake).address == "10.0.0.30"


def test_a_card_that_came_back_plugged_in_is_not_started() -> None:
    fake = site()
    start = fake.start_restore

    def careless(node: str, vmid: int, volid: str, storage: str, settings: dict[str, str]) -> str:
        return str(start(node, vmid, volid, storage, settings | {"net0": "virtio,bridge=vmbr0"}))

    fake.start_restore = careless  # type: ignore[method-assign]
    with pytest.raises(NotConverged, match="unplugged cards"):
        run(fake)
    assert not fake.vms[110].running


def test_cards() -> None:
    assert with_cable_out("virtio=BC:24:11:00:00:10,bridge=vmbr0,firewall=1") == "virtio,bridge=vmbr0,firewall=1,link_down=1"
    assert with_cable_out("e1000=BC:24:11:00:00:10,bridge=vmbr0,link_down=0") == "e1000,bridge=vmbr0,link_down=1"
    assert with_cable_out("model=virtio,macaddr=BC:24:11:00:00:10,bridge=vmbr1") == "model=virtio,bridge=vmbr1,link_down=1"
    assert plugged("virtio=BC:24:11:00:00:10,bridge=vmbr0,link_down=1") == "virtio=BC:24:11:00:00:10,bridge=vmbr0"
    assert unplugged("virtio,link_down=1")
    assert not unplugged("virtio,link_down=0")
    cards = {"net10": "virtio=BC:24:11:00:00:11", "net2": "virtio=BC:24:11:00:00:12,bridge=b"}
    assert first_card(cards, 1) == ("net2", "bc:24:11:00:00:12")


def test_a_mark_is_read_as_it_was_written() -> None:
    for mark in (Mark("homelake", 100, "local:backup/x.vma.zst", 17), Mark("homelake", 100, "local:backup/x.vma.zst", 17, "10.0.0.30")):
        assert Mark.read(str(mark)) == mark
        assert Mark.read(f"{mark}\n") == mark
    assert Mark.read("mine") is None


def test_a_network_file_keeps_all_but_the_address() -> None:
    before = """# made by hand
[Match]
MACAddress=bc:24:11:00:00:10

[Network]
DHCP=yes
Address = 10.0.0.10/24
Address=fd00::10/64
DNS=10.0.0.1
# more
[DHCPv4]
UseDNS=no
[Address]
Address=10.0.0.11/24
[Route]
Gateway=10.0.0.2
[Link]
MTUBytes=9000
"""
    assert network_file(before, "BC:24:11:00:01:10", IPv4Interface("10.0.0.30/24")) == (
        "[Match]\nMACAddress=bc:24:11:00:01:10\n[Network]\nAddress=10.0.0.30/24\nDNS=10.0.0.1\n[Route]\nGateway=10.0.0.2\n"
    )
    assert "10.0.0.10" not in network_file(STATIC, "bc:24:11:00:01:10", IPv4Interface("10.0.0.30/24"))
