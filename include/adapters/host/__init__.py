"""The lake's VM, seen by SSH."""

from collections.abc import Callable

from include.adapters.host.account import Accounts
from include.adapters.host.notes import Notes
from include.adapters.host.program import Programs
from include.adapters.host.service import Services
from include.adapters.host.storage import Storage
from include.adapters.host.usage import Volumes
from include.connections import Connections, secret_of
from include.lake.secret import Secret, SecretRef


class Host(Storage, Accounts, Programs, Services, Notes, Volumes):
    """Everything the resources of the VM need, over one connection."""

    def __init__(self, connections: Connections, say: Callable[[str], None] = print) -> None:
        super().__init__(connections("lake_host"), say)
        self._connections = connections

    def secret(self, ref: SecretRef) -> Secret:
        """A secret's value, from its connection."""
        return secret_of(self._connections, ref)
