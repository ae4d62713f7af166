"""The contract of RootStore: MinIO as root, with the right credentials and with wrong ones. RootHost's is in test_service."""

import pytest

from include.adapters.rotation import as_root
from include.lake.errors import LakeError
from include.lake.resources.keypair import Pair
from include.lake.resources.user import UserState
from include.lake.root import RootStore
from include.lake.secret import Secret
from tests.contract import minio
from tests.contract.real import Parts
from tests.fakes.guest import FakeGuest
from tests.fakes.kubernetes import FakeKeyPairs
from tests.fakes.root import FakeRoot

NOBODY = Pair("CONTRACTNOBODY", Secret("a-secret-of-nobody"))


class Fake:
    """A service that runs with root's credentials, and the users' pairs."""

    def clear(self) -> None:
        self.root, self.name, self.pair = Pair("root", Secret("root-password")), minio.NAME, Pair("CONTRACTKEY", Secret("a-secret-of-enough"))
        self.host, self.keys = FakeGuest(), FakeKeyPairs()
        self.host.running["minio"] = credentials(self.root)

    def close(self) -> None:
        pass

    def add_user(self) -> None:
        """A user with an access key of its own."""
        self.keys.users[self.name] = UserState(True, frozenset())
        self.keys.put_access_key(self.name, self.pair, new=True)

    def store(self, pair: Pair) -> RootStore:
        return FakeRoot(self.host, self.keys, credentials(pair))


class Real(minio.Real):
    """The lake's MinIO."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.parts = parts
        self.root = Pair(parts.lab["S3_ROOT_USER"], Secret(parts.lab["S3_ROOT_PASSWORD"]))

    def add_user(self) -> None:
        self.client.add_user(self.name)
        self.client.put_access_key(self.name, self.pair, new=True)

    def store(self, pair: Pair) -> RootStore:
        return as_root(self.parts.clients)(credentials(pair))


def credentials(pair: Pair) -> Secret:
    return Secret(f"{pair.access_key}:{pair.secret_key.reveal()}")


def test_whom_it_lets_in(rig: Fake | Real) -> None:
    rig.add_user()
    store = rig.store(rig.root)
    assert [store.accepts(p) for p in (rig.root, rig.pair)] == [True, True]
    assert [store.accepts(p) for p in (NOBODY, Pair(rig.root.access_key, NOBODY.secret_key), Pair(rig.pair.access_key, NOBODY.secret_key))] == [False] * 3
    assert rig.store(NOBODY).accepts(rig.root)  # asked with the pair itself, whoever asks


def test_a_user_by_its_name(rig: Fake | Real) -> None:
    rig.add_user()
    store = rig.store(rig.root)
    assert store.user(rig.name) == UserState(True, frozenset())
    assert store.user("contract-nobody") is None
    with pytest.raises(LakeError, match="log in"):
        rig.store(Pair(rig.root.access_key, NOBODY.secret_key)).user(rig.name)
