"""The rigs of Kubernetes' suites: the fake, and the lab's cluster with a namespace that nobody else has."""

from typing import Any
from uuid import uuid4

from kubernetes.client import ApiException, BatchV1Api

from include.lake.resources.namespace import NamespaceState
from include.lake.resources.service_account import ServiceAccountState
from include.lake.secret import Secret
from tests.contract.real import Parts
from tests.fakes.kubernetes import FakeKubernetes


class Fake:
    """A new fake for each test. `namespace` is what the test may make; it is not there yet."""

    def clear(self) -> None:
        self.client, self.namespace = FakeKubernetes(), "contract"

    def close(self) -> None:
        pass

    def delete_slowly(self) -> None:
        """Delete the namespace by hand, which something in it holds up."""
        self.client.namespaces[self.namespace] = NamespaceState(active=False)

    def bind_elsewhere(self, name: str) -> None:
        """Bind the account by hand to another role than its own."""
        self.client.accounts[self.namespace, name] = type(self.client.accounts[self.namespace, name])(True, frozenset(), False)

    def make_by_hand(self, *kinds: str) -> None:
        """Make a namespace, or in it a role, an account, a config map or a job, by hand."""
        self.client.foreign.update(kinds)
        for kind in kinds:
            if kind == "namespace":
                self.client.namespaces[self.namespace] = NamespaceState()
            elif kind in ("config map", "job"):
                self.client.others.setdefault(self.namespace, []).append(f"{kind.replace(' ', '')} mine")
            else:
                self.client.accounts[self.namespace, "mine"] = ServiceAccountState("account" in kinds, frozenset({"get pods"}), bound=False)

    def put_secret(self, name: str, values: dict[str, str]) -> None:
        """Make a secret by hand."""
        self.client.foreign.add("secret")
        self.client.secrets[self.namespace, name] = {k: Secret(v) for k, v in values.items()}


class Real:
    """The lab's Kubernetes, with bare calls for the states that Homelake never makes."""

    needs = "parts"

    def __init__(self, parts: Parts) -> None:
        self.client: Any = parts.clients.kubernetes
        self.core, self.rbac = parts.clients.kubernetes.core, parts.clients.kubernetes.rbac
        self.namespace = ""

    def clear(self) -> None:
        if self.namespace:
            try:
                self.core.delete_namespace(self.namespace)
                for held in self.core.list_namespaced_config_map(self.namespace).items:
                    if held.metadata.finalizers:
                        self.core.patch_namespaced_config_map(held.metadata.name, self.namespace, {"metadata": {"finalizers": None}})
            except ApiException as error:
                if error.status not in (404, 409):  # there is none, or it is going already
                    raise
        self.namespace = f"contract-{uuid4().hex[:8]}"

    def close(self) -> None:
        pass

    def delete_slowly(self) -> None:
        self.core.create_namespaced_config_map(self.namespace, {"metadata": {"name": "held", "finalizers": ["contract/held"]}})
        self.core.delete_namespace(self.namespace)

    def bind_elsewhere(self, name: str) -> None:
        self.rbac.delete_namespaced_role_binding(name, self.namespace)
        self.rbac.delete_namespaced_role(name, self.namespace)
        self.rbac.create_namespaced_role_binding(self.namespace, {
            "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}]})  # fmt: skip

    def make_by_hand(self, *kinds: str) -> None:
        meta = {"metadata": {"name": "mine"}}
        for kind in kinds:
            if kind == "namespace":
                self.core.create_namespace({"metadata": {"name": self.namespace}})
            elif kind == "config map":
                self.core.create_namespaced_config_map(self.namespace, meta)
            elif kind == "job":
                pod = {"spec": {"restartPolicy": "Never", "containers": [{"name": "mine", "image": "none"}]}}
                BatchV1Api(self.client.api).create_namespaced_job(self.namespace, meta | {"spec": {"suspend": True, "template": pod}})
            elif kind == "account":
                self.core.create_namespaced_service_account(self.namespace, meta)
            else:
                self.rbac.create_namespaced_role(self.namespace, meta | {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})

    def put_secret(self, name: str, values: dict[str, str]) -> None:
        self.core.create_namespaced_secret(self.namespace, {"metadata": {"name": name}, "stringData": values})


Rig = Fake | Real
