"""Rotation of root's credentials: killed at every call and run again, the way back, and what is refused before anything is written."""

import copy
from dataclasses import replace

import pytest

from include.connections import Connection, secret_of
from include.lake.errors import LakeError, Refused
from include.lake.lake import load_lake
from include.lake.resource import ensure
from include.lake.resources.account import AccountState
from include.lake.resources.keypair import Pair
from include.lake.resources.namespace import NamespaceState
from include.lake.resources.user import UserState
from include.lake.root import root_rotation_of
from include.lake.secret import Secret, SecretRef
from tests.fakes.base import Killed
from tests.fakes.guest import FakeGuest
from tests.fakes.kubernetes import FakeKeyPairs
from tests.fakes.root import FakeRoot

LAKE = load_lake()
ROTATION, PAIR = root_rotation_of(LAKE), LAKE.key_pair
OLD, NEW, THIRD = Secret("root:password"), Secret("root:new-password"), Secret("boss:third-password")


class Guest(FakeGuest):
    """A guest with MinIO running. `checker` is what the connection lake_s3 holds."""

    checker: Secret | None = None

    def secret(self, ref: SecretRef) -> Secret:
        if ref.connection != "lake_s3":
            return super().secret(ref)
        if self.checker is None:
            raise LakeError("find", "the connection 'lake_s3'", "it is not configured")
        login, _, password = self.checker.reveal().partition(":")
        return secret_of(lambda _: Connection("lake_s3", "aws", login=login, password=Secret(password)), ref)


class Site:
    """A converged lake. `sticky` are credentials that MinIO accepts whatever its settings say."""

    def __init__(self) -> None:
        self.host, self.keys = Guest(), FakeKeyPairs()
        self.host.mounts[LAKE.mount.target] = "ours"
        self.host.accounts[LAKE.account.name] = AccountState()
        self.host.links["minio"] = "new"
        ensure(LAKE.minio_service, self.host)
        self.keys.namespaces[PAIR.namespace] = NamespaceState()
        self.keys.users[PAIR.user] = UserState(True, frozenset())
        ensure(PAIR, self.keys)
        self.host.writes.clear()
        self.said: list[str] = []
        self.sticky = frozenset[Secret]()
        self.forgetful = False

    def store(self, credentials: Secret) -> FakeRoot:
        return (Forgetful if self.forgetful else FakeRoot)(self.host, self.keys, credentials, self.sticky)

    def rotate(self) -> None:
        ROTATION.rotate(self.host, self.keys, self.store, self.said.append, lambda seconds: None)

    @property
    def file(self) -> Secret:
        return self.host.services["minio"].credentials

    def serves(self, credentials: Secret) -> None:
        """MinIO runs with these, as its file says, and nothing is kept."""
        assert (self.file, self.host.running["minio"], self.host.services["minio"].serving) == (credentials, credentials, True)
        assert not self.host.kept
        assert not any(s.reveal().partition(":")[2] in "\n".join(self.said) for s in (OLD, NEW, THIRD))


class Forgetful(FakeRoot):
    """It no longer knows the users' pairs once it runs with other credentials."""

    def accepts(self, pair: Pair) -> bool:
        if self.host.running["minio"] != OLD:
            self.keys.disabled.add(PAIR.pair(self.keys).access_key)
        return super().accepts(pair)


@pytest.fixture
def site() -> Site:
    return Site()


CALLS = ["keep_settings", "write_credentials", "restart", "forget_settings"]


@pytest.mark.parametrize("new", [NEW, THIRD], ids=["another password", "another name"])
def test_the_new_ones_are_written_proven_and_nothing_else_changes(site: Site, new: Secret) -> None:
    site.host.credentials = new
    before = site.host.services["minio"]
    site.rotate()
    site.serves(new)
    assert site.host.writes == CALLS
    assert site.host.services["minio"] == replace(before, credentials=new)
    assert not ensure(LAKE.minio_service, site.host).applied, "as declared"
    with pytest.raises(Refused, match=r"holds the credentials in force\. Change the connection 'minio_admin' first: S3_ROOT_USER.*site\.env.*Airflow.*Astro"):
        site.rotate()
    assert site.host.writes == CALLS
    assert "the key pairs of spark-user" in site.said[-1]


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("number", range(len(CALLS)))
def test_killed_at_every_call_the_next_run_goes_on(site: Site, number: int, when: str) -> None:
    site.host.credentials = NEW
    site.host.kill_at = (number, when)
    with pytest.raises(Killed):
        site.rotate()
    site.host.kill_at = None
    if site.file == NEW and not site.host.kept:  # killed after the very last call
        assert (number, when) == (3, "after")
    else:
        assert site.file == OLD or site.host.kept_credentials("minio") == OLD, "no way back"
        site.rotate()
    site.serves(NEW)


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_killed_and_the_owner_changes_his_mind(site: Site, number: int) -> None:
    """Back to the old ones, or on to others: whatever the connection says in the end is what holds."""
    for last in (OLD, THIRD):
        now = copy.deepcopy(site)
        now.host.credentials = NEW
        now.host.kill_at = (number, "after")
        with pytest.raises(Killed):
            now.rotate()
        now.host.kill_at, now.host.credentials = None, last
        if last == now.file:
            with pytest.raises(Refused, match="in force"):
                now.rotate()
            continue
        now.rotate()
        now.serves(last)


def dies(site: Site, why: str) -> None:
    """From now on the service does not start with other credentials than the old ones."""
    real = site.host._hindrance
    site.host._hindrance = lambda name: why if site.file != OLD else real(name)  # type: ignore[method-assign]


def test_a_service_that_does_not_start_comes_back_with_the_old_ones(site: Site) -> None:
    site.host.credentials = NEW
    dies(site, "it restarts in a loop. Its journal ends with:\nFATAL: Invalid credentials")
    with pytest.raises(
        LakeError, match=r"(?s)Unable to rotate root's credentials: it restarts in a loop.*FATAL: Invalid credentials\. The old ones are in force again"
    ):
        site.rotate()
    site.serves(OLD)


@pytest.mark.parametrize(("what", "said"), [("old accepted", "still accepts the old ones"), ("pair lost", "no longer accepts the key pair of spark-user")])
def test_what_is_not_proven_is_taken_back(site: Site, what: str, said: str) -> None:
    site.host.credentials = NEW
    site.forgetful = what == "pair lost"
    if what == "old accepted":
        site.sticky = frozenset({OLD})
    with pytest.raises(LakeError, match=rf"{said}\. The old ones are in force again"):
        site.rotate()
    site.serves(OLD)


def test_it_takes_a_moment_until_minio_knows_its_users(site: Site) -> None:
    site.host.credentials = NEW
    pair, waits = PAIR.pair(site.keys), list[float]()
    real = site.keys.owner
    site.keys.owner = lambda key: real(key) if len(waits) > 3 else None  # type: ignore[method-assign]
    ROTATION.rotate(site.host, site.keys, site.store, site.said.append, waits.append)
    assert len(waits) == 4
    assert site.keys.accepts(pair)
    site.serves(NEW)


def test_a_pair_that_did_not_work_before_need_not_afterwards(site: Site) -> None:
    site.host.credentials = NEW
    site.keys.disabled.add(PAIR.pair(site.keys).access_key)
    site.rotate()
    site.serves(NEW)
    assert "the key pairs of nobody" in site.said[-1]


def test_a_secret_with_a_users_own_name_and_password_is_as_valid_as_before(site: Site) -> None:
    """As an adopted lake may have it: the name of a user is no access key, and MinIO does not say whose it is."""
    own = Pair(PAIR.user, Secret("the-users-own-password"))
    site.keys.passwords[PAIR.user] = own.secret_key
    site.keys.secrets[PAIR.namespace, PAIR.name] = {PAIR.keys[0]: Secret(own.access_key), PAIR.keys[1]: own.secret_key}
    assert not ensure(PAIR, site.keys).applied
    site.host.credentials = NEW
    site.rotate()
    site.serves(NEW)
    assert "the key pairs of spark-user" in site.said[-1]


def test_a_failure_on_the_way_back_is_told_and_the_next_run_goes_on(site: Site) -> None:
    site.host.credentials = NEW
    dies(site, "it restarts in a loop")
    restore = site.host.restore_settings

    def gone(name: str) -> None:
        raise LakeError("reach", "the lake's VM", "it does not answer in time")

    site.host.restore_settings = gone  # type: ignore[method-assign]
    with pytest.raises(LakeError, match=r"in a loop; and the way back failed: it does not answer in time\. Run the rotation again"):
        site.rotate()
    site.host.restore_settings = restore  # type: ignore[method-assign]
    with pytest.raises(LakeError, match="The old ones are in force again"):
        site.rotate()
    site.serves(OLD)


@pytest.mark.parametrize(
    "wrong", ["root:short", "ro:a-good-password", "root:with space", "root:quo'te-in-it", "root:back\\slash", "a=b:a-good-password", ":a-good-password"]
)
def test_credentials_that_minio_or_systemd_would_not_take(site: Site, wrong: str) -> None:
    site.host.credentials = Secret(wrong)
    with pytest.raises(Refused, match="3 characters or more and a password of 8 or more") as caught:
        site.rotate()
    assert wrong.partition(":")[2] not in str(caught.value)
    assert not site.host.writes


def test_what_is_refused_before_anything_is_written(site: Site) -> None:
    site.host.credentials, site.host.checker = NEW, OLD
    with pytest.raises(Refused, match="the connection 'lake_s3' still holds the old ones"):
        site.rotate()
    site.host.checker = NEW
    site.host.credentials = Secret("spark-user:a-good-password")
    with pytest.raises(Refused, match="spark-user is the name of a user in MinIO"):
        site.rotate()
    del site.host.services["minio"]
    with pytest.raises(LakeError, match=r"not installed in the VM\. Run lake_bootstrap"):
        site.rotate()
    assert not site.host.writes
