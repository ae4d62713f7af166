"""The contract of AccountClient, with an account of its own; its data directory is the mount of the second disk."""

from dataclasses import replace

import pytest

from include.lake.errors import LakeError, Refused
from include.lake.resource import ensure
from include.lake.resources.account import Account, AccountState
from tests.contract.real import MAKE, NAME, TARGET, UUID, Disk
from tests.fakes.guest import FakeGuest

NEW = AccountState(system=True, login=False, owns_data=False)
OWNER = replace(NEW, owns_data=True)
RESOURCE = Account(NAME, TARGET, f"mount{TARGET}", AccountState())


class Fake:
    """A new fake for each test."""

    def clear(self) -> None:
        self.client = FakeGuest()
        self.client.mounts[TARGET] = UUID

    def close(self) -> None:
        pass

    def put(self, state: AccountState) -> None:
        """Make the account by hand."""
        self.client.accounts[NAME] = state
        self.client.foreign.add("account")
        self.client.owners[TARGET] = NAME if state.owns_data else "root"

    def lies_in_it(self, owner: str) -> None:
        """Put a folder of that account into the data directory, or nothing."""
        self.client.content = {TARGET: owner} if owner else {}

    def mounted(self, now: bool) -> None:
        """Mount the data directory, or unmount it, by hand."""
        self.client.mounts = {TARGET: UUID} if now else {}


class Real:
    """The lab's VM."""

    needs = "disk"

    def __init__(self, disk: Disk) -> None:
        self.disk, self.root, self.client = disk, disk.parts.root, disk.parts.clients.host
        disk.carry(MAKE)
        self.mounted(True)

    def clear(self) -> None:
        self.root(f"mountpoint -q {TARGET} || mount {self._what}; userdel -f {NAME} 2>/dev/null; chown root:root {TARGET}; chmod 755 {TARGET}")

    def close(self) -> None:
        self.disk.carry()

    _what = f"UUID={UUID} {TARGET}"

    def put(self, state: AccountState) -> None:
        system, shell = "--system" if state.system else "", "/bin/bash" if state.login else "/usr/sbin/nologin"
        own = f"chown {NAME}:{NAME} {TARGET}; chmod 750 {TARGET}" if state.owns_data else ""
        self.root(f"useradd {system} --user-group --no-create-home --shell {shell} {NAME}; {own}")

    def lies_in_it(self, owner: str) -> None:
        self.root(f"rm -rf {TARGET}/thing; {f'mkdir {TARGET}/thing; chown {owner}: {TARGET}/thing' if owner else 'true'}")

    def mounted(self, now: bool) -> None:
        self.root(f"mkdir -p {TARGET}; mount {self._what}" if now else f"umount {TARGET}")


Rig = Fake | Real


def look(rig: Rig) -> AccountState | None:
    return rig.client.account(NAME, TARGET)


def test_from_nothing_to_an_account_as_declared(rig: Rig) -> None:
    assert look(rig) is None
    for call in (lambda: rig.client.close_login(NAME), lambda: rig.client.give_data(NAME, TARGET)):
        with pytest.raises(LakeError):
            call()
    rig.client.add_account(NAME)
    assert look(rig) == NEW
    assert ensure(RESOURCE, rig.client).plan.fields() == {"owns_data"}
    with pytest.raises(LakeError):
        rig.client.add_account(NAME)
    for again in (lambda: rig.client.give_data(NAME, TARGET), lambda: rig.client.close_login(NAME)):
        again()
    assert look(rig) == OWNER
    assert rig.client.account(NAME, "/srv") == NEW, "another directory is not its own"
    assert not ensure(RESOURCE, rig.client).plan


def test_it_is_added_as_declared(rig: Rig) -> None:
    assert ensure(RESOURCE, rig.client).plan.fields() == {"system", "login", "owns_data"}
    assert look(rig) == OWNER


def test_a_login_is_taken_away_and_the_bare_directory_never_given(rig: Rig) -> None:
    rig.put(replace(OWNER, login=True))
    assert look(rig) == replace(OWNER, login=True)
    assert ensure(RESOURCE, rig.client).plan.fields() == {"login"}
    rig.mounted(False)
    assert look(rig) == NEW
    with pytest.raises(LakeError, match="not mounted"):
        rig.client.give_data(NAME, TARGET)
    rig.mounted(True)
    assert look(rig) == OWNER


def test_an_ordinary_account_is_refused(rig: Rig) -> None:
    rig.put(replace(OWNER, system=False))
    assert look(rig) == replace(OWNER, system=False)
    with pytest.raises(Refused):
        ensure(RESOURCE, rig.client)


def test_an_account_goes_when_homelake_added_it(rig: Rig) -> None:
    gone = Account(NAME, TARGET, f"mount{TARGET}", None)
    assert not ensure(gone, rig.client).plan
    ensure(RESOURCE, rig.client)
    assert rig.client.made_account(NAME)
    assert ensure(gone, rig.client).applied
    assert look(rig) is None
    rig.client.remove_account(NAME)  # once more: no error
    rig.lies_in_it("root")
    assert not ensure(gone, rig.client).plan, "whosever the data are"
    rig.lies_in_it("")
    rig.put(OWNER)
    with pytest.raises(Refused, match="Homelake did not add it"):
        ensure(gone, rig.client)
    assert look(rig) == OWNER


def test_what_lies_in_the_directory_must_be_its_own(rig: Rig) -> None:
    rig.lies_in_it("root")
    with pytest.raises(Refused, match=f"what lies in {TARGET} belongs to root"):
        ensure(RESOURCE, rig.client)  # before there is any account
    rig.put(OWNER)
    with pytest.raises(Refused, match="belongs to root"):
        look(rig)
    rig.lies_in_it(NAME)
    assert look(rig) == OWNER
    rig.lies_in_it("")
