"""The contract of MountClient, at a mount point of its own, with the filesystem of the second disk."""

import pytest

from include.lake.errors import LakeError, Refused
from include.lake.resource import ensure
from include.lake.resources.mount import Mount, MountFacts, MountState
from tests.contract.real import DEVICE, MADE, MAKE, OTHER, SLOT, TARGET, UNMOUNT, UUID, Disk
from tests.fakes.guest import FakeGuest

OPTIONS = "defaults,noatime,nofail,x-systemd.device-timeout=1s"
ENTRY = (UUID, "ext4", OPTIONS)
RESOURCE = Mount(TARGET, f"filesystem/{SLOT}", MountState(UUID, "ext4", OPTIONS))


class Fake:
    """A new fake for each test."""

    device = f"/dev/{SLOT}"

    def clear(self) -> None:
        self.client = FakeGuest()
        self.client.disks[SLOT] = (("ext4",), MADE)
        self.client.fstab["/srv"] = (OTHER, "ext4", "defaults")

    def close(self) -> None:
        pass

    def other_lines(self) -> object:
        """The table of mounts without the line under test."""
        return {k: v for k, v in self.client.fstab.items() if k != TARGET}

    def line(self, text: str) -> None:
        """Add a line to the table by hand."""
        if not text.startswith("#"):
            device, _, fstype, options, *_ = text.split()
            self.client.fstab[TARGET] = (device.removeprefix("UUID="), fstype, options)

    def leave_files(self, count: int) -> None:
        """Put files into the bare directory by hand."""
        self.client.bare[TARGET] = count

    def can_write_below(self) -> bool:
        """Whether root can make a file in the bare directory."""
        return TARGET not in self.client.protected

    def unmount(self) -> None:
        """Unmount by hand."""
        del self.client.mounts[TARGET]


class Real:
    """The lab's VM."""

    needs, device = "disk", DEVICE

    def __init__(self, disk: Disk) -> None:
        self.root, self.client = disk.parts.root, disk.parts.clients.host
        disk.carry(MAKE)

    def clear(self) -> None:
        self.root(UNMOUNT)

    def close(self) -> None:
        pass

    def other_lines(self) -> object:
        return self.root(f"grep -v {TARGET} /etc/fstab; stat -c '%a %u %g' /etc/fstab")

    def line(self, text: str) -> None:
        self.root(f"echo '{text}' >>/etc/fstab")

    def leave_files(self, count: int) -> None:
        self.root(f"mkdir -p {TARGET}; for i in $(seq {count}); do touch {TARGET}/.file$i; done")

    def can_write_below(self) -> bool:
        return "wrote" in self.root(f"touch {TARGET}/x 2>/dev/null && echo wrote; true")

    def unmount(self) -> None:
        self.root(f"umount {TARGET}")


Rig = Fake | Real


def facts(rig: Rig) -> MountFacts:
    return rig.client.mount_facts(TARGET)


def test_from_nothing_to_a_mount_as_declared(rig: Rig) -> None:
    before = rig.other_lines()
    assert facts(rig) == MountFacts(None, None, False, 0)
    with pytest.raises(LakeError):
        rig.client.mount(TARGET)  # no line in the table
    assert ensure(RESOURCE, rig.client).plan.fields() == {"uuid", "fstype", "options", "mounted", "protected"}
    rig.client.protect(TARGET)  # all three once more: no change
    rig.client.write_fstab(TARGET, *ENTRY)
    rig.client.mount(TARGET)
    assert facts(rig) == MountFacts(ENTRY, UUID, True, 0)
    assert rig.other_lines() == before
    assert not ensure(RESOURCE, rig.client).plan


def test_drift_is_seen_and_mended(rig: Rig) -> None:
    rig.client.write_fstab(TARGET, UUID, "ext4", "defaults")
    rig.client.mount(TARGET)
    assert facts(rig) == MountFacts((UUID, "ext4", "defaults"), UUID, False, 0)
    assert ensure(RESOURCE, rig.client).plan.fields() == {"options", "protected"}  # below what is mounted, which stays so
    rig.unmount()
    assert facts(rig) == MountFacts(ENTRY, None, True, 0)
    assert not rig.can_write_below(), "root can write into the bare directory"
    assert ensure(RESOURCE, rig.client).plan.fields() == {"mounted"}
    assert facts(rig) == MountFacts(ENTRY, UUID, True, 0)


def test_a_filesystem_that_is_not_there_is_not_mounted(rig: Rig) -> None:
    rig.client.write_fstab(TARGET, OTHER, "ext4", OPTIONS)
    with pytest.raises(LakeError):
        rig.client.mount(TARGET)
    assert facts(rig) == MountFacts((OTHER, "ext4", OPTIONS), None, False, 0)


def test_lines_of_others_are_read(rig: Rig) -> None:
    rig.line(f"#UUID={UUID} {TARGET} ext4 {OPTIONS} 0 2")
    assert facts(rig).entry is None
    rig.line(f"/dev/sdx9 {TARGET} xfs noauto 0 2")
    assert facts(rig).entry == ("/dev/sdx9", "xfs", "noauto")
    with pytest.raises(Refused):
        ensure(RESOURCE, rig.client)


def test_files_in_the_bare_directory_are_seen_below_the_mount_too(rig: Rig) -> None:
    rig.leave_files(2)
    assert facts(rig).bare_files == 2
    rig.client.write_fstab(TARGET, *ENTRY)
    rig.client.mount(TARGET)
    assert facts(rig) == MountFacts(ENTRY, UUID, False, 2)
    with pytest.raises(Refused, match="holds 2 entries"):
        ensure(RESOURCE, rig.client)


def test_a_mount_goes_with_its_line_and_its_directory(rig: Rig) -> None:
    gone, before = Mount(TARGET, f"filesystem/{SLOT}", None, UUID), rig.other_lines()
    assert not ensure(gone, rig.client).plan
    ensure(RESOURCE, rig.client)
    with pytest.raises(LakeError):
        rig.client.remove_directory(TARGET)  # which is mounted
    assert ensure(gone, rig.client).applied
    assert facts(rig) == MountFacts(None, None, False, 0)
    assert rig.other_lines() == before
    for again in (rig.client.unmount, rig.client.remove_directory, rig.client.remove_entry):
        again(TARGET)
    rig.client.write_fstab(TARGET, OTHER, "ext4", OPTIONS)
    with pytest.raises(Refused, match="another filesystem"):
        ensure(gone, rig.client)
    assert facts(rig).entry == (OTHER, "ext4", OPTIONS)


@pytest.mark.parametrize("name", ["device", "label"])
def test_a_line_that_leads_to_the_filesystem_by_another_name_is_rewritten(rig: Rig, name: str) -> None:
    source = rig.device if name == "device" else f"LABEL={MADE.label}"
    rig.line(f"{source} {TARGET} ext4 {OPTIONS} 0 2")
    assert (facts(rig).entry, facts(rig).leads_to) == ((source, "ext4", OPTIONS), UUID)
    assert ensure(RESOURCE, rig.client).plan.fields() >= {"uuid"}
    assert facts(rig) == MountFacts(ENTRY, UUID, True, 0)
