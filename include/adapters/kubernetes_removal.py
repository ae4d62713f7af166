"""What Homelake made in Kubernetes, known by its label, and the deletion of it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from include.lake.errors import Unreachable
from include.lake.resources.namespace import NamespaceState
from include.lake.spark import GROUP, PLURAL, VERSION

GONE = 180  # seconds until a namespace is cleared away
_CORE, _APPS = "api/v1/namespaces/NAMESPACE", "apis/apps/v1/namespaces/NAMESPACE"
_KINDS = {  # what a namespace is looked through for before it is deleted
    "pod": f"{_CORE}/pods", "service": f"{_CORE}/services", "secret": f"{_CORE}/secrets", "configmap": f"{_CORE}/configmaps",
    "volume claim": f"{_CORE}/persistentvolumeclaims", "service account": f"{_CORE}/serviceaccounts", "deployment": f"{_APPS}/deployments",
    "stateful set": f"{_APPS}/statefulsets", "SparkApplication": f"apis/{GROUP}/{VERSION}/namespaces/NAMESPACE/{PLURAL}",
}  # fmt: skip
OURS = {"app.kubernetes.io/managed-by": "homelake"}


class Removal:
    """The deletions of a cluster's client."""

    call: Callable[..., Any]
    namespace: Callable[[str], NamespaceState | None]
    api: Any
    core: Any
    rbac: Any

    def made_secret(self, namespace: str, name: str) -> bool:
        """Whether a secret has Homelake's label."""
        return not _strange(self.call(f"secret {namespace}/{name}", self.core.read_namespaced_secret, name, namespace, absent=(404,)))

    def remove_secret(self, namespace: str, name: str) -> None:
        """Delete a secret."""
        self.call(f"secret {namespace}/{name}", self.core.delete_namespaced_secret, name, namespace, absent=(404,))

    def strangers(self, namespace: str, name: str) -> list[str]:
        """Those of account, role and binding that lack Homelake's label."""
        calls = {
            "account": self.core.read_namespaced_service_account,
            "role": self.rbac.read_namespaced_role,
            "binding": self.rbac.read_namespaced_role_binding,
        }
        what = f"service account {namespace}/{name}"
        return [kind for kind, read in calls.items() if _strange(self.call(what, read, name, namespace, absent=(404,)))]

    def remove_service_account(self, namespace: str, name: str) -> None:
        """Remove binding, role and account."""
        what = f"service account {namespace}/{name}"
        for delete in (self.rbac.delete_namespaced_role_binding, self.rbac.delete_namespaced_role, self.core.delete_namespaced_service_account):
            self.call(what, delete, name, namespace, absent=(404,))

    def guests(self, name: str) -> list[str]:
        """What is in a namespace without Homelake's label and without an owner in it; the namespace itself when it lacks the label."""
        if _strange(self.call(f"namespace {name}", self.core.read_namespace, name, absent=(404,))):
            return ["the namespace"]
        return [f"{kind} {item['metadata']['name']}" for kind in _KINDS for item in self._metadata(name, kind) if _guest(item["metadata"])]

    def _metadata(self, namespace: str, kind: str) -> list[dict[str, Any]]:
        """Objects of a kind without their content: a secret's value does not travel. None where the cluster does not know the kind."""
        answer: Any = self.call(
            f"{kind} in {namespace}", self.api.call_api, f"/{_KINDS[kind]}".replace("NAMESPACE", namespace), "GET", absent=(404,),
            header_params={"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"},
            auth_settings=["BearerToken"], response_types_map={200: "object"}, _return_http_data_only=True,
        )  # fmt: skip
        return list((answer or {}).get("items") or ())

    def remove_namespace(self, name: str) -> None:
        """Delete it, and wait until Kubernetes has cleared it away."""
        deadline = time.monotonic() + GONE
        self.call(f"namespace {name}", self.core.delete_namespace, name, absent=(404, 409))
        while self.namespace(name) is not None:
            if time.monotonic() > deadline:
                raise Unreachable(
                    f"the end of the namespace {name}",
                    f"it is still there after {GONE} s",
                    f"kubectl get namespace {name} -o yaml says what holds it; run again",
                )
            time.sleep(1)


def _strange(found: Any) -> bool:
    """Whether something is there and lacks Homelake's label."""
    return found is not None and not OURS.items() <= (found.metadata.labels or {}).items()


def _guest(meta: Mapping[str, Any]) -> bool:
    """Whether an object is neither Homelake's, nor another object's, nor what Kubernetes puts into every namespace."""
    own = meta["name"] in ("kube-root-ca.crt", "default") or "kubernetes.io/service-account.name" in (meta.get("annotations") or {})
    return not own and not meta.get("ownerReferences") and not OURS.items() <= (meta.get("labels") or {}).items()
