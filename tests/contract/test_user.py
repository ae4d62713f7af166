"""The contract of UserClient. Adding a user costs an emulated VM seconds (its password is hashed there), so the tests add few."""

import pytest

from include.lake.errors import LakeError
from include.lake.policy import policy_document
from include.lake.resource import ensure, plan
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
