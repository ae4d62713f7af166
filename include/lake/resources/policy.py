"""A policy of the object store (requirement C1)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from include.lake.policy import grants
from include.lake.resource import Plan, Resource


@dataclass(frozen=True)
class PolicyState:
    """A policy by what it grants, one line a grant."""

    grants: frozenset[str]


class PolicyClient(Protocol):
    """What a policy needs of the object store, as root."""

    def policy(self, name: str) -> dict[str, Any] | None:
        """The policy's document; None when there is no such policy."""

    def put_policy(self, name: str, document: dict[str, Any]) -> None:
        """Make or replace it."""

    def remove_policy(self, name: str) -> None:
        """Remove it; one that a user holds stays, and is an error."""


@dataclass(frozen=True)
class Policy(Resource[PolicyState, PolicyClient]):
    """A named policy, generated from the declaration."""

    part: ClassVar[str] = "minio"
    name: str
    service: str
    document: dict[str, Any] = field(hash=False)
    desired: PolicyState | None

    @property
    def id(self) -> str:
        """`policy/spark-user`."""
        return f"policy/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The service."""
        return (self.service,)

    def observe(self, client: PolicyClient) -> PolicyState | None:
        """What the policy of that name grants."""
        document = client.policy(self.name)
        return None if document is None else PolicyState(grants(document))

    def apply(self, todo: Plan, client: PolicyClient) -> None:
        """Put the declared document."""
        if self.desired is None:
            client.remove_policy(self.name)
            return
        client.put_policy(self.name, self.document)
