"""The law of a resource: observe → plan → apply only the difference → observe again, must now be equal.

Every piece of the lake (a disk, a mount, a bucket, a key pair …) is a `Resource`. The bootstrap ensures it, the governance
run checks it, the command line plans it: the same code each time.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from include.lake.errors import NotConverged, Refused

S = TypeVar("S")  # the state: a frozen dataclass
C = TypeVar("C")  # the client: a protocol, so that tests hand in an in-memory fake

WHOLE = "*"  # the field name of a change that concerns the whole resource (its deletion)


class Action(StrEnum):
    """What a plan does to its resource."""

    NONE = "none"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class _Later:
    """A value that exists only once something else has been made."""

    def __repr__(self) -> str:
        return "(known after apply)"


LATER: Any = _Later()


@dataclass(frozen=True)
class Change:
    """One field's difference. `before` is what was observed, `after` what is declared."""

    field: str
    before: object
    after: object

    def __str__(self) -> str:
        return f"{self.field}: {show(self.before)} → {show(self.after)}"


@dataclass(frozen=True)
class Plan:
    """What it would take to make a resource as declared. `pending` is already asked for and only waits (a VM's restart)."""

    resource_id: str
    action: Action = Action.NONE
    changes: tuple[Change, ...] = ()
    pending: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    def fields(self) -> frozenset[str]:
        """The names of the fields that change."""
        return frozenset(c.field for c in self.changes)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, without secrets: what goes to XCom and `--json`."""
        return {
            "resource": self.resource_id,
            "action": str(self.action),
            "changes": [_change_dict(c) for c in self.changes],
            "pending": [_change_dict(c) for c in self.pending],
        }


class Resource(ABC, Generic[S, C]):
    """One piece of the lake. Subclasses are frozen dataclasses without secrets (they hold `SecretRef`).

    `part` names the client it is handed (`proxmox`, `host`, `minio`, `kubernetes`, `keypair`, `kafka`, `streams`).
    `desired` is a frozen dataclass; None means absent; a field of it that is None is not managed.
    `needs` are the ids that must exist before this one can be observed.
    """

    part: ClassVar[str]
    desired: S | None

    @property
    @abstractmethod
    def id(self) -> str:
        """Kind and name, as `bucket/datalake`."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Ids of the resources that must be usable first."""
        return ()

    def want(self, client: C) -> S | None:
        """`desired`, completed by what only a client knows (a build's digest, a secret's value). Reads only."""
        return self.desired

    @abstractmethod
    def observe(self, client: C) -> S | None:
        """The state found. Reads only; None only when provably absent; `Unreachable` when it cannot be known."""

    def pending(self, client: C) -> Mapping[str, object]:
        """Values by field that were asked for and wait (as for a restart). Called only when something differs."""
        return {}

    def usable(self, observed: S) -> bool:
        """Whether dependants can be observed on what is there (a stopped service is there, and not usable)."""
        return True

    def danger(self, change: Change) -> str | None:
        """Why this change may lose data, as a verb phrase ("shrinks the disk"), or None."""
        return None

    def foreign(self, observed: S, client: C) -> str | None:
        """Why what is there was not made by Homelake, or None. Asked only before a deletion: such a thing is never deleted."""
        return None

    @abstractmethod
    def apply(self, todo: Plan, client: C) -> None:
        """Make the changes of `todo`, and nothing else. May be killed anywhere and run again."""


def plan(resource: Resource[S, C], client: C) -> tuple[Plan, S | None]:
    """Observe and compare. Returns the plan, and the state observed."""
    observed, wanted = resource.observe(client), resource.want(client)
    if wanted is None:
        if observed is None:
            return Plan(resource.id), None
        if why := resource.foreign(observed, client):
            raise Refused("delete", resource.id, why, "Homelake deletes what it made, and nothing else; delete it yourself if it is not needed")
        return Plan(resource.id, Action.DELETE, (Change(WHOLE, observed, None),)), observed
    managed = {f.name: getattr(wanted, f.name) for f in fields(wanted) if getattr(wanted, f.name) is not None}  # type: ignore[arg-type]
    if observed is None:
        return Plan(resource.id, Action.CREATE, tuple(Change(n, None, v) for n, v in managed.items())), None
    differing = tuple(Change(n, getattr(observed, n), v) for n, v in managed.items() if getattr(observed, n) != v)
    if not differing:
        return Plan(resource.id), observed
    waiting = resource.pending(client)
    pending = tuple(c for c in differing if c.field in waiting and waiting[c.field] == c.after)
    changes = tuple(c for c in differing if c not in pending)
    return Plan(resource.id, Action.UPDATE if changes else Action.NONE, changes, pending), observed


@dataclass(frozen=True)
class Outcome:
    """What `ensure` found and did. `applied` is False in check mode, and when there was nothing to do."""

    plan: Plan
    applied: bool

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, without secrets."""
        return self.plan.as_dict() | {"applied": self.applied}


def ensure(resource: Resource[S, C], client: C, *, check: bool = False, force: Collection[str] = frozenset()) -> Outcome:
    """Make a resource as declared, or with `check` only say what that would take.

    Raises `Refused` when a change may lose data and `force` does not name the resource, `NotConverged` when the
    changes were made and a second look still differs. Source: the law in the docs (explanation/resources).
    """
    todo, _ = plan(resource, client)
    if check or not todo:
        return Outcome(todo, applied=False)
    dangers = dict.fromkeys(why for c in todo.changes if (why := resource.danger(c)))  # two fields may say the same
    if dangers and resource.id not in force:
        raise Refused(
            "change", resource.id, f"it {' and '.join(dangers)}",
            f"If that is what you want, run again with force naming {resource.id}",
        )  # fmt: skip
    resource.apply(todo, client)
    left, _ = plan(resource, client)
    if left:
        raise NotConverged(resource.id, "; ".join(str(c) for c in left.changes))
    return Outcome(replace(todo, pending=left.pending), applied=True)


def show(value: object) -> str:
    """A value as a person reads it in a plan."""
    if value is None:
        return "(none)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (frozenset, tuple)):
        return ", ".join(sorted(map(show, value)) if isinstance(value, frozenset) else map(show, value)) or "(none)"
    return str(value)


def _change_dict(change: Change) -> dict[str, str]:
    return {"field": change.field, "before": show(change.before), "after": show(change.after)}
