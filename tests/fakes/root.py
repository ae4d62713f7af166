"""A MinIO in memory as root sees it, with the credentials that the guest's service runs with."""

from include.lake.errors import LakeError
from include.lake.resources.keypair import Pair
from include.lake.resources.user import UserState
from include.lake.secret import Secret
from tests.fakes.guest import FakeGuest
from tests.fakes.kubernetes import FakeKeyPairs


class FakeRoot:
    """`host` runs the service, `keys` are the users' pairs. `sticky` are credentials that it accepts whatever its settings say."""

    def __init__(self, host: FakeGuest, keys: FakeKeyPairs, credentials: Secret, sticky: frozenset[Secret] = frozenset()) -> None:
        self.host, self.keys, self.credentials, self.sticky = host, keys, credentials, sticky

    def accepts(self, pair: Pair) -> bool:
        given = Secret(f"{pair.access_key}:{pair.secret_key.reveal()}")
        return given == self.host.running["minio"] or given in self.sticky or self.keys.accepts(pair)

    def user(self, name: str) -> UserState | None:
        if self.credentials != self.host.running["minio"]:
            raise LakeError("log in", "to MinIO", "it does not know the user or the password")
        return self.keys.users.get(name)
