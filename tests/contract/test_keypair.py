"""The contract of KeyPairClient: pairs in Kubernetes secrets, and as access keys of MinIO. What hashes in the emulated VM costs seconds: few calls."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from minio.error import MinioAdminException

from include.connections import Connection
from include.lake.errors import LakeError, Refused
from include.lake.resource import ensure, plan
from include.lake.resources.keypair import KeyPair, KeyPairState, Pair
from include.lake.resources.namespace import NamespaceState
from include.lake.resources.user import UserState
from include.lake.rotation import PodUse
from include.lake.secret import Secret
from include.lake.spark import APP_LABEL, GROUP, PLURAL, STREAM, VERSION, Job, Where, application, named
from tests.contract import kubernetes, minio
from tests.contract.real import Parts
from tests.fakes.kubernetes import FakeKeyPairs

KEYS = ("access-key", "secret-key")


class Fake(kubernetes.Fake, minio.Fake):
    """A new fake for each test, with a user and a namespace."""

    def clear(self) -> None:
        minio.Fake.clear(self)
        self.client, self.namespace = FakeKeyPairs(), "contract"
        self.client.users[self.name] = UserState(True, frozenset())
        self.client.namespaces[self.namespace] = NamespaceState()

    def give(self, found: Callable[[], Connection]) -> None:
        """Set the connection in which the owner gives the pair."""
        try:
            connection = found()
            self.client.owners_pair = Pair(connection.login, connection.password)
        except LakeError as error:
            self.client.owners_pair = error

    def start_pod(self, name: str, secret: str, *, stream: str = "") -> None:
        """A pod that takes a variable from a secret; of a SparkApplication that is labelled as a stream, when it is named."""
        self.client.now += timedelta(seconds=2)
        self.client.pods.setdefault((self.namespace, secret), []).append(PodUse(name, self.client.now, stream, bool(stream)))

    def end_pod(self, name: str) -> None:
        """It ends."""
        self.client.pods = {k: [p for p in pods if p.name != name] for k, pods in self.client.pods.items()}

    def pass_time(self) -> None:
        """Two seconds go by."""
        self.client.now += timedelta(seconds=2)


class Real:
    """The lake's MinIO with a user, and the lab's Kubernetes with a namespace, both of the suite's own."""

    needs = "with_minio"

    def __init__(self, parts: Parts) -> None:
        self.parts, self.client = parts, parts.clients.keypair
        self.store, self.cluster = minio.Real(parts), kubernetes.Real(parts)
        self.store.clear()
        self.cluster.clear()
        self.name, self.namespace, self.pair = self.store.name, self.cluster.namespace, self.store.pair
        self.store.client.add_user(self.name)
        self.cluster.client.make_namespace(self.namespace)

    def clear(self) -> None:
        with suppress(MinioAdminException):
            self.store.admin.delete_service_account(self.pair.access_key)
        mark = uuid4().hex[:8]
        self.pair = Pair(f"CONTRACT{mark.upper()}", Secret(uuid4().hex))
        self.parts.further.clear()
        for pod in self.cluster.core.list_namespaced_pod(self.namespace).items:
            self.cluster.core.delete_namespaced_pod(pod.metadata.name, self.namespace, grace_period_seconds=0)
        for secret in self.cluster.core.list_namespaced_secret(self.namespace).items:
            self.cluster.core.delete_namespaced_secret(secret.metadata.name, self.namespace)

    def close(self) -> None:
        self.store.clear()
        self.cluster.clear()

    def give(self, found: Callable[[], Connection]) -> None:
        self.parts.further[f"lake_user_{self.name.replace('-', '_')}"] = found

    def set_password(self) -> str:
        return self.store.set_password()

    def switch_off(self, pair: Pair) -> None:
        self.store.switch_off(pair)

    def disable_user(self) -> None:
        self.store.disable_user()

    def put_secret(self, name: str, values: dict[str, str]) -> None:
        self.cluster.put_secret(name, values)

    def start_pod(self, name: str, secret: str, *, stream: str = "") -> None:
        env = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": secret, "key": "a"}}}]
        if stream:
            body = named(application(Job("x.py"), Where(self.namespace, "x", "x", "s", "a", "b"), {}), stream)
            body["metadata"]["labels"][STREAM] = "true"
            self.cluster.client.custom.create_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, body)
        self.cluster.core.create_namespaced_pod(self.namespace, {
            "metadata": {"name": name, "labels": {APP_LABEL: stream} if stream else {}},
            "spec": {"containers": [{"name": "c", "image": "none", "env": env}], "schedulerName": "nobody"}})  # fmt: skip

    def end_pod(self, name: str) -> None:
        self.cluster.core.patch_namespaced_pod_status(name, self.namespace, {"status": {"phase": "Succeeded"}})

    def pass_time(self) -> None:
        time.sleep(2)


Rig = Fake | Real


def other(pair: Pair) -> Pair:
    return replace(pair, secret_key=Secret("quite-another-secret"))


def test_the_owners_pair(rig: Rig) -> None:
    assert rig.client.given(rig.name) is None
    rig.give(lambda: Connection("lake_user", "generic", login="AKOWN", password=Secret("the-owners-own")))
    assert rig.client.given(rig.name) == Pair("AKOWN", Secret("the-owners-own"))

    def broken() -> Connection:
        raise LakeError("read", "the connection", "it is neither Airflow's JSON form nor a URI")

    rig.give(broken)
    with pytest.raises(LakeError):
        rig.client.given(rig.name)  # never as if there were none


def test_new_pairs_are_well_formed_and_differ(rig: Rig) -> None:
    one, two = rig.client.new_pair(), rig.client.new_pair()
    assert one.well_formed() and two.well_formed()
    assert one.access_key != two.access_key
    assert one.secret_key != two.secret_key


def test_a_secret_keeps_the_keys_that_are_not_written(rig: Rig) -> None:
    assert rig.client.secret(rig.namespace, "pair") is None
    assert rig.client.secret("contract-nowhere", "pair") is None
    with pytest.raises(LakeError):
        rig.client.write_secret("contract-nowhere", "pair", {"a": Secret("1")})
    for values, whole in (({"a": "1"}, {"a": "1"}), ({"b": "é=\n"}, {"a": "1", "b": "é=\n"}), ({"a": "2"}, {"a": "2", "b": "é=\n"})):
        rig.client.write_secret(rig.namespace, "pair", {k: Secret(v) for k, v in values.items()})
        assert rig.client.secret(rig.namespace, "pair") == {k: Secret(v) for k, v in whole.items()}
    rig.put_secret("by-hand", {})
    assert rig.client.secret(rig.namespace, "by-hand") == {}


def test_a_pair_that_minio_does_not_know(rig: Rig) -> None:
    assert rig.client.owner(rig.pair.access_key) is None
    assert rig.client.accepts(rig.pair) is False
    for user, pair, new in ((rig.name, rig.pair, False), ("contract-nobody", rig.pair, True), (rig.name, Pair("x", Secret("short")), True)):
        with pytest.raises(LakeError):
            rig.client.put_access_key(user, pair, new=new)
    with pytest.raises(LakeError):
        rig.client.owner(rig.name)  # a user's name is no access key, and not free for one
    assert rig.client.owner(rig.pair.access_key) is None


def test_an_access_key_is_made_once_and_given_another_secret(rig: Rig) -> None:
    rig.client.put_access_key(rig.name, rig.pair, new=True)
    assert rig.client.owner(rig.pair.access_key) == rig.name
    assert (rig.client.accepts(rig.pair), rig.client.accepts(other(rig.pair))) == (True, False)
    with pytest.raises(LakeError):
        rig.client.put_access_key(rig.name, other(rig.pair), new=True)
    assert (rig.client.accepts(rig.pair), rig.client.accepts(other(rig.pair))) == (True, False)
    rig.client.put_access_key(rig.name, other(rig.pair), new=False)
    assert (rig.client.accepts(rig.pair), rig.client.accepts(other(rig.pair))) == (False, True)
    rig.switch_off(rig.pair)
    assert rig.client.accepts(other(rig.pair)) is False
    rig.client.put_access_key(rig.name, other(rig.pair), new=False)  # and switches it on again
    assert rig.client.accepts(other(rig.pair)) is True


@pytest.mark.parametrize(
    ("start", "fields"), [("nothing", {"complete", "accepted"}), ("half a secret", {"complete", "accepted"}), ("another secret", {"accepted"})]
)
def test_the_law_holds(rig: Rig, start: str, fields: set[str]) -> None:
    resource = KeyPair(rig.name, rig.namespace, "pair", KEYS, KeyPairState(None))
    values = {KEYS[0]: rig.pair.access_key, KEYS[1]: rig.pair.secret_key.reveal(), "third": "stays"}
    if start == "another secret":
        rig.put_secret("pair", values)
        rig.client.put_access_key(rig.name, other(rig.pair), new=True)
    elif start == "half a secret":
        rig.put_secret("pair", {KEYS[0]: rig.pair.access_key, "third": "stays"})
    assert ensure(resource, rig.client).plan.fields() == fields
    found = resource.pair(rig.client)
    assert rig.client.accepts(found)
    todo, state = plan(resource, rig.client)
    assert (todo.changes, state) == ((), KeyPairState(found))
    secret = rig.client.secret(rig.namespace, "pair") or {}
    assert secret.get("third") == (None if start == "nothing" else Secret("stays"))
    rig.pair = found  # what is cleared away


def test_an_access_key_of_someone_else_is_refused(rig: Rig) -> None:
    rig.client.put_access_key(rig.name, rig.pair, new=True)
    rig.put_secret("pair", {KEYS[0]: rig.pair.access_key, KEYS[1]: rig.pair.secret_key.reveal()})
    with pytest.raises(Refused, match=f"belongs to {rig.name}"):
        ensure(KeyPair("another-user", rig.namespace, "pair", KEYS, KeyPairState(None)), rig.client)


def test_a_patch_sets_and_removes_at_once_and_its_time_is_known(rig: Rig) -> None:
    for name in ("nowhere", "pair"):
        with pytest.raises(LakeError):
            rig.client.patch_secret(rig.namespace, name, {"a": Secret("1")})
        assert rig.client.secret(rig.namespace, name) is None, "it was made"
    rig.put_secret("pair", {"a": "1", "b": "2", "third": "stays"})
    rig.pass_time()
    before = rig.client.clock(rig.namespace)
    rig.client.patch_secret(rig.namespace, "pair", {"a": Secret("é=\n"), "b": None, "c": Secret("3"), "never": None})
    assert rig.client.secret(rig.namespace, "pair") == {"a": Secret("é=\n"), "c": Secret("3"), "third": Secret("stays")}
    written = rig.client.written(rig.namespace, "pair", "c")
    assert written
    assert before - timedelta(seconds=1) <= written <= rig.client.clock(rig.namespace)
    rig.pass_time()
    rig.client.write_secret(rig.namespace, "pair", {"third": Secret("changed by another")})
    assert rig.client.written(rig.namespace, "pair", "c") == written
    rig.client.patch_secret(rig.namespace, "pair", {"c": None})
    for name, key in (("pair", "c"), ("pair", "nothing"), ("nowhere", "c")):
        assert rig.client.written(rig.namespace, name, key) is None
    assert rig.client.clock(rig.namespace) > written


def test_the_pods_that_use_a_secret(rig: Rig) -> None:
    assert rig.client.pods_with(rig.namespace, "pair") == []
    began = rig.client.clock(rig.namespace)
    rig.start_pod("one", "pair")
    rig.start_pod("other", "another")
    rig.start_pod("driver", "pair", stream="payments")
    found = {p.name: p for p in rig.client.pods_with(rig.namespace, "pair")}
    assert {n: (p.application, p.stream) for n, p in found.items()} == {"one": ("", False), "driver": ("payments", True)}
    assert all(began - timedelta(seconds=1) <= p.created <= rig.client.clock(rig.namespace) for p in found.values())
    rig.end_pod("one")
    assert [p.name for p in rig.client.pods_with(rig.namespace, "pair")] == ["driver"]


def test_access_keys_are_listed_and_removed(rig: Rig) -> None:
    rig.client.remove_access_key(rig.pair.access_key)  # there is none
    assert rig.client.keys_of("contract-nobody") == {}
    rig.client.put_access_key(rig.name, rig.pair, new=True)
    assert rig.client.keys_of(rig.name) == {rig.pair.access_key: "homelake"}
    rig.client.remove_access_key(rig.pair.access_key)
    assert (rig.client.keys_of(rig.name), rig.client.owner(rig.pair.access_key), rig.client.accepts(rig.pair)) == ({}, None, False)


def test_two_pairs_are_valid_at_once(rig: Rig) -> None:
    second = Pair(f"{rig.pair.access_key[:-1]}_", Secret("another-secret-key"))
    for pair in (rig.pair, second):
        rig.client.put_access_key(rig.name, pair, new=True)
    assert rig.client.accepts(rig.pair) and rig.client.accepts(second)
    rig.client.remove_access_key(second.access_key)
    assert rig.client.accepts(rig.pair)
    with pytest.raises(LakeError, match="InvalidAccessKeyId"):
        rig.client.tenant(second).put("datalake", "x", b"x")


def test_a_pair_goes_with_its_secret_which_others_must_not_have_made(rig: Rig) -> None:
    gone = KeyPair(rig.name, rig.namespace, "contract", KEYS, None)
    assert not ensure(gone, rig.client).plan
    ensure(replace(gone, desired=KeyPairState(None)), rig.client)
    pair = gone.pair(rig.client)
    assert rig.client.made_secret(rig.namespace, "contract")
    assert ensure(gone, rig.client).applied
    assert rig.client.secret(rig.namespace, "contract") is None
    assert rig.client.owner(pair.access_key) is None
    assert not ensure(gone, rig.client).plan
    rig.client.remove_secret(rig.namespace, "contract")  # once more: no error
    rig.put_secret("contract", {KEYS[0]: rig.pair.access_key, KEYS[1]: rig.pair.secret_key.reveal()})
    with pytest.raises(Refused, match="Homelake did not make the secret"):
        ensure(gone, rig.client)


def test_a_users_own_name_and_password_are_a_pair_as_well(rig: Rig) -> None:
    """So secrets are often made by hand: it is taken as it is, and a wrong password gives way to a new pair."""
    resource = KeyPair(rig.name, rig.namespace, "contract", KEYS, KeyPairState(None))
    password = rig.set_password()
    rig.put_secret("contract", {KEYS[0]: rig.name, KEYS[1]: password})
    assert not ensure(resource, rig.client).plan
    rig.client.write_secret(rig.namespace, "contract", {KEYS[1]: Secret("not-the-password")})
    assert ensure(resource, rig.client).plan.fields() == {"accepted"}
    assert resource.pair(rig.client).access_key != rig.name
