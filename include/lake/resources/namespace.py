"""The namespace of the Spark jobs (requirement C2)."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from include.lake.errors import LakeError, Refused
from include.lake.resource import Plan, Resource


@dataclass(frozen=True)
class NamespaceState:
    """A namespace. `active`: it is not being deleted."""

    active: bool = True


class NamespaceClient(Protocol):
    """What a namespace needs of Kubernetes."""

    def namespace(self, name: str) -> NamespaceState | None:
        """The namespace; None when there is none."""

    def make_namespace(self, name: str) -> None:
        """Make it."""


@dataclass(frozen=True)
class Namespace(Resource[NamespaceState, NamespaceClient]):
    """A namespace; it is never deleted."""

    part: ClassVar[str] = "kubernetes"
    name: str
    desired: NamespaceState | None

    @property
    def id(self) -> str:
        """`namespace/spark-jobs`."""
        return f"namespace/{self.name}"

    def observe(self, client: NamespaceClient) -> NamespaceState | None:
        """The namespace there."""
        return client.namespace(self.name)

    def usable(self, observed: NamespaceState) -> bool:
        """A namespace that is being deleted takes nothing new."""
        return observed.active

    def apply(self, todo: Plan, client: NamespaceClient) -> None:
        """Make it."""
        if self.desired is None:
            raise Refused("delete", self.id, "all that is in it would be gone", f"kubectl delete namespace {self.name}")
        if todo.action != "create":
            raise LakeError("use", self.id, "it is being deleted", f"Wait until it is gone (kubectl get namespace {self.name}) and run again")
        client.make_namespace(self.name)
