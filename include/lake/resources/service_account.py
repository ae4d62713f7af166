"""The Kubernetes service account of the Spark drivers (requirement C4)."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from include.lake.resource import Plan, Resource

# What a Spark 4 driver calls: it makes executor pods, its own service and ConfigMap, and clears them away by label.
DRIVER_RULES = frozenset(
    f"{verb} {kind}"
    for kind, verbs in {
        "pods": ("create", "delete", "deletecollection", "get", "list", "patch", "watch"),
        "services": ("create", "delete", "deletecollection", "get", "list"),
        "configmaps": ("create", "delete", "deletecollection", "get", "list"),
        "persistentvolumeclaims": ("deletecollection", "list"),
    }.items()
    for verb in verbs
)


@dataclass(frozen=True)
class ServiceAccountState:
    """A service account with a role of its own. `rules` are lines such as `create pods`; `bound`: it holds the role."""

    exists: bool
    rules: frozenset[str]
    bound: bool


class ServiceAccountClient(Protocol):
    """What a service account needs of Kubernetes. Account, role and binding have the same name."""

    def service_account(self, namespace: str, name: str) -> ServiceAccountState | None:
        """The three there; None when none of them is."""

    def make_service_account(self, namespace: str, name: str) -> None:
        """Make the account."""

    def put_role(self, namespace: str, name: str, rules: frozenset[str]) -> None:
        """Make or replace the role."""

    def bind(self, namespace: str, name: str) -> None:
        """Make or replace the binding of the role to the account."""

    def strangers(self, namespace: str, name: str) -> list[str]:
        """Those of the three that are there and were not made by Homelake."""

    def remove_service_account(self, namespace: str, name: str) -> None:
        """Remove the three, the account last."""


@dataclass(frozen=True)
class ServiceAccount(Resource[ServiceAccountState, ServiceAccountClient]):
    """A service account that may do what a Spark driver does in its namespace, and no more."""

    part: ClassVar[str] = "kubernetes"
    namespace: str
    name: str
    desired: ServiceAccountState | None

    @property
    def id(self) -> str:
        """`service-account/spark-jobs/spark-sa`."""
        return f"service-account/{self.namespace}/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The namespace."""
        return (f"namespace/{self.namespace}",)

    def observe(self, client: ServiceAccountClient) -> ServiceAccountState | None:
        """Account, role and binding there."""
        return client.service_account(self.namespace, self.name)

    def foreign(self, observed: ServiceAccountState, client: ServiceAccountClient) -> str | None:
        """Account, role or binding without Homelake's label."""
        others = client.strangers(self.namespace, self.name)
        return f"Homelake did not make its {' and '.join(others)}" if others else None

    def apply(self, todo: Plan, client: ServiceAccountClient) -> None:
        """Make what is missing."""
        if self.desired is None:
            client.remove_service_account(self.namespace, self.name)
            return
        fields = todo.fields()
        if "exists" in fields:
            client.make_service_account(self.namespace, self.name)
        if "rules" in fields:
            client.put_role(self.namespace, self.name, self.desired.rules)
        if "bound" in fields:
            client.bind(self.namespace, self.name)
