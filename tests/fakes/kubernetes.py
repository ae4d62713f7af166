"""A Kubernetes in memory, and the key pairs that live there and in a MinIO."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from include.lake.errors import LakeError
from include.lake.resources.keypair import Pair
from include.lake.resources.namespace import NamespaceState
from include.lake.resources.service_account import ServiceAccountState
from include.lake.rotation import PodUse
from include.lake.secret import Secret
from tests.fakes.base import Fake, writing
from tests.fakes.minio import FakeMinio
from tests.fakes.tenant import FakeTenant


class FakeKubernetes(Fake):
    """Namespaces, and in them service accounts and secrets."""

    def __init__(self) -> None:
        super().__init__()
        self.namespaces: dict[str, NamespaceState] = {}
        self.accounts: dict[tuple[str, str], ServiceAccountState] = {}
        self.secrets: dict[tuple[str, str], dict[str, Secret]] = {}
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.stamps: dict[tuple[str, str, str], datetime] = {}  # when a key of a secret was last patched
        self.foreign: set[str] = set()  # of `namespace`, `secret`, `account`, `role`, `binding`: what someone else made
        self.others: dict[str, list[str]] = {}  # by namespace: what else is in it
        self.pods: dict[tuple[str, str], list[PodUse]] = {}  # by namespace and secret

    def namespace(self, name: str) -> NamespaceState | None:
        return self.namespaces.get(name)

    @writing
    def make_namespace(self, name: str) -> None:
        self.namespaces.setdefault(name, NamespaceState())

    def _inside(self, namespace: str) -> None:
        state = self.namespaces.get(namespace)
        if not state or not state.active:
            raise LakeError("use", f"namespace {namespace} in Kubernetes", "it is being deleted" if state else "there is none")

    def service_account(self, namespace: str, name: str) -> ServiceAccountState | None:
        return self.accounts.get((namespace, name))

    def _account(self, namespace: str, name: str) -> ServiceAccountState:
        self._inside(namespace)
        return self.accounts.get((namespace, name)) or ServiceAccountState(exists=False, rules=frozenset(), bound=False)

    @writing
    def make_service_account(self, namespace: str, name: str) -> None:
        self.accounts[namespace, name] = replace(self._account(namespace, name), exists=True)

    @writing
    def put_role(self, namespace: str, name: str, rules: frozenset[str]) -> None:
        self.accounts[namespace, name] = replace(self._account(namespace, name), rules=rules)

    @writing
    def bind(self, namespace: str, name: str) -> None:
        self.accounts[namespace, name] = replace(self._account(namespace, name), bound=True)

    def secret(self, namespace: str, name: str) -> dict[str, Secret] | None:
        return self.secrets.get((namespace, name))

    @writing
    def write_secret(self, namespace: str, name: str, values: dict[str, Secret]) -> None:
        self._inside(namespace)
        self.secrets[namespace, name] = {**self.secrets.get((namespace, name), {}), **values}

    def made_secret(self, namespace: str, name: str) -> bool:
        return "secret" not in self.foreign

    @writing
    def remove_secret(self, namespace: str, name: str) -> None:
        self.secrets.pop((namespace, name), None)

    def strangers(self, namespace: str, name: str) -> list[str]:
        state = self.accounts.get((namespace, name))
        there = {"account": bool(state and state.exists), "role": bool(state and state.rules), "binding": bool(state and state.bound)}
        return [kind for kind, is_there in there.items() if is_there and kind in self.foreign]

    @writing
    def remove_service_account(self, namespace: str, name: str) -> None:
        self.accounts.pop((namespace, name), None)

    def half_remove_service_account(self, namespace: str, name: str) -> None:
        state = self.accounts.pop((namespace, name), None)
        if state and state.exists:  # the binding is gone, and the role
            self.accounts[namespace, name] = ServiceAccountState(exists=True, rules=frozenset(), bound=False)

    def guests(self, name: str) -> list[str]:
        if name in self.namespaces and "namespace" in self.foreign:
            return ["the namespace"]
        secrets = [f"secret {n}" for ns, n in self.secrets if ns == name and "secret" in self.foreign]
        return [*secrets, *(f"service account {n}" for ns, n in self.accounts if ns == name and "account" in self.foreign), *self.others.get(name, [])]

    @writing
    def remove_namespace(self, name: str) -> None:
        self.namespaces.pop(name, None)
        for held in (self.accounts, self.secrets):
            for key in [k for k in held if k[0] == name]:
                del held[key]  # type: ignore[attr-defined]
        self.others.pop(name, None)

    def half_remove_namespace(self, name: str) -> None:
        if name in self.namespaces:
            self.namespaces[name] = NamespaceState(active=False)

    @writing
    def patch_secret(self, namespace: str, name: str, values: Mapping[str, Secret | None]) -> None:
        if (namespace, name) not in self.secrets:
            raise LakeError("use", f"secret {namespace}/{name} in Kubernetes", "there is none")
        merged = {**self.secrets[namespace, name], **values}
        self.secrets[namespace, name] = {k: v for k, v in merged.items() if v is not None}
        for key, value in values.items():
            if value is None:
                self.stamps.pop((namespace, name, key), None)
            else:
                self.stamps[namespace, name, key] = self.now

    def written(self, namespace: str, name: str, key: str) -> datetime | None:
        return self.stamps.get((namespace, name, key))

    def clock(self, namespace: str) -> datetime:
        return self.now

    def pods_with(self, namespace: str, secret: str) -> list[PodUse]:
        return list(self.pods.get((namespace, secret), ()))


class FakeKeyPairs(FakeKubernetes, FakeMinio):
    """Both, as one client: the writes of the two are counted in one row, so that a kill may fall between them."""

    def __init__(self, kubernetes: FakeKubernetes | None = None, minio: FakeMinio | None = None) -> None:
        Fake.__init__(self)
        for part in (kubernetes or FakeKubernetes(), minio or FakeMinio()):  # what they hold is shared
            self.__dict__.update({name: held for name, held in vars(part).items() if name not in vars(self)})
        self.owners_pair: Pair | LakeError | None = None
        self.may: set[str] = {"put datalake", "get datalake", "list datalake", "multipart datalake", "delete datalake"}
        self.tried: list[FakeTenant] = []
        self.keeping = frozenset[str]()  # buckets with a default retention
        self.made = 0

    def given(self, user: str) -> Pair | None:
        if isinstance(self.owners_pair, LakeError):
            raise self.owners_pair
        return self.owners_pair

    def tenant(self, pair: Pair) -> FakeTenant:
        """The store as this pair's owner sees it: who is not let in is told so, as MinIO does it."""
        stranger = LakeError("use", "MinIO as its user", "it answered InvalidAccessKeyId")
        self.tried.append(FakeTenant(self.may, None if self.accepts(pair) else ("put datalake", stranger), self.keeping))
        return self.tried[-1]

    def new_pair(self) -> Pair:
        self.made += 1
        return Pair(f"AKNEW{self.made:015d}", Secret(f"secret-{self.made:033d}"))
