"""A Kubernetes in memory, and the key pairs that live there and in a MinIO."""

from dataclasses import replace

from include.lake.errors import LakeError
from include.lake.resources.keypair import Pair
from include.lake.resources.namespace import NamespaceState
from include.lake.resources.service_account import ServiceAccountState
from include.lake.secret import Secret
from tests.fakes.base import Fake, writing
from tests.fakes.minio import FakeMinio


class FakeKubernetes(Fake):
    """Namespaces, and in them service accounts and secrets."""

    def __init__(self) -> None:
        super().__init__()
        self.namespaces: dict[str, NamespaceState] = {}
        self.accounts: dict[tuple[str, str], ServiceAccountState] = {}
        self.secrets: dict[tuple[str, str], dict[str, Secret]] = {}

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


class FakeKeyPairs(FakeKubernetes, FakeMinio):
    """Both, as one client: the writes of the two are counted in one row, so that a kill may fall between them."""

    def __init__(self, kubernetes: FakeKubernetes | None = None, minio: FakeMinio | None = None) -> None:
        Fake.__init__(self)
        for part in (kubernetes or FakeKubernetes(), minio or FakeMinio()):  # what they hold is shared
            self.__dict__.update({name: held for name, held in vars(part).items() if name not in vars(self)})
        self.owners_pair: Pair | LakeError | None = None
        self.made = 0

    def given(self, user: str) -> Pair | None:
        if isinstance(self.owners_pair, LakeError):
            raise self.owners_pair
        return self.owners_pair

    def new_pair(self) -> Pair:
        self.made += 1
        return Pair(f"AKNEW{self.made:015d}", Secret(f"secret-{self.made:033d}"))
