"""Rotation of root's credentials: the connection says the new ones, the VM holds those in force. Killed anywhere, the next run goes on.

The settings in force are kept in the VM until the new credentials are proven, so there is a way back at every moment.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from include.lake.errors import LakeError, Refused
from include.lake.lake import Lake
from include.lake.resources.keypair import KeyPair, KeyPairClient, Pair
from include.lake.resources.service import Service, ServiceState
from include.lake.resources.user import UserState
from include.lake.root_credentials import WANTED, fit
from include.lake.secret import Secret, SecretRef

WHAT = "root's credentials"
CHECKER = SecretRef("lake_s3", "login:password")  # it may hold root's credentials as well
PATIENCE = 90  # seconds; after a start MinIO answers before it knows its users
CHANGE = "Change the connection 'minio_admin' first: S3_ROOT_USER and S3_ROOT_PASSWORD in site.env, Admin → Connections in Airflow, or .env with Astro (docs/how-to/rotate-keys.md)"  # fmt: skip


class RootHost(Protocol):
    """What the rotation needs of the guest."""

    def secret(self, ref: SecretRef) -> Secret:
        """A secret's value, from its connection."""

    def service(self, name: str, port: int) -> ServiceState | None:
        """The service there."""

    def kept_credentials(self, name: str) -> Secret | None:
        """Root's credentials in the settings that are kept; None when none are."""

    def keep_settings(self, name: str) -> None:
        """Keep a copy of the service's settings as they are, in place of any other."""

    def write_credentials(self, name: str, credentials: Secret) -> None:
        """Set root's credentials in its settings, and leave the rest of them alone."""

    def restore_settings(self, name: str) -> None:
        """Put the settings that are kept back in their place; they are no longer kept."""

    def forget_settings(self, name: str) -> None:
        """Keep no settings any more."""

    def restart(self, name: str) -> None:
        """Start it anew."""

    def wait_serving(self, name: str, port: int) -> None:
        """Wait until S3 answers. Raises LakeError with the cause when it does not start."""


class RootStore(Protocol):
    """The object store as root, with some credentials."""

    def accepts(self, pair: Pair) -> bool:
        """Whether it lets someone in with a pair, or with these credentials."""

    def user(self, name: str) -> UserState | None:
        """The user of that name."""


@dataclass(frozen=True)
class RootRotation:
    """The rotation of root's credentials. `store` gives the object store as root with the credentials it is handed."""

    service: Service
    key_pairs: tuple[KeyPair, ...]

    def rotate(self, host: RootHost, keys: KeyPairClient, store: Callable[[Secret], RootStore], say: Callable[[str], None],
               pause: Callable[[float], None] = time.sleep) -> None:  # fmt: skip
        """Write the new credentials, restart, prove them. On failure the old ones come back, and LakeError says why."""
        name, new = self.service.name, host.secret(self.service.credentials)
        state = host.service(name, self.service.port)
        if state is None:
            raise LakeError("rotate", WHAT, "MinIO is not installed in the VM", "Run lake_bootstrap, which gives it the credentials of the connection")
        kept = host.kept_credentials(name)
        # The settings kept are those in force as long as nothing runs with what was written since.
        old = kept if kept and kept != new and (state.credentials == new or not state.current) else state.credentials
        self._check(host, new, old)
        users = self._users(keys, state)
        if state.credentials != new:
            self._free(store(old), new, old, state)
            if old != kept:
                host.keep_settings(name)
        try:
            if state.credentials != new:
                host.write_credentials(name, new)
            if state.credentials != new or not state.current or not state.serving:
                say("restarting MinIO with the new credentials; it is away for some seconds, and jobs wait and try again")
                host.restart(name)
                host.wait_serving(name, self.service.port)
            self._prove(store(new), new, old, keys, users, pause)
        except LakeError as error:
            self._back(host, error)
        host.forget_settings(name)
        say(f"MinIO lets the new credentials in and refuses the old; the key pairs of {', '.join(p.user for p, _ in users) or 'nobody'} are as valid as before")

    def _check(self, host: RootHost, new: Secret, old: Secret) -> None:
        if old == new:
            raise Refused("rotate", WHAT, "the connection 'minio_admin' holds the credentials in force", CHANGE)
        if not fit(new):
            raise Refused("rotate", WHAT, WANTED, "Change the connection 'minio_admin' to such a pair; letters and digits are best")
        checker = None
        with suppress(LakeError):  # a site may do without that connection
            checker = host.secret(CHECKER)
        if checker == old:
            raise Refused("rotate", WHAT, "the connection 'lake_s3' still holds the old ones, and would be refused afterwards",
                          "Change it as well, to the same credentials (site.env sets both at once)")  # fmt: skip

    def _users(self, keys: KeyPairClient, state: ServiceState) -> list[tuple[KeyPair, Pair]]:
        """The pairs that work now, and must work afterwards. While MinIO is down (a killed run) that is all of them."""
        pairs = [(p, p.pair(keys)) for p in self.key_pairs if keys.secret(p.namespace, p.name)]
        return [(p, pair) for p, pair in pairs if not state.serving or keys.accepts(pair)]

    def _free(self, store: RootStore, new: Secret, old: Secret, state: ServiceState) -> None:
        """Refuse a new login that a user has: MinIO would take one for the other."""
        login = new.reveal().partition(":")[0]
        if login != old.reveal().partition(":")[0] and state.serving and state.current and store.user(login) is not None:
            raise Refused("rotate", WHAT, f"{login} is the name of a user in MinIO", "Change the login of the connection 'minio_admin' to another name")

    def _prove(self, store: RootStore, new: Secret, old: Secret, keys: KeyPairClient, users: Iterable[tuple[KeyPair, Pair]],
               pause: Callable[[float], None]) -> None:  # fmt: skip
        for rest in range(PATIENCE, -1, -1):
            try:
                self._look(store, new, old, keys, users)
                return
            except LakeError:
                if not rest:
                    raise
            pause(1)

    def _look(self, store: RootStore, new: Secret, old: Secret, keys: KeyPairClient, users: Iterable[tuple[KeyPair, Pair]]) -> None:
        if not store.accepts(_pair(new)):
            raise LakeError("rotate", WHAT, "MinIO does not accept the new ones")
        if store.accepts(_pair(old)):
            raise LakeError("rotate", WHAT, "MinIO still accepts the old ones")
        for declared, pair in users:
            if declared.owner_of(keys, pair.access_key) != declared.user or not keys.accepts(pair):
                raise LakeError("rotate", WHAT, f"MinIO no longer accepts the key pair of {declared.user}")

    def _back(self, host: RootHost, error: LakeError) -> None:
        """The settings that are kept come back; then the error is raised."""
        try:
            host.restore_settings(self.service.name)
            host.restart(self.service.name)
            host.wait_serving(self.service.name, self.service.port)
        except LakeError as second:
            raise LakeError("rotate", WHAT, f"{error.cause}; and the way back failed: {second.cause}",
                            "Run the rotation again: it goes on from what it finds") from None  # fmt: skip
        raise LakeError("rotate", WHAT, f"{error.cause}. The old ones are in force again",
                        f"{error.remedy}. Until the rotation succeeds, set the connection 'minio_admin' back".lstrip(". ")) from None  # fmt: skip


def root_rotation_of(lake: Lake) -> RootRotation:
    """The rotation of root's credentials of a declared lake."""
    return RootRotation(lake.minio_service, lake.key_pairs)


def _pair(credentials: Secret) -> Pair:
    login, _, password = credentials.reveal().partition(":")
    return Pair(login, Secret(password))
