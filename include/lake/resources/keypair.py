"""The key pair of a user: in a Kubernetes secret, and accepted by MinIO (requirement C2).

MinIO never gives a secret key back, so the Kubernetes secret is written first and MinIO's access key is made from it:
killed in between, the next run goes on from the secret.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from include.lake.errors import LakeError, Refused
from include.lake.resource import Plan, Resource
from include.lake.resources.user import KEY_NAME
from include.lake.secret import Secret


@dataclass(frozen=True)
class Pair:
    """An access key and its secret key."""

    access_key: str = field(repr=False)
    secret_key: Secret

    def well_formed(self) -> bool:
        """Whether MinIO takes it: 3 to 20 characters, and 8 to 40."""
        return bool(re.fullmatch(r"[^\s=,]{3,20}", self.access_key)) and 8 <= len(self.secret_key.reveal()) <= 40

    def __str__(self) -> str:
        return f"{half(self.access_key)} (secret)"


def half(access_key: str) -> str:
    """Half of an access key, to be shown: in a MinIO with CVE-2026-40344 whoever knows all of it may write without the secret key."""
    return f"{access_key[: len(access_key) // 2]}…"


def pair_in(values: Mapping[str, Secret], keys: tuple[str, str]) -> Pair | None:
    """The pair that a secret holds under these keys; None when it is not there as a whole, or MinIO would not take it."""
    access_key, secret_key = (values.get(k) for k in keys)
    if not access_key or not secret_key:
        return None
    pair = Pair(access_key.reveal(), secret_key)
    return pair if pair.well_formed() else None


@dataclass(frozen=True)
class KeyPairState:
    """The pair in the Kubernetes secret, and whether MinIO accepts it as the user's. `pair` is managed when the owner gives one."""

    pair: Any  # Pair | None
    complete: bool = True
    accepted: bool = True


class KeyPairClient(Protocol):
    """What a key pair needs of Kubernetes and of MinIO."""

    def given(self, user: str) -> Pair | None:
        """The pair the owner gives, in the connection `lake_user_<user>`; None when there is no such connection."""

    def secret(self, namespace: str, name: str) -> dict[str, Secret] | None:
        """The Kubernetes secret's values; None when there is no such secret."""

    def write_secret(self, namespace: str, name: str, values: dict[str, Secret]) -> None:
        """Set these keys of the Kubernetes secret, and leave its others alone."""

    def new_pair(self) -> Pair:
        """A random pair."""

    def owner(self, access_key: str) -> str | None:
        """The user whose access key this is; None when MinIO does not know it."""

    def accepts(self, pair: Pair) -> bool:
        """Whether MinIO lets someone in with it."""

    def put_access_key(self, user: str, pair: Pair, *, new: bool) -> None:
        """Make the user's access key, or give the existing one this secret key."""

    def keys_of(self, user: str) -> dict[str, str]:
        """The user's access keys, each with the name that MinIO keeps with it."""

    def remove_access_key(self, access_key: str) -> None:
        """Remove it from MinIO; none is no error."""

    def made_secret(self, namespace: str, name: str) -> bool:
        """Whether Homelake made the Kubernetes secret."""

    def remove_secret(self, namespace: str, name: str) -> None:
        """Delete the Kubernetes secret; none is no error."""


@dataclass(frozen=True)
class KeyPair(Resource[KeyPairState, KeyPairClient]):
    """The pair that the Spark jobs of a namespace use."""

    part: ClassVar[str] = "keypair"
    user: str
    namespace: str
    name: str  # of the Kubernetes secret
    keys: tuple[str, str]  # the secret's keys that hold access key and secret key
    desired: KeyPairState | None
    store: bool = True  # whether there is a MinIO that has access keys of the user

    @property
    def id(self) -> str:
        """`keypair/spark-user`."""
        return f"keypair/{self.user}"

    @property
    def connection(self) -> str:
        """The connection in which the owner may give a pair."""
        return f"lake_user_{self.user.replace('-', '_')}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The user, and the secret's namespace."""
        return (f"user/{self.user}", f"namespace/{self.namespace}")

    def want(self, client: KeyPairClient) -> KeyPairState | None:
        """What is declared, with the pair the owner gives, if any."""
        return self.desired and KeyPairState(client.given(self.user), self.desired.complete, self.desired.accepted)

    def observe(self, client: KeyPairClient) -> KeyPairState | None:
        """The pair in the secret, and what MinIO says of it."""
        values = client.secret(self.namespace, self.name)
        if values is None:
            return None
        pair = pair_in(values, self.keys)
        if self.desired is None:
            return KeyPairState(pair)
        accepted = pair is not None and self.owner_of(client, pair.access_key) == self.user and client.accepts(pair)
        return KeyPairState(pair, pair is not None, accepted)

    def pair(self, client: KeyPairClient) -> Pair:
        """The pair in the Kubernetes secret. Raises LakeError when it has none."""
        pair = pair_in(client.secret(self.namespace, self.name) or {}, self.keys)
        if pair is None:
            raise LakeError("read", f"the secret {self.namespace}/{self.name}", f"it has no key pair under {' and '.join(self.keys)}",
                            "Run lake_bootstrap: it makes the pair")  # fmt: skip
        return pair

    def foreign(self, observed: KeyPairState, client: KeyPairClient) -> str | None:
        """A secret that was there before."""
        return None if client.made_secret(self.namespace, self.name) else f"Homelake did not make the secret {self.namespace}/{self.name}"

    def apply(self, todo: Plan, client: KeyPairClient) -> None:
        """The Kubernetes secret first, then MinIO's access key from it."""
        if self.desired is None:
            self._remove(client)
            return
        there = pair_in(client.secret(self.namespace, self.name) or {}, self.keys)
        if there and there.access_key == self.user and not client.accepts(there):
            there = None  # the user's own password, and a wrong one: nobody knows the right one, so a new pair is made
        pair = client.given(self.user) or there or client.new_pair()
        self.check(client, pair)
        if pair != there:
            client.write_secret(self.namespace, self.name, {self.keys[0]: Secret(pair.access_key), self.keys[1]: pair.secret_key})
        self.make_accepted(client, pair)

    def _remove(self, client: KeyPairClient) -> None:
        """The access keys first: the secret is the witness that there may be some."""
        for key, name in client.keys_of(self.user).items() if self.store else ():
            if name == KEY_NAME:
                client.remove_access_key(key)
        client.remove_secret(self.namespace, self.name)

    def owner_of(self, client: KeyPairClient, access_key: str) -> str | None:
        """Whose the access key is. The user's own name is one too, with its password: so secrets are often made by hand."""
        return self.user if access_key == self.user else client.owner(access_key)

    def check(self, client: KeyPairClient, pair: Pair) -> None:
        """Refuse a pair that MinIO would not take, or that is somebody else's."""
        if not pair.well_formed():
            raise Refused("use", self.id, "MinIO takes an access key of 3 to 20 characters and a secret key of 8 to 40",
                          f"Change the connection {self.connection}")  # fmt: skip
        if pair.access_key == self.user and not client.accepts(pair):
            raise Refused("use", self.id, f"the password given for {self.user} is not the one that MinIO has", f"Change the connection {self.connection}")
        owner = self.owner_of(client, pair.access_key)
        if owner not in (None, self.user):
            raise Refused("use", self.id, f"the access key {half(pair.access_key)} belongs to {owner}",
                          f"Remove it from the secret {self.namespace}/{self.name}; the next run makes a new one")  # fmt: skip

    def make_accepted(self, client: KeyPairClient, pair: Pair) -> None:
        """Make MinIO accept a pair that it knows as the user's or not at all."""
        if self.owner_of(client, pair.access_key) is None:
            client.put_access_key(self.user, pair, new=True)
        elif not client.accepts(pair):
            client.put_access_key(self.user, pair, new=False)
