"""The law itself: plan and ensure at their edges. Every real resource is put to it in test_law.py."""

import json
from typing import Any

import pytest

from include.lake.errors import LakeError, NotConverged, Refused, Unreachable
from include.lake.resource import LATER, Action, Change, Plan, ensure, plan, show
from include.lake.secret import Secret
from include.lake.units import Size
from tests.unit.lake.toys import Lamp, Switch


def planned(desired: Lamp | None, **client: Any) -> Plan:
    return plan(Switch(desired=desired), client)[0]


def test_a_field_that_is_none_is_not_managed() -> None:
    assert not planned(Lamp(on=True), lamp=Lamp(on=True, colour="red", watts=60))
    made = planned(Lamp(on=True), lamp=None)
    assert (made.action, made.fields()) == (Action.CREATE, {"on"})


def test_a_field_that_is_false_is_managed() -> None:
    assert planned(Lamp(on=False), lamp=Lamp(on=True)).changes == (Change("on", True, False),)


def test_only_the_difference_is_planned() -> None:
    todo = planned(Lamp(True, "red", 60), lamp=Lamp(True, "blue", 60))
    assert (todo.action, todo.changes) == (Action.UPDATE, (Change("colour", "blue", "red"),))


def test_what_is_declared_absent_is_deleted_and_then_left_alone() -> None:
    there = planned(None, lamp=Lamp(on=True))
    assert (there.action, there.fields()) == (Action.DELETE, {"*"})
    assert not planned(None, lamp=None)
    client: dict[str, Any] = {"lamp": Lamp(on=True)}
    assert ensure(Switch(desired=None), client).applied
    assert client["lamp"] is None
    assert not ensure(Switch(desired=None), client).applied


def test_check_mode_looks_once_and_touches_nothing() -> None:
    client: dict[str, Any] = {"lamp": None}
    outcome = ensure(Switch(desired=Lamp(on=True)), client, check=True)
    assert (bool(outcome.plan), outcome.applied) == (True, False)
    assert "applied" not in client
    assert client["looks"] == 1


def test_nothing_to_do_costs_one_look() -> None:
    client: dict[str, Any] = {"lamp": Lamp(on=True)}
    assert not ensure(Switch(desired=Lamp(on=True)), client).applied
    assert client["looks"] == 1


def test_a_danger_is_refused_before_anything_is_touched_unless_force_names_the_resource() -> None:
    resource, client = Switch(desired=Lamp(True, watts=2000)), dict[str, Any](lamp=Lamp(True, watts=60))
    for force in ((), ("lamp/kitchen",), ("lamp",)):
        with pytest.raises(
            Refused, match=r"Unable to change lamp/hall: it burns the house\. If that is what you want, run again with force naming lamp/hall\."
        ):
            ensure(resource, client, force=force)
    assert "applied" not in client
    assert ensure(resource, client, force=["lamp/hall"]).applied


def test_check_mode_tells_a_dangerous_change_without_refusing_it() -> None:
    assert ensure(Switch(desired=Lamp(watts=2000)), {"lamp": Lamp(watts=60)}, check=True).plan.fields() == {"watts"}


def test_a_change_that_does_not_hold_is_told() -> None:
    with pytest.raises(NotConverged, match=r"lamp/hall: after the change it still differs: on: no → yes; colour: \(none\) → red"):
        ensure(Switch(desired=Lamp(True, "red")), {"lamp": Lamp(on=False), "stuck": True})


def test_an_error_while_applying_is_the_error() -> None:
    with pytest.raises(LakeError, match="Unable to switch lamp/hall: no current"):
        ensure(Switch(desired=Lamp(True)), {"lamp": None, "fail": "no current"})


def test_what_waits_already_is_told_as_pending_and_not_written_again() -> None:
    client: dict[str, Any] = {"lamp": Lamp(True, "blue"), "pending": {"colour": "red"}}
    outcome = ensure(Switch(desired=Lamp(True, "red")), client)
    assert (outcome.applied, outcome.plan.action) == (False, Action.NONE)
    assert outcome.plan.pending == (Change("colour", "blue", "red"),)
    assert not outcome.plan
    assert "applied" not in client


def test_what_waits_for_another_value_is_written() -> None:
    todo = planned(Lamp(True, "red"), lamp=Lamp(True, "blue"), pending={"colour": "green"})
    assert (todo.fields(), todo.pending) == ({"colour"}, ())


def test_a_change_that_waits_after_it_was_made_is_converged_and_pending() -> None:
    client: dict[str, Any] = {"lamp": Lamp(False, "blue"), "becomes pending": ["colour"]}
    outcome = ensure(Switch(desired=Lamp(True, "red")), client)
    assert outcome.applied
    assert outcome.plan.fields() == {"on", "colour"}
    assert [c.field for c in outcome.plan.pending] == ["colour"]


def test_pending_is_asked_for_only_where_something_differs() -> None:
    class Curious(Switch):
        def pending(self, client: Any) -> Any:
            raise AssertionError("a converged resource costs no further call")

    assert not plan(Curious(desired=Lamp(True)), {"lamp": Lamp(True)})[0]


def test_out_of_reach_is_never_absent() -> None:
    client: dict[str, Any] = {"raise": Unreachable("the house", "nobody opens")}
    with pytest.raises(Unreachable):
        ensure(Switch(desired=Lamp(True)), client)
    assert "applied" not in client


def test_an_outcome_is_json_and_shows_no_secret() -> None:
    desired = Lamp(True, "red", Secret("hunter2"))
    client: dict[str, Any] = {"lamp": Lamp(False, "red", Secret("hunter1"))}
    outcome = ensure(Switch(desired=desired), client).as_dict()
    text = json.dumps(outcome)
    assert "hunter" not in text
    assert outcome == {
        "resource": "lamp/hall", "action": "update", "applied": True, "pending": [],
        "changes": [{"field": "on", "before": "no", "after": "yes"}, {"field": "watts", "before": "(secret)", "after": "(secret)"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "(none)"), (True, "yes"), (False, "no"), (0, "0"), ("", ""), (Size(2**30), "1 GiB"), (Secret("x"), "(secret)"), (LATER, "(known after apply)"),
        (frozenset({"b", "a"}), "a, b"), (frozenset(), "(none)"), (("b", "a"), "b, a"), ((), "(none)"), ((Secret("x"), None), "(secret), (none)"),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_a_person_reads_it(value: object, shown: str) -> None:
    assert show(value) == shown
