"""The contract of ServiceAccountClient: an account, its role and its binding, all of one name."""

import pytest

from include.lake.errors import LakeError, Refused
from include.lake.resource import ensure, plan
from include.lake.resources.service_account import DRIVER_RULES, ServiceAccount, ServiceAccountState
from tests.contract.kubernetes import Fake, Real, Rig

__all__ = ["Fake", "Real"]  # for the fixture `rig`
NAME, NONE = "contract-sa", frozenset[str]()
FEW = frozenset({"get pods", "list pods", "get pods/log"})


@pytest.mark.parametrize("going", [False, True], ids=["no namespace", "a namespace that is being deleted"])
def test_nothing_is_made_without_its_namespace(rig: Rig, going: bool) -> None:
    if going:
        rig.client.make_namespace(rig.namespace)
        rig.delete_slowly()
    assert rig.client.service_account(rig.namespace, NAME) is None
    for call in (lambda: rig.client.make_service_account(rig.namespace, NAME), lambda: rig.client.put_role(rig.namespace, NAME, FEW),
                 lambda: rig.client.bind(rig.namespace, NAME)):  # fmt: skip
        with pytest.raises(LakeError):
            call()
    assert rig.client.service_account(rig.namespace, NAME) is None


def test_each_of_the_three_is_made_by_itself_and_again(rig: Rig) -> None:
    rig.client.make_namespace(rig.namespace)
    assert rig.client.service_account(rig.namespace, NAME) is None
    for rules in (FEW, FEW, DRIVER_RULES, NONE, FEW):
        rig.client.put_role(rig.namespace, NAME, rules)
        assert rig.client.service_account(rig.namespace, NAME) == ServiceAccountState(exists=False, rules=rules, bound=False)
    for _ in range(2):
        rig.client.bind(rig.namespace, NAME)
        assert rig.client.service_account(rig.namespace, NAME) == ServiceAccountState(exists=False, rules=FEW, bound=True)
    for _ in range(2):
        rig.client.make_service_account(rig.namespace, NAME)
        assert rig.client.service_account(rig.namespace, NAME) == ServiceAccountState(exists=True, rules=FEW, bound=True)


@pytest.mark.parametrize(("first", "fields"), [("nothing", {"exists", "rules", "bound"}), ("account", {"rules", "bound"}), ("more rights", {"rules"}),
                                               ("bound to another role", {"rules", "bound"}), ("as declared", set())])  # fmt: skip
def test_the_law_holds(rig: Rig, first: str, fields: set[str]) -> None:
    declared = ServiceAccountState(exists=True, rules=DRIVER_RULES, bound=True)
    resource = ServiceAccount(rig.namespace, NAME, declared)
    rig.client.make_namespace(rig.namespace)
    if first == "account":
        rig.client.make_service_account(rig.namespace, NAME)
    elif first != "nothing":
        ensure(
            ServiceAccount(rig.namespace, NAME, ServiceAccountState(True, DRIVER_RULES | ({"get secrets"} if first == "more rights" else NONE), True)),
            rig.client,
        )
    if first == "bound to another role":
        rig.bind_elsewhere(NAME)
    assert ensure(resource, rig.client).plan.fields() == fields
    todo, state = plan(resource, rig.client)
    assert (todo.changes, state) == ((), declared)


def test_the_three_go_unless_others_made_one_of_them(rig: Rig) -> None:
    rig.client.make_namespace(rig.namespace)
    gone = ServiceAccount(rig.namespace, NAME, None)
    assert not ensure(gone, rig.client).plan
    ensure(ServiceAccount(rig.namespace, NAME, ServiceAccountState(True, FEW, True)), rig.client)
    assert rig.client.strangers(rig.namespace, NAME) == []
    assert ensure(gone, rig.client).applied
    assert rig.client.service_account(rig.namespace, NAME) is None
    rig.client.remove_service_account(rig.namespace, NAME)  # once more: no error
    rig.make_by_hand("account", "role")
    assert rig.client.strangers(rig.namespace, "mine") == ["account", "role"]
    with pytest.raises(Refused, match="Homelake did not make its account and role"):
        ensure(ServiceAccount(rig.namespace, "mine", None), rig.client)
