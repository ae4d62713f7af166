"""Plans as a person reads them."""

import difflib
from collections import Counter
from collections.abc import Iterable

from include.lake.resource import Action, Change, Plan, show
from include.lake.survey import Finding, Status

MARKS = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-"}


def lines_of(finding: Finding) -> Iterable[str]:
    """One resource's part of a plan."""
    name = finding.resource_id
    if finding.error:
        yield f"! {name}  {finding.status}"
        yield f"    {finding.error}"
    elif finding.status is Status.LATER:
        yield f"? {name}  (known after apply)"
    elif finding.status in (Status.CHANGES, Status.PENDING):
        yield f"{MARKS.get(finding.plan.action, '…')} {name}"
        yield from plan_lines(finding.plan)


def plan_lines(todo: Plan) -> Iterable[str]:
    """A plan's changes, a line each."""
    for change in todo.changes:
        yield from _change(change)
    for change in todo.pending:
        yield f"    {change}  (waits until the VM is stopped and started)"


def _change(change: Change) -> Iterable[str]:
    before, after = change.before, change.after
    texts = isinstance(after, str) and "\n" in after
    if texts or isinstance(after, (tuple, frozenset)):
        if before is None:
            yield f"    {change.field}: {f'{len(after.splitlines())} lines' if texts else show(after)}"  # type: ignore[attr-defined]
            return
        yield f"    {change.field}:"
        old, new = _listed(before), _listed(after)
        yield from (f"      {d}" for d in difflib.unified_diff(old, new, lineterm="", n=0) if not d.startswith(("---", "+++", "@@")))
    elif before is None:
        yield f"    {change.field}: {show(after)}"
    else:
        yield f"    {change}"


def _listed(value: object) -> list[str]:
    if isinstance(value, str):
        return value.splitlines()
    return sorted(map(show, value)) if isinstance(value, frozenset) else list(map(show, value))  # type: ignore[call-overload]


def summary(findings: list[Finding]) -> str:
    """The last line of a plan."""
    count = Counter(f.status for f in findings)
    if all(s in (Status.OK, Status.PENDING) for s in count):
        waits = f", {count[Status.PENDING]} of them once the VM has been stopped and started" if count[Status.PENDING] else ""
        return f"No changes: the lake is as declared ({len(findings)} resources{waits})."
    parts = [f"{count[s]} {label}" for s, label in ((Status.CHANGES, "to change"), (Status.LATER, "known after apply"), (Status.OK, "as declared"),
                                                    (Status.PENDING, "pending"), (Status.REFUSED, "refused"), (Status.UNREACHABLE, "unreachable")) if count[s]]  # fmt: skip
    return f"Plan: {', '.join(parts)}."
