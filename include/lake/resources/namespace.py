"""The namespace of the Spark jobs (requirement C2)."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from include.lake.errors import LakeError
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

    def guests(self, name: str) -> list[str]:
        """What is in it that Homelake did not make, and Kubernetes itself neither; the namespace itself when Homelake did not make it."""

    def remove_namespace(self, name: str) -> None:
        """Delete it with all that is in it, and wait until it is gone."""


@dataclass(frozen=True)
class Namespace(Resource[NamespaceState, NamespaceClient]):
    """A namespace. It is deleted only when Homelake made it and all that is in it."""

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

    def foreign(self, observed: NamespaceState, client: NamespaceClient) -> str | None:
        """What others have in it."""
        guests = client.guests(self.name) if observed.active else []
        more = f" and {len(guests) - 3} more" if len(guests) > 3 else ""
        return f"Homelake did not make {', '.join(guests[:3])}{more}" if guests else None

    def apply(self, todo: Plan, client: NamespaceClient) -> None:
        """Make it."""
        if self.desired is None:
            client.remove_namespace(self.name)
            return
        if todo.action != "create":
            raise LakeError("use", self.id, "it is being deleted", f"Wait until it is gone (kubectl get namespace {self.name}) and run again")
        client.make_namespace(self.name)
