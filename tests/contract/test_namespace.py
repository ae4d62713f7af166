"""The contract of NamespaceClient."""

import pytest

from include.lake.errors import LakeError, Refused
from include.lake.resource import ensure, plan
from include.lake.resources.namespace import Namespace, NamespaceState
from include.lake.secret import Secret
from tests.contract.kubernetes import Fake, Real, Rig

__all__ = ["Fake", "Real"]  # for the fixture `rig`


def test_a_namespace_is_made_and_made_again(rig: Rig) -> None:
    assert rig.client.namespace(rig.namespace) is None
    for _ in range(2):
        rig.client.make_namespace(rig.namespace)
        assert rig.client.namespace(rig.namespace) == NamespaceState(active=True)


def test_one_that_is_being_deleted_is_there_and_not_revived(rig: Rig) -> None:
    rig.client.make_namespace(rig.namespace)
    rig.delete_slowly()
    assert rig.client.namespace(rig.namespace) == NamespaceState(active=False)
    rig.client.make_namespace(rig.namespace)
    assert rig.client.namespace(rig.namespace) == NamespaceState(active=False)
    with pytest.raises(LakeError, match="being deleted"):
        ensure(Namespace(rig.namespace, NamespaceState()), rig.client)


@pytest.mark.parametrize(("there", "fields"), [(False, {"active"}), (True, set())])
def test_the_law_holds(rig: Rig, there: bool, fields: set[str]) -> None:
    resource = Namespace(rig.namespace, NamespaceState())
    if there:
        rig.client.make_namespace(rig.namespace)
    assert ensure(resource, rig.client).plan.fields() == fields
    todo, state = plan(resource, rig.client)
    assert (todo.changes, state) == ((), NamespaceState())


def test_a_namespace_goes_when_nothing_of_others_is_in_it(rig: Rig) -> None:
    gone = Namespace(rig.namespace, None)
    assert not ensure(gone, rig.client).plan
    rig.client.make_namespace(rig.namespace)
    rig.client.make_service_account(rig.namespace, "ours")
    rig.client.write_secret(rig.namespace, "ours", {"key": Secret("value")})
    assert rig.client.guests(rig.namespace) == []
    rig.make_by_hand("config map")
    assert rig.client.guests(rig.namespace) == ["configmap mine"]
    rig.make_by_hand("job")
    assert rig.client.guests(rig.namespace) == ["configmap mine", "job mine"]
    with pytest.raises(Refused, match="Homelake did not make configmap mine, job mine"):
        ensure(gone, rig.client)
    assert rig.client.namespace(rig.namespace) == NamespaceState()
    rig.client.remove_namespace(rig.namespace)  # all the same
    assert rig.client.namespace(rig.namespace) is None
    rig.client.remove_namespace(rig.namespace)  # once more: no error
    rig.client.make_namespace(rig.namespace)
    assert ensure(gone, rig.client).applied
    assert rig.client.namespace(rig.namespace) is None


def test_a_namespace_of_others_stays(rig: Rig) -> None:
    rig.make_by_hand("namespace")
    with pytest.raises(Refused, match="Homelake did not make the namespace"):
        ensure(Namespace(rig.namespace, None), rig.client)
