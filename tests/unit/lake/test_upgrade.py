"""An upgrade in memory: forward, back when the new program fails, and killed at every call of either way."""

from contextlib import suppress
from dataclasses import replace

import pytest

from include.lake.errors import LakeError, Refused, Unreachable
from include.lake.lake import load_lake
from include.lake.resources.account import AccountState
from include.lake.resources.service import ServiceState
from include.lake.secret import Secret
from include.lake.upgrade import NOTE, Trial, Upgrade
from tests.fakes.base import Killed
from tests.fakes.guest import AGPL, ELF, FakeGuest

LAKE = load_lake()
SERVICE = LAKE.minio_service
ENTERPRISE = "minio version RELEASE.2025\nLicense: MinIO AIStor License\n"


class Guest(FakeGuest):
    """A lake that runs the program `old`, and is declared to run `new`. A program in `useless` serves, and its users cannot work."""

    def __init__(self) -> None:
        super().__init__()
        assert SERVICE.desired
        self.mounts[LAKE.mount.target] = "ours"
        self.accounts[LAKE.account.name] = AccountState()
        self.sources[str(LAKE.minio_binary.source)] = ("new", ELF, AGPL)
        self.links["minio"], self.staged["old"] = "old", AGPL
        self.services["minio"] = ServiceState(SERVICE.desired.unit, SERVICE.desired.environment, Secret("root:password"))
        self.useless: set[str] = set()
        self.proofs: list[str] = []
        self.said: list[str] = []

    def upgrade(self) -> Upgrade:
        def proof() -> None:
            if not self.services["minio"].serving:
                raise Unreachable("MinIO", "it does not answer")
            if self.links["minio"] in self.useless:
                raise LakeError("verify", "the rights", "writing was refused")
            self.proofs.append(self.links["minio"])

        return Upgrade(LAKE.minio_binary, SERVICE, self, lambda: proof, self.said.append)  # type: ignore[arg-type]

    def run(self) -> None:
        """What the command and the DAG do."""
        upgrade = self.upgrade()
        upgrade.settle()
        if upgrade.look().todo:
            upgrade.exchange(upgrade.prepare())

    def works_with(self, program: str) -> None:
        """The lake as it should be afterwards."""
        assert self.links["minio"] == program
        assert self.services["minio"].serving
        assert self.services["minio"].current
        assert not self.notes
        assert self.proofs[-1] == program


def test_forward() -> None:
    guest = Guest()
    assert str(guest.upgrade().look()) == "old → a program that is still to be built or fetched"
    guest.run()
    guest.works_with("new")
    assert guest.previous["minio"] == "old"
    assert guest.proofs == ["old", "new"], "proven before, so that a fault is the new one's"
    assert guest.writes == ["stage", "write_note", "switch", "restart", "remove_note"]


def test_nothing_to_do_writes_nothing() -> None:
    guest = Guest()
    guest.run()
    before = list(guest.writes)
    assert not guest.upgrade().look().todo
    guest.run()
    assert guest.writes == before
    assert str(guest.upgrade().look()) == "the declared program is in place (new)"


@pytest.mark.parametrize(("said", "head", "cause"), [
    (ENTERPRISE, ELF, "Enterprise"), ("nginx/1.2", ELF, "call itself MinIO"), (AGPL, ELF[:18] + b"\xb7" + ELF[19:], "Exec format error"), (AGPL, b"#!/bin/sh", "no ELF header"),
])  # fmt: skip
def test_the_wrong_program_is_refused_before_anything_is_touched(said: str, head: bytes, cause: str) -> None:
    guest = Guest()
    guest.sources[str(LAKE.minio_binary.source)] = ("new", head, said)
    with pytest.raises(Refused, match=cause):
        guest.run()
    guest.proofs.append("old")
    guest.works_with("old")
    assert set(guest.writes) <= {"stage", "discard"}


def test_a_lake_that_does_not_work_is_not_upgraded() -> None:
    guest = Guest()
    guest.useless = {"old"}
    with pytest.raises(LakeError, match="writing was refused"):
        guest.run()
    assert guest.writes == ["stage"]
    guest.services["minio"] = replace(guest.services["minio"], serving=False)
    with pytest.raises(Refused, match="does not serve now"):
        guest.run()
    del guest.links["minio"]
    with pytest.raises(LakeError, match=r"no program is in place. Run lake_bootstrap"):
        guest.run()
    assert guest.writes.count("switch") == 0


@pytest.mark.parametrize(("kind", "cause"), [("broken", "it does not start"), ("useless", "writing was refused")])
def test_it_comes_back_by_itself(kind: str, cause: str) -> None:
    guest = Guest()
    getattr(guest, kind).add("new")
    with pytest.raises(LakeError) as caught:
        guest.run()
    assert cause in str(caught.value)
    assert "The program before (old) is back in place, serves, and was proven. Declare that one again" in str(caught.value)
    assert not caught.value.retry
    guest.works_with("old")
    assert guest.previous["minio"] == "new"


def test_when_the_one_before_fails_as_well_both_are_told_and_the_next_run_goes_on() -> None:
    guest = Guest()
    upgrade = guest.upgrade()
    sha256 = upgrade.prepare()
    guest.broken = {"new", "old"}
    with pytest.raises(LakeError, match=r"(?s)it does not start.*the program before it does not work either"):
        upgrade.exchange(sha256)
    assert Trial.read(guest.notes[NOTE]).failure
    assert "way back to old is still to be finished" in str(guest.upgrade().look())
    guest.broken = {"new"}
    with pytest.raises(LakeError, match="is back in place, serves, and was proven"):
        guest.run()
    guest.works_with("old")


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("number", range(5))
def test_killed_anywhere_the_next_run_goes_forward(number: int, when: str) -> None:
    guest = Guest()
    guest.kill_at = (number, when)
    with pytest.raises(Killed):
        guest.run()
    guest.kill_at = None
    guest.run()
    guest.works_with("new")


def killed_on_the_way_back(number: int, when: str) -> Guest | None:
    """A guest whose run was killed at its n-th writing call; None when the run made fewer."""
    guest = Guest()
    guest.broken = {"new"}
    guest.kill_at = (number, when)
    try:
        guest.run()
    except Killed:
        guest.kill_at = None
        return guest
    except LakeError:
        return None
    raise AssertionError("a program that does not start was taken")


def test_killed_anywhere_on_the_way_back_the_old_one_serves_after_the_next_run() -> None:
    kills = 0
    for number in range(20):
        for when in ("before", "during", "after"):
            guest = killed_on_the_way_back(number, when)
            if guest is None:
                continue
            kills += 1
            last = number == 7 and when == "after"  # its work was done: the note is gone, so the next run is a new one
            for _ in range(2 if last else 1):
                with pytest.raises(LakeError, match="is back in place, serves, and was proven"):
                    guest.run()
            guest.works_with("old")
    assert kills == 8 * 3  # stage, note, switch, restart, note, switch, restart, remove


def test_killed_twice() -> None:
    for first in range(1, 5):
        for second in range(3):
            guest = Guest()
            guest.kill_at = (first, "after")
            with pytest.raises(Killed):
                guest.run()
            guest.kill_at = (len(guest.writes) + second, "before")
            with suppress(Killed):  # a later number may lie beyond the end
                guest.run()
            guest.kill_at = None
            guest.run()
            guest.works_with("new")


def unfinished(failure: str = "", in_place: str = "new") -> Guest:
    guest = Guest()
    guest.upgrade().prepare()
    guest.links["minio"] = in_place
    guest.notes[NOTE] = str(Trial("new", "old", failure))
    return guest


def test_thought_better_of_it_goes_back_without_an_error() -> None:
    guest = unfinished()
    guest.sources[str(LAKE.minio_binary.source)] = ("old", ELF, AGPL)
    guest.built.add("old")
    assert guest.upgrade().settle()
    guest.works_with("old")


def test_a_third_one_is_declared_meanwhile() -> None:
    guest = unfinished()
    guest.sources[str(LAKE.minio_binary.source)] = ("third", ELF, AGPL)
    guest.origins["new"] = "the declaration before"
    guest.run()
    guest.works_with("third")
    assert guest.proofs == ["old", "new", "new", "third"], "what was begun is finished first"


def test_a_third_one_was_put_there_by_hand_meanwhile() -> None:
    guest = unfinished(in_place="someones")
    guest.staged["someones"] = AGPL
    guest.run()
    guest.works_with("new")
    assert guest.previous["minio"] == "someones"


def test_out_of_reach_is_not_a_failure_of_the_new_program() -> None:
    class Gone(Guest):
        gone = False

        def restart(self, name: str) -> None:
            if self.gone:
                raise Unreachable("the lake's VM", "it does not answer in time")
            super().restart(name)

        def write_note(self, name: str, text: str) -> None:
            if self.gone and self.notes:
                raise Unreachable("the lake's VM", "it does not answer in time")
            super().write_note(name, text)

    guest = Gone()
    guest.gone = True
    with pytest.raises(Unreachable):
        guest.run()
    guest.gone = False
    guest.run()
    guest.works_with("new")


def test_a_note_keeps_what_it_says() -> None:
    for trial in (Trial("a" * 64, "b" * 64), Trial("a" * 64, "b" * 64, "Unable to start it: its journal ends with:\nline one\nline two.")):
        assert Trial.read(str(trial)) == trial
