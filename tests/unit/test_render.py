"""A plan as a person reads it; never with a secret in it."""

import pytest

from include.lake.errors import Unreachable
from include.lake.resource import LATER, Action, Change, Plan
from include.lake.secret import Secret
from include.lake.survey import Finding, Status
from include.lake.units import Size
from include.render import lines_of, plan_lines, summary


def update(*changes: Change, pending: tuple[Change, ...] = ()) -> Plan:
    return Plan("bucket/a", Action.UPDATE, changes, pending)


@pytest.mark.parametrize(
    ("finding", "lines"),
    [
        (Finding("a/b", Status.OK, Plan("a/b")), []),
        (Finding("a/b", Status.LATER, Plan("a/b")), ["? a/b  (known after apply)"]),
        (Finding("a/b", Status.UNREACHABLE, Plan("a/b"), Unreachable("it", "no answer", "Look")), ["! a/b  unreachable", "    Unable to reach it: no answer. Look."]),
        (Finding("a/b", Status.CHANGES, Plan("a/b", Action.CREATE, (Change("quota", None, Size(2**30)), Change("on", None, True)))),
         ["+ a/b", "    quota: 1 GiB", "    on: yes"]),
        (Finding("a/b", Status.CHANGES, Plan("a/b", Action.UPDATE, (Change("quota", Size(2**30), Size(2**31)),))), ["~ a/b", "    quota: 1 GiB → 2 GiB"]),
        (Finding("a/b", Status.CHANGES, Plan("a/b", Action.DELETE, (Change("*", "there", None),))), ["- a/b", "    *: there → (none)"]),
        (Finding("a/b", Status.PENDING, Plan("a/b", pending=(Change("ssd", True, False),))), ["… a/b", "    ssd: yes → no  (waits until the VM is stopped and started)"]),
        (Finding("a/b", Status.CHANGES, Plan("a/b", Action.CREATE, (Change("sha256", None, LATER),))), ["+ a/b", "    sha256: (known after apply)"]),
    ],
    ids=["ok", "later", "unreachable", "create", "update", "delete", "pending", "unknown value"],
)  # fmt: skip
def test_each_standing_has_its_lines(finding: Finding, lines: list[str]) -> None:
    assert list(lines_of(finding)) == lines


def test_of_a_set_only_the_difference_is_shown() -> None:
    change = Change("grants", frozenset({"Allow a", "Allow b"}), frozenset({"Allow b", "Allow c"}))
    assert list(plan_lines(update(change))) == ["    grants:", "      -Allow a", "      +Allow c"]
    assert list(plan_lines(update(Change("grants", None, frozenset({"b", "a"}))))) == ["    grants: a, b"]


def test_of_a_list_of_lines_only_the_difference_is_shown() -> None:
    assert list(plan_lines(update(Change("environment", ("A=1", "B=2"), ("A=1", "B=3", "C=4"))))) == [
        "    environment:",
        "      -B=2",
        "      +B=3",
        "      +C=4",
    ]


def test_of_a_long_text_only_the_difference_is_shown() -> None:
    assert list(plan_lines(update(Change("unit", "[Unit]\nA=1\n", "[Unit]\nA=2\n")))) == ["    unit:", "      -A=1", "      +A=2"]
    assert list(plan_lines(update(Change("unit", None, "[Unit]\nA=2\n")))) == ["    unit: 2 lines"]


def test_no_secret_is_ever_printed() -> None:
    before, after = Secret("old-value"), Secret("new-value")
    changes = (
        Change("credentials", before, after),
        Change("credentials", None, after),
        Change("keys", (before,), (after,)),
        Change("keys", frozenset({before}), frozenset({after})),
    )
    findings = [Finding("a/b", Status.CHANGES, update(*changes, pending=(Change("p", before, after),)))]
    text = "\n".join([*(line for f in findings for line in lines_of(f)), summary(findings), str(findings), str([f.as_dict() for f in findings])])
    assert "-value" not in text
    assert "    credentials: (secret) → (secret)" in text


def finding(status: Status) -> Finding:
    return Finding("a/b", status, Plan("a/b"))


@pytest.mark.parametrize(
    ("statuses", "text"),
    [
        ([Status.OK] * 3, "No changes: the lake is as declared (3 resources)."),
        ([Status.OK, Status.PENDING], "No changes: the lake is as declared (2 resources, 1 of them once the VM has been stopped and started)."),
        ([Status.CHANGES, Status.LATER, Status.LATER, Status.OK], "Plan: 1 to change, 2 known after apply, 1 as declared."),
        ([Status.UNREACHABLE, Status.REFUSED, Status.PENDING], "Plan: 1 pending, 1 refused, 1 unreachable."),
    ],
)
def test_the_last_line_counts(statuses: list[Status], text: str) -> None:
    assert summary([finding(s) for s in statuses]) == text
