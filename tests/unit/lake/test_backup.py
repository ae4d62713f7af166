"""Backups: made, followed, found again, pruned, chosen; and nothing of anybody else's is ever removed."""

import pytest

from include.lake.backup import Backup, Keeping, parse_settings, started
from include.lake.errors import LakeError, Refused
from include.lake.lake import load_lake
from include.lake.units import Size
from tests.fakes.backups import NODE, STORAGE, FakeBackups, law_of

KEEPING = Keeping("homelake", "0123abcd", NODE, 100, STORAGE, 2)


def silent(line: str) -> None:
    pass


def ours(fake: FakeBackups, made: int, **options: bool) -> str:
    return fake.keep(100, STORAGE, made, KEEPING.notes, **options)


def test_the_declaration_says_how() -> None:
    keeping = Keeping.of(load_lake().spec)
    assert (keeping.lake, keeping.node, keeping.vmid, keeping.storage, keeping.keep) == ("homelake", "pve", 100, "local", 3)
    assert keeping.declaration == load_lake().spec.digest()


def test_notes_name_lake_and_declaration() -> None:
    backup = Backup("local:backup/x", 100, 1, Size(1), KEEPING.notes)
    assert (backup.lake, backup.declaration) == ("homelake", "0123abcd")
    for foreign in ("", "nightly", "not Homelake: lake homelake, declaration 0123abcd"):
        assert Backup("local:backup/x", 100, 1, Size(1), foreign).lake == ""


def test_a_backup_is_made_and_its_task_told() -> None:
    fake, said = FakeBackups(), list[str]()
    made = KEEPING.back_up(fake, "snapshot", said.append)
    assert made in KEEPING.own(fake)
    assert made.made == started(next(iter(fake.tasks)))
    assert said == ["INFO: vzdump"]


def test_a_kill_at_every_call_leaves_no_second_backup_beside_one_that_runs() -> None:
    def flow(fake: FakeBackups) -> None:
        KEEPING.back_up(fake, "snapshot", silent)
        KEEPING.prune(fake, silent)

    def start() -> FakeBackups:
        fake = FakeBackups()
        for made in (1, 2, 3):
            ours(fake, made)
        fake.keep(100, STORAGE, 4, "nightly")
        return fake

    def done(fake: FakeBackups) -> None:
        assert len(KEEPING.own(fake)) == 2
        assert KEEPING.own(fake)[-1].made > 1_000_000
        assert [b.made for b, _, _ in fake.kept.values() if not b.lake] == [4]

    assert law_of(flow, start, done) == 3


def test_who_was_killed_while_the_task_ran_gets_that_backup() -> None:
    fake = FakeBackups()
    fake.start_backup(NODE, 100, STORAGE, "snapshot", KEEPING.notes)
    said = list[str]()
    made = KEEPING.back_up(fake, "snapshot", said.append)
    assert len(fake.tasks) == 1
    assert KEEPING.own(fake) == [made]
    assert "is being made already" in said[0]


@pytest.mark.parametrize("fails", [False, True])
def test_a_running_backup_that_is_not_the_lakes_is_waited_for(fails: bool) -> None:
    fake, said = FakeBackups(), list[str]()
    upid = fake.start_backup(NODE, 100, STORAGE, "snapshot", "nightly")
    if fails:
        fake.tasks[upid].over, fake.tasks[upid].error = False, "job errors"
        fake.fail["vzdump"] = "job errors"
        with pytest.raises(LakeError, match="job errors"):  # its own fails as well
            KEEPING.back_up(fake, "snapshot", said.append)
        assert "it failed: job errors" in said
        return
    made = KEEPING.back_up(fake, "snapshot", said.append)
    assert len(fake.tasks) == 2
    assert made.lake == "homelake"


def test_a_task_that_ends_well_without_a_backup_is_an_error() -> None:
    fake = FakeBackups()
    fake.keep = lambda *args, **options: ""  # type: ignore[method-assign]
    with pytest.raises(LakeError, match=r"Unable to find the backup of VM 100 that was just made: local has none .*UPID:"):
        KEEPING.back_up(fake, "snapshot", silent)


def test_only_ours_are_counted_and_pruned_and_the_protected_stay() -> None:
    fake = FakeBackups()
    protected = ours(fake, 1, protected=True)
    old = [ours(fake, n) for n in (2, 3)]
    kept = [ours(fake, n) for n in (5, 6)]
    others = [fake.keep(100, STORAGE, 4, "nightly"), fake.keep(100, STORAGE, 0, "Homelake: lake other, declaration 0")]
    assert KEEPING.prune(fake, silent) == old
    assert set(fake.kept) == {protected, *kept, *others}
    assert KEEPING.prune(fake, silent) == []


def test_the_newest_of_ours_is_chosen_and_any_of_the_vm_by_name() -> None:
    fake = FakeBackups()
    with pytest.raises(LakeError, match=r"none that Homelake made of VM 100\. Make one \(./lake backup\)"):
        KEEPING.choose(fake)
    newest = [ours(fake, n) for n in (7, 9)][1]
    nightly = fake.keep(100, STORAGE, 11, "nightly")
    assert KEEPING.choose(fake).volid == newest
    assert KEEPING.choose(fake, nightly).volid == nightly
    with pytest.raises(LakeError, match="has no such backup of VM 100"):
        KEEPING.choose(fake, "local:backup/other.vma")


def test_another_vms_backup_is_refused() -> None:
    fake = FakeBackups()
    volid = ours(fake, 1)
    foreign = Backup(volid, 101, 1, Size(1), KEEPING.notes)
    fake.backups = lambda *args: [foreign]  # type: ignore[method-assign]
    with pytest.raises(Refused, match="it is of VM 101"):
        KEEPING.choose(fake, volid)
    assert KEEPING.own(fake) == []


def test_settings_of_a_configuration_file() -> None:
    text = "#a note: of mine\nagent: 1\nnet0: virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr0\n\n[PENDING]\nagent: 0\n\n[snap]\nname: old\n"
    assert parse_settings(text) == {"agent": "1", "net0": "virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr0"}
