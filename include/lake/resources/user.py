"""A user of the object store (requirement C1)."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from include.lake.resource import Plan, Resource

KEY_NAME = "homelake"  # the name that MinIO keeps with every access key made here


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

    def keys_of(self, name: str) -> dict[str, str]:
        """Its access keys, each with the name that MinIO keeps with it."""

    def remove_user(self, name: str) -> None:
        """Remove it with its access keys."""


@dataclass(frozen=True)
class User(Resource[UserState, UserClient]):
    """A user with its policy."""

    part: ClassVar[str] = "minio"
    name: str
    policy: str
    desired: UserState | None
    service: str = ""

    @property
    def id(self) -> str:
        """`user/spark-user`."""
        return f"user/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The service: without its policy a user can be looked at all the same. The policy stands before it, so it is made first."""
        return (self.service or self.policy,)

    def observe(self, client: UserClient) -> UserState | None:
        """The user there."""
        return client.user(self.name)

    def foreign(self, observed: UserState, client: UserClient) -> str | None:
        """A user for whom someone else made access keys: whatever works with them would stop."""
        others = [key for key, name in client.keys_of(self.name).items() if name != KEY_NAME]
        return f"it has {len(others)} access key{'s' if len(others) > 1 else ''} that Homelake did not make" if others else None

    def apply(self, todo: Plan, client: UserClient) -> None:
        """Add it, enable it, give it its policy."""
        if self.desired is None:
            client.remove_user(self.name)
            return
        if todo.action == "create":
            client.add_user(self.name)
        elif "enabled" in todo.fields():
            client.enable_user(self.name)
        if "policies" in todo.fields():
            client.hold(self.name, self.desired.policies)
