"""The plan of a whole lake: every resource in order, with what cannot be known yet and what could not be reached."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from include.lake.errors import LakeError, Unreachable
from include.lake.resource import Action, Plan, Resource, plan

Clients = Callable[[str], Any]  # the client of a part; may raise Unreachable, the same one each time


class Status(StrEnum):
    """How a resource stands against its declaration."""

    OK = "ok"
    PENDING = "pending"  # as declared, once the VM has been stopped and started
    CHANGES = "changes"
    LATER = "known after apply"  # what it needs is absent, or about to be replaced
    UNREACHABLE = "unreachable"
    REFUSED = "refused"


@dataclass(frozen=True)
class Finding:
    """One resource's standing: its plan, or the error that kept it from being known."""

    resource_id: str
    status: Status
    plan: Plan
    error: LakeError | None = None
    observed: object = None
    usable: bool = True  # whether its dependants can be observed

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, without secrets."""
        return self.plan.as_dict() | {"status": str(self.status), "error": str(self.error) if self.error else None}


def survey(resources: Iterable[Resource[Any, Any]], clients: Clients) -> list[Finding]:
    """Find how each resource stands; reads only. One part out of reach hides nothing of the others."""
    findings: list[Finding] = []
    unusable: set[str] = set()
    for resource in resources:
        finding = find(resource, clients, unusable)
        if not finding.usable:
            unusable.add(resource.id)
        findings.append(finding)
    return findings


def find(resource: Resource[Any, Any], clients: Clients, unusable: Collection[str]) -> Finding:
    """Find how one resource stands. `unusable` are the ids that nothing can be observed on."""
    nothing = Plan(resource.id)
    if set(unusable).intersection(resource.needs):
        return Finding(resource.id, Status.LATER, nothing, usable=False)
    try:
        todo, observed = plan(resource, clients(resource.part))
    except Unreachable as error:
        # Its dependants may live on another part: they are looked at all the same.
        return Finding(resource.id, Status.UNREACHABLE, nothing, error)
    except LakeError as error:
        return Finding(resource.id, Status.REFUSED, nothing, error, usable=False)
    status = Status.CHANGES if todo else Status.PENDING if todo.pending else Status.OK
    usable = observed is not None and todo.action is not Action.DELETE and resource.usable(observed)
    return Finding(resource.id, status, todo, observed=observed, usable=usable or resource.desired is None)
