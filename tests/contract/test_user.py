"""The contract of UserClient. Adding a user costs an emulated VM seconds (its password is hashed there), so the tests add few."""

import pytest

from include.lake.errors import LakeError, Refused
from include.lake.policy import policy_document
from include.lake.resource import ensure, plan
from include.lake.resources.policy import Policy
from include.lake.resources.user import User, UserState
from tests.contract.minio import Fake, Real, Rig

__all__ = ["Fake", "Real"]  # for the fixture `rig`
NONE: frozenset[str] = frozenset()


def test_a_user_that_is_not_there(rig: Rig) -> None:
    assert rig.client.user(rig.name) is None
    for call in (rig.client.enable_user, lambda name: rig.client.hold(name, NONE)):
        with pytest.raises(LakeError):
            call(rig.name)
    assert rig.client.user(rig.name) is None


def test_a_user_and_what_it_holds(rig: Rig) -> None:
    own = frozenset({rig.name})
    rig.client.add_user(rig.name)
    assert rig.client.user(rig.name) == UserState(True, NONE)
    with pytest.raises(LakeError):
        rig.client.hold(rig.name, own)  # there is no such policy yet
    assert rig.client.user(rig.name) == UserState(True, NONE)
    rig.client.put_policy(rig.name, policy_document("read-only", ("contract-bucket",)))
    for held in (own, own, NONE, own):
        rig.client.hold(rig.name, held)
        assert rig.client.user(rig.name) == UserState(True, held)
    rig.disable_user()
    assert rig.client.user(rig.name) == UserState(False, own)
    for _ in range(2):
        rig.client.enable_user(rig.name)
        assert rig.client.user(rig.name) == UserState(True, own)
    rig.disable_user()
    rig.client.add_user(rig.name)  # as a run does that was killed: it keeps what it holds
    assert rig.client.user(rig.name) == UserState(True, own)


@pytest.mark.parametrize(("there", "fields"), [(False, {"enabled", "policies"}), (True, {"enabled", "policies"})], ids=["nothing", "switched off, no policy"])
def test_the_law_holds(rig: Rig, there: bool, fields: set[str]) -> None:
    rig.client.put_policy(rig.name, policy_document("read-only", ("contract-bucket",)))
    if there:
        rig.client.add_user(rig.name)
        rig.disable_user()
    resource = User(rig.name, f"policy/{rig.name}", UserState(True, frozenset({rig.name})))
    assert ensure(resource, rig.client).plan.fields() == fields
    todo, state = plan(resource, rig.client)
    assert (todo.changes, state) == ((), resource.desired)


def test_a_user_goes_with_its_policy_unless_others_made_keys_for_it(rig: Rig) -> None:
    user, policy = User(rig.name, f"policy/{rig.name}", None), Policy(rig.name, "service/minio", {}, None)
    rig.client.put_policy(rig.name, policy_document("read-only", ("contract-bucket",)))
    rig.client.add_user(rig.name)
    rig.client.hold(rig.name, frozenset({rig.name}))
    with pytest.raises(LakeError):
        rig.client.remove_policy(rig.name)  # which someone holds
    assert rig.client.policy(rig.name) is not None
    rig.client.put_access_key(rig.name, rig.pair, new=True)
    rig.add_key_by_hand()
    names = sorted(rig.client.keys_of(rig.name).values())
    assert (len(names), names.count("homelake")) == (2, 1)
    with pytest.raises(Refused, match="1 access key that Homelake did not make"):
        ensure(user, rig.client)
    for key, name in rig.client.keys_of(rig.name).items():
        if name != "homelake":
            rig.client.remove_access_key(key)
    for resource in (user, policy):
        assert ensure(resource, rig.client).applied
        assert not ensure(resource, rig.client).plan
    assert rig.client.owner(rig.pair.access_key) is None, "its keys go with it"
    rig.client.remove_user(rig.name)  # once more: no error
    rig.client.remove_policy(rig.name)
