"""What the guest says of its disk and its mount, read from real outputs of blkid, wipefs, dumpe2fs, findmnt and lsattr."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.adapters.host.ssh import Result
from include.adapters.host.storage import BY_ID, Storage, parse_device, parse_mount, with_line
from include.connections import Connection
from include.lake.errors import LakeError, Refused
from include.lake.resource import Action, Plan, plan
from include.lake.resources.filesystem import DeviceFacts, Filesystem, FilesystemState
from include.lake.resources.mount import OPTIONS, Mount, MountFacts, MountState
from tests.unit.conftest import recorded

UUID, TARGET = "b5c0e2f4-27c5-5f25-8a3a-1b6f5e0e0001", "/mnt/minio_data"
OURS = FilesystemState("ext4", UUID, "homelake")


@pytest.mark.parametrize(
    ("name", "signatures", "state"),
    [
        ("empty", (), None),
        ("ours", ("ext4",), OURS),
        ("grown", ("ext4",), replace(OURS, fills_device=False)),
        ("begun", ("ext4",), replace(OURS, label="homelake-making")),
        ("swap", ("swap",), FilesystemState("swap", "4a88e06c-596a-4582-b37a-1f7feee67482", "", fills_device=True)),
        ("partitions", ("dos",), None),
        ("ext4_and_partitions", ("ext4", "dos"), None),
    ],
)
def test_a_disk_is_read_from_real_outputs(name: str, signatures: tuple[str, ...], state: FilesystemState | None) -> None:
    assert parse_device(recorded(f"host/device_{name}.txt")) == DeviceFacts(BY_ID.format(slot="scsi1"), signatures, state)


def test_partitions_that_the_kernel_lists_count_as_signatures() -> None:
    text = recorded("host/device_empty.txt").replace("<blkid>", "part=sdb1\npart=vg0-data\n<blkid>", 1)
    assert parse_device(text).signatures == ("sdb1", "vg0-data")


class Disk:
    """A guest with one disk, as recorded."""

    def __init__(self, name: str) -> None:
        self.facts = parse_device(recorded(f"host/device_{name}.txt"))

    def device(self, slot: str) -> DeviceFacts:
        return self.facts

    def make_filesystem(self, path: str, state: FilesystemState, *, again: bool) -> None:
        raise AssertionError("nothing is made while looking")

    def grow_filesystem(self, path: str) -> None:
        raise AssertionError("nothing is grown while looking")


def filesystem_plan(name: str) -> Plan:
    return plan(Filesystem("scsi1", "vm-disk/100/scsi1", OURS), Disk(name))[0]


def test_an_empty_disk_and_one_that_was_begun_are_made() -> None:
    assert filesystem_plan("empty").action is Action.CREATE
    assert filesystem_plan("begun").action is Action.CREATE


def test_ours_is_left_alone_and_grows_with_its_disk() -> None:
    assert not filesystem_plan("ours")
    assert filesystem_plan("grown").fields() == {"fills_device"}


@pytest.mark.parametrize(("name", "carries"), [("swap", "swap"), ("partitions", "dos"), ("ext4_and_partitions", "ext4, dos")])
def test_a_disk_that_carries_anything_else_is_refused(name: str, carries: str) -> None:
    with pytest.raises(Refused, match=f"already carries {carries}.*Homelake never formats a disk that carries something"):
        filesystem_plan(name)


ENTRY = (UUID, "ext4", OPTIONS)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("absent", MountFacts(None, None, False, 0)),
        ("unprotected", MountFacts(None, None, False, 0)),
        ("bare", MountFacts(None, None, True, 0)),
        ("unmounted", MountFacts(ENTRY, None, True, 0)),
        ("mounted", MountFacts(ENTRY, UUID, True, 0)),
        ("mounted_unprotected", MountFacts(ENTRY, UUID, False, 0)),
        ("files", MountFacts(ENTRY, None, False, 2)),
        ("tmpfs", MountFacts(None, "tmpfs", False, 0)),
    ],
)
def test_a_mount_is_read_from_real_outputs(name: str, facts: MountFacts) -> None:
    assert parse_mount(recorded(f"host/mount_{name}.txt"), TARGET) == facts


def mount_plan(name: str) -> Plan:
    class Guest:
        def mount_facts(self, target: str) -> MountFacts:
            return parse_mount(recorded(f"host/mount_{name}.txt"), target)

    return plan(Mount(TARGET, "filesystem/scsi1", MountState(UUID, "ext4")), Guest())[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "fields"), [("mounted", set()), ("unmounted", {"mounted"}), ("mounted_unprotected", {"protected"})])
def test_of_a_mount_only_what_differs_is_planned(name: str, fields: set[str]) -> None:
    assert mount_plan(name).fields() == fields


@pytest.mark.parametrize(("name", "cause"), [("tmpfs", r"another filesystem \(tmpfs\)"), ("files", "holds 2 entries, which the mount would hide")])
def test_what_is_in_the_way_of_a_mount_is_refused(name: str, cause: str) -> None:
    with pytest.raises(Refused, match=cause):
        mount_plan(name)


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (f"UUID={UUID}\t{TARGET}\text4\tdefaults\t0\t2", (UUID, "ext4", "defaults")),
        (f"/dev/sdb  {TARGET}  ext4  defaults", ("/dev/sdb", "ext4", "defaults")),
        (f"  LABEL=x {TARGET} xfs noauto 0 0", ("LABEL=x", "xfs", "noauto")),
        (f"# UUID={UUID} {TARGET} ext4 defaults 0 2", None),
        (f"  #UUID={UUID} {TARGET} ext4 defaults 0 2", None),
        (f"UUID={UUID} {TARGET}/deeper ext4 defaults 0 2", None),
        (f"UUID={UUID} /mnt ext4 x={TARGET} 0 2", None),
    ],
)
def test_a_line_of_fstab_is_known_by_its_mount_point_alone(line: str, entry: tuple[str, str, str] | None) -> None:
    assert parse_mount(f"<fstab>\n{line}\n</fstab>\nmounted=\n", TARGET).entry == entry


LINE = f"UUID={UUID} {TARGET} ext4 {OPTIONS} 0 2"
other = st.text(st.characters(blacklist_characters="\n", blacklist_categories=("Cs",)), max_size=30).filter(lambda t: TARGET not in t)
ours = st.sampled_from([f"/dev/sdb {TARGET} ext4 defaults 0 0", f"UUID=x\t{TARGET}\txfs noauto", f"  a {TARGET} b c"])


@given(st.lists(other), st.lists(other), st.lists(ours, max_size=2), st.booleans())
def test_every_other_line_of_fstab_stays_as_it_is(before: list[str], after: list[str], mine: list[str], ends: bool) -> None:
    text = "\n".join([*before, *mine, *after]) + ("\n" if ends else "")
    new = with_line(text, TARGET, LINE)
    kept = new.split("\n")
    assert kept.pop() == "", "the file ends with a newline"
    assert kept.count(LINE) == 1
    place = kept.index(LINE)
    assert place == (len(before) if mine else len(kept) - 1), "in the place of the old one, else at the end"
    rest = kept[:place] + kept[place + 1 :]
    everything = text.removesuffix("\n").split("\n") if text else []
    assert rest == [line for line in everything if line not in mine]
    assert with_line(new, TARGET, LINE) == new, "and a second time changes nothing"


@given(st.lists(other))
def test_what_was_written_is_what_is_read(lines: list[str]) -> None:
    new = with_line("\n".join(lines), TARGET, LINE)
    assert parse_mount(f"<fstab>\n{new}</fstab>\nmounted=\n", TARGET).entry == ENTRY


@pytest.mark.parametrize("odd", ["a\fb", "a\x85b", "a\u2028b", "a\rb", "a\x1cb", "tab\tblank "])
def test_only_a_newline_ends_a_line(odd: str) -> None:
    assert with_line(f"{odd}\n", TARGET, LINE) == f"{odd}\n{LINE}\n"


class Scripted(Storage):
    """A guest whose commands give what they are told to; it keeps what was written."""

    def __init__(self, out: str, code: int = 0, err: str = "") -> None:
        super().__init__(Connection("lake_host", "ssh", "h"))
        self.result, self.written = Result(code, out, err), list[bytes]()

    def run(self, script: str, *args: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,), timeout: float = 0) -> Result:
        if stdin:
            self.written.append(stdin)
        return self.result


def test_a_table_that_is_not_utf8_is_left_alone() -> None:
    guest = Scripted(b"# caf\xe9\n".decode(errors="replace"))
    with pytest.raises(LakeError, match=f"Unable to change /etc/fstab: it is not UTF-8 text.*Add the line yourself: UUID={UUID} {TARGET}"):
        guest.write_fstab(TARGET, UUID, "ext4", "defaults")
    assert not guest.written


def test_the_table_is_written_whole() -> None:
    guest = Scripted("# é\n/dev/sda / ext4\n")
    guest.write_fstab(TARGET, UUID, "ext4", OPTIONS)
    assert guest.written == [f"# é\n/dev/sda / ext4\n{LINE}\n".encode()]


def test_a_disk_that_is_not_there_is_out_of_reach_and_not_empty() -> None:
    with pytest.raises(LakeError, match="there is no /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1") as caught:
        Scripted("", 4).device("scsi1")
    assert caught.value.retry


def test_a_disk_that_carries_something_in_the_last_moment_is_refused() -> None:
    with pytest.raises(Refused, match="/dev/sdb carries something now"):
        Scripted("", 6, "/dev/sdb carries something now\n").make_filesystem("/dev/sdb", OURS, again=False)


def test_another_type_of_filesystem_is_refused() -> None:
    with pytest.raises(LakeError, match="only ext4 is supported"):
        Scripted("").make_filesystem("/dev/sdb", replace(OURS, type="xfs"), again=False)
