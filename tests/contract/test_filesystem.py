"""The contract of FilesystemClient, on a second disk of the lab's VM."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from include.adapters.host.storage import _MKFS
from include.lake.errors import LakeError, Refused, Unreachable
from include.lake.resource import ensure
from include.lake.resources.filesystem import MAKING, DeviceFacts, Filesystem, FilesystemState
from tests.contract.real import DEVICE, MADE, MAKE, OTHER, SLOT, UUID, Disk
from tests.fakes.base import Killed
from tests.fakes.guest import FakeGuest

HALF = replace(MADE, label=MAKING)
SMALL = replace(MADE, fills_device=False)
FOREIGN = ("partitions", "swap", "another filesystem", "two filesystems", "begun by another lake")
RESOURCE = Filesystem(SLOT, f"vm-disk/100/{SLOT}", MADE)


class Fake:
    """A new fake for each test."""

    path = f"/dev/{SLOT}"

    def clear(self) -> None:
        self.client = FakeGuest()
        self.carry("nothing")

    def close(self) -> None:
        pass

    def carry(self, what: str) -> None:
        """Put something on the disk by hand."""
        self.client.disks[SLOT] = {
            "nothing": ((), None),
            "ours": (("ext4",), MADE),
            "ours, begun": (("ext4",), HALF),
            "ours, small": (("ext4",), SMALL),
            "partitions": (("dos", f"{SLOT}1"), None),
            "swap": (("swap",), FilesystemState("swap", OTHER, "", False)),
            "another filesystem": (("ext4",), FilesystemState("ext4", OTHER, "contract")),
            "two filesystems": (("ext4", "squashfs"), None),
            "begun by another lake": (("ext4",), FilesystemState("ext4", OTHER, MAKING)),
        }[what]

    def killed(self) -> set[str]:
        """Kill the making at several moments. The labels that were found on the disk; what the last left stays on it."""
        found = set()
        for when in ("before", "after", "during"):
            self.carry("nothing")
            self.client.kill_at = (len(self.client.writes), when)
            with pytest.raises(Killed):
                self.client.make_filesystem(self.path, MADE, again=False)
            state = self.client.device(SLOT).state
            found.add(state.label if state else "")
        self.client.kill_at = None
        return found

    @contextmanager
    def unwritten(self) -> Iterator[None]:
        """Nothing is written to the disk in the block, whatever is called."""
        before = dict(self.client.disks)
        yield
        assert self.client.disks == before


class Real:
    """The second disk; its kernel counts what is written to it."""

    needs, path = "disk", DEVICE

    def __init__(self, disk: Disk) -> None:
        self.disk, self.client = disk, disk.parts.clients.host

    def clear(self) -> None:
        pass  # `carry` clears before it puts something on it

    def close(self) -> None:
        pass

    def carry(self, what: str) -> None:
        other = f"mkfs.ext4 -q -F -U {OTHER} -m 0"
        self.disk.carry({
            "nothing": "",
            "ours": MAKE,
            "ours, begun": f"mkfs.ext4 -q -F -U {UUID} -L {MAKING} -m 0 $dev",
            "ours, small": f"{MAKE} 1G",
            # One partition of type 83, from sector 2048 on, of 2^20 sectors; then the table's mark.
            "partitions": r"printf '\0\0\0\0\x83\0\0\0\0\x08\0\0\0\0\x10\0' | dd of=$dev bs=1 seek=446 status=none;"
                          r"printf '\x55\xaa' | dd of=$dev bs=1 seek=510 status=none; sync; blockdev --rereadpt $dev",
            "swap": "mkswap $dev >/dev/null",
            "another filesystem": f"{other} -L contract $dev",
            "two filesystems": f"{other} $dev; printf hsqs | dd of=$dev status=none; printf '\\x04' | dd of=$dev bs=1 seek=28 status=none",
            "begun by another lake": f"{other} -L {MAKING} $dev",
        }[what])  # fmt: skip

    def killed(self) -> set[str]:
        self.disk.carry()
        command = f"bash -c {shlex.quote(_MKFS)} homelake {DEVICE} {UUID} {MAKING} {MADE.label} no"
        out = self.disk.parts.root(f"""
            for time in 1.6 0.8 0.1 0.2 0.4; do
              wipefs -qaf {DEVICE}; timeout -s KILL $time {command}; sync
              echo "label=$(blkid -p -o value -s LABEL {DEVICE}) signatures=$(wipefs -n {DEVICE} | wc -l)"
            done""")
        assert len(out.splitlines()) == 5, out
        assert not [line for line in out.splitlines() if line.startswith("label= ") and not line.endswith("=0")], "a signature that is not known as ours"
        return {line.split()[0].removeprefix("label=") for line in out.splitlines()}

    def _written(self) -> str:
        return self.disk.parts.root(f"sync; cat /sys/block/$(basename $(readlink -f {DEVICE}))/stat").split()[6]

    @contextmanager
    def unwritten(self) -> Iterator[None]:
        before = self._written()
        yield
        assert self._written() == before


Rig = Fake | Real


def look(rig: Rig) -> DeviceFacts:
    return rig.client.device(SLOT)


def test_a_disk_that_is_not_there_is_out_of_reach_and_not_empty(rig: Rig) -> None:
    with pytest.raises(Unreachable):
        rig.client.device("scsi29")
    for call in (lambda: rig.client.make_filesystem("/dev/scsi29", MADE, again=False), lambda: rig.client.grow_filesystem("/dev/scsi29")):
        with pytest.raises(LakeError):
            call()


def test_an_empty_disk_gets_its_filesystem_once(rig: Rig) -> None:
    rig.carry("nothing")
    with rig.unwritten():
        assert look(rig) == DeviceFacts(rig.path, (), None)
        with pytest.raises(LakeError, match="only ext4"):
            rig.client.make_filesystem(rig.path, replace(MADE, type="xfs"), again=False)
        with pytest.raises(Refused):
            rig.client.make_filesystem(rig.path, MADE, again=True)  # nothing was begun
        with pytest.raises(LakeError):
            rig.client.grow_filesystem(rig.path)
    assert ensure(RESOURCE, rig.client).plan.fields() == {"type", "uuid", "label", "fills_device"}
    for again in (False, True):
        with pytest.raises(Refused):
            rig.client.make_filesystem(rig.path, MADE, again=again)
    rig.client.grow_filesystem(rig.path)  # it fills its disk: no change
    assert look(rig) == DeviceFacts(rig.path, ("ext4",), MADE)
    assert not ensure(RESOURCE, rig.client).plan


def test_what_was_begun_is_made_again(rig: Rig) -> None:
    rig.carry("ours, begun")
    assert look(rig) == DeviceFacts(rig.path, ("ext4",), HALF)
    with pytest.raises(Refused):
        rig.client.make_filesystem(rig.path, MADE, again=False)
    assert ensure(RESOURCE, rig.client).plan.action == "create"
    assert look(rig).state == MADE


def test_it_grows_to_its_disk(rig: Rig) -> None:
    rig.carry("ours, small")
    assert look(rig).state == SMALL
    assert ensure(RESOURCE, rig.client).plan.fields() == {"fills_device"}
    assert look(rig).state == MADE


@pytest.mark.parametrize("what", FOREIGN)
def test_what_a_disk_carries_is_seen_and_never_formatted(rig: Rig, what: str) -> None:
    rig.carry(what)
    before = look(rig)
    assert before.signatures
    kinds = {"partitions": (None, None), "two filesystems": (None, None), "swap": ("swap", None)}
    kind, uuid = kinds.get(what, ("ext4", OTHER))
    assert (before.state and before.state.type) == kind
    assert uuid in (None, before.state and before.state.uuid)
    with pytest.raises(Refused):
        rig.client.make_filesystem(rig.path, MADE, again=what.startswith("begun"))
    with pytest.raises(Refused, match=f"already carries {', '.join(before.signatures)}. Homelake never formats"):
        ensure(RESOURCE, rig.client, force={RESOURCE.id})


def test_a_making_that_is_killed_leaves_nothing_or_what_was_begun(rig: Rig) -> None:
    assert rig.killed() <= {"", MAKING, MADE.label}
    ensure(RESOURCE, rig.client)
    assert look(rig) == DeviceFacts(rig.path, ("ext4",), MADE)


def test_it_is_erased_by_its_uuid_and_nothing_else_is(rig: Rig) -> None:
    gone = Filesystem(SLOT, f"vm-disk/100/{SLOT}", None, UUID)
    rig.carry("nothing")
    assert not ensure(gone, rig.client).plan
    rig.client.erase_filesystem(rig.path, UUID)  # nothing to erase: no error
    rig.carry("another filesystem")
    with rig.unwritten():
        with pytest.raises(Refused, match="Homelake did not make"):
            ensure(gone, rig.client, force={gone.id})
        with pytest.raises(LakeError, match="another filesystem"):
            rig.client.erase_filesystem(rig.path, UUID)
    rig.carry("ours")
    with pytest.raises(Refused, match="all that is in it"):
        ensure(gone, rig.client)
    assert ensure(gone, rig.client, force={gone.id}).applied
    assert look(rig) == DeviceFacts(rig.path, (), None)
