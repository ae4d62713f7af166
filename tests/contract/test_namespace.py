"""The contract of NamespaceClient."""

import pytest

from include.lake.errors import LakeError
from include.lake.resource import ensure, plan
from include.lake.resources.namespace import Namespace, NamespaceState
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
