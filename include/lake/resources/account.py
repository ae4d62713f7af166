"""The system account that owns the data directory (requirement A5)."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from include.lake.errors import Refused
from include.lake.resource import Plan, Resource


@dataclass(frozen=True)
class AccountState:
    """A Unix account. `system`: its uid is below 1000. `login`: its shell lets someone in. `owns_data`: the data directory is its own, mode 0750."""

    system: bool = True
    login: bool = False
    owns_data: bool = True


class AccountClient(Protocol):
    """What an account needs of the guest."""

    def account(self, name: str, data_dir: str) -> AccountState | None:
        """The account; None when there is none of that name. Raises Refused when what lies in the data directory (`""`: none) belongs to someone else."""

    def add_account(self, name: str) -> None:
        """Add a system account without a login and without a home."""

    def close_login(self, name: str) -> None:
        """Take its login away."""

    def give_data(self, name: str, data_dir: str) -> None:
        """Make it the owner of the data directory (not of what is in it: MinIO makes that)."""

    def made_account(self, name: str) -> bool:
        """Whether Homelake added it."""

    def remove_account(self, name: str) -> None:
        """Remove the account. Files that it owns stay, and belong to nobody."""


@dataclass(frozen=True)
class Account(Resource[AccountState, AccountClient]):
    """The account MinIO runs as."""

    part: ClassVar[str] = "host"
    name: str
    data_dir: str
    mount: str
    desired: AccountState | None

    @property
    def id(self) -> str:
        """`account/minio-user`."""
        return f"account/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The mount: what it owns is on it."""
        return (self.mount,)

    def observe(self, client: AccountClient) -> AccountState | None:
        """The account there. One that is to go is looked at without its data: once it is gone they belong to nobody, and go as well or stay so."""
        return client.account(self.name, self.data_dir if self.desired else "")

    def foreign(self, observed: AccountState, client: AccountClient) -> str | None:
        """An account that was there before."""
        return None if client.made_account(self.name) else "Homelake did not add it"

    def apply(self, todo: Plan, client: AccountClient) -> None:
        """Add it, take its login away, give it the data directory."""
        if self.desired is None:
            client.remove_account(self.name)
            return
        fields = todo.fields()
        if todo.action == "create":
            client.add_account(self.name)
        elif "system" in fields:
            raise Refused("change", self.id, f"an ordinary account of the name {self.name} exists", "Declare another account, or remove that one yourself")
        elif "login" in fields:
            client.close_login(self.name)
        if "owns_data" in fields:
            client.give_data(self.name, self.data_dir)
