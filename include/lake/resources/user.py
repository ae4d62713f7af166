"""A user of the object store (requirement C1)."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from include.lake.errors import Refused
from include.lake.resource import Plan, Resource


@dataclass(frozen=True)
class UserState:
    """A user: whether it may log in, and the policies it holds."""

    enabled: bool
    policies: frozenset[str]


class UserClient(Protocol):
    """What a user needs of the object store, as root."""

    def user(self, name: str) -> UserState | None:
        """The user; None when there is no such user."""

    def add_user(self, name: str) -> None:
        """Add it with a password that nobody knows: it works through its access keys."""

    def enable_user(self, name: str) -> None:
        """Let it log in again."""

    def hold(self, name: str, policies: frozenset[str]) -> None:
        """Make these, and no others, the policies it holds."""


@dataclass(frozen=True)
class User(Resource[UserState, UserClient]):
    """A user with its policy."""

    part: ClassVar[str] = "minio"
    name: str
    policy: str
    desired: UserState | None

    @property
    def id(self) -> str:
        """`user/spark-user`."""
        return f"user/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Its policy."""
        return (self.policy,)

    def observe(self, client: UserClient) -> UserState | None:
        """The user there."""
        return client.user(self.name)

    def apply(self, todo: Plan, client: UserClient) -> None:
        """Add it, enable it, give it its policy."""
        if self.desired is None:
            raise Refused("delete", self.id, "its access keys would stop working", "Remove it with MinIO's own tools")
        if todo.action == "create":
            client.add_user(self.name)
        elif "enabled" in todo.fields():
            client.enable_user(self.name)
        if "policies" in todo.fields():
            client.hold(self.name, self.desired.policies)
