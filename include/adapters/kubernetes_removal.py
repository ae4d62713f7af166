"""What Homelake made in Kubernetes, known by its label, and the deletion of it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from include.lake.errors import Unreachable
from include.lake.resources.namespace import NamespaceState
from include.lake.spark import GROUP, PLURAL, VERSION

GONE = 180  # seconds until a namespace is cleared away
_SPARK = f"{GROUP}/{VERSION}"
_KINDS = {  # what a namespace is looked through for before it is deleted: (group and version, kind) → its name in the path, and for people
    ("v1", "Pod"): ("pods", "pod"), ("v1", "Service"): ("services", "service"), ("v1", "Secret"): ("secrets", "secret"),
    ("v1", "ConfigMap"): ("configmaps", "configmap"), ("v1", "PersistentVolumeClaim"): ("persistentvolumeclaims", "volume claim"),
    ("v1", "ServiceAccount"): ("serviceaccounts", "service account"), ("apps/v1", "Deployment"): ("deployments", "deployment"),
    ("apps/v1", "ReplicaSet"): ("replicasets", "replica set"), ("apps/v1", "StatefulSet"): ("statefulsets", "stateful set"),
    ("apps/v1", "DaemonSet"): ("daemonsets", "daemon set"), ("batch/v1", "Job"): ("jobs", "job"), ("batch/v1", "CronJob"): ("cronjobs", "cron job"),
    (_SPARK, "SparkApplication"): (PLURAL, "SparkApplication"),
    (_SPARK, "ScheduledSparkApplication"): ("scheduledsparkapplications", "ScheduledSparkApplication"),
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
        """What is in a namespace without Homelake's label and without an owner that is looked at; the namespace itself when it lacks the label."""
        if _strange(self.call(f"namespace {name}", self.core.read_namespace, name, absent=(404,))):
            return ["the namespace"]
        known = self._known()
        return [f"{said} {item['metadata']['name']}" for (version, kind), (plural, said) in _KINDS.items() if version != _SPARK or kind in known
                for item in self._metadata(name, version, plural, said) if _guest(item["metadata"])]  # fmt: skip

    def _known(self) -> set[str]:
        """The kinds of the Spark operator that the cluster knows. One it does not know it answers as a web server would, so it is asked first."""
        groups = self._get("the groups of objects", "apis").get("groups") or ()
        versions = [v.get("groupVersion") for g in groups if g.get("name") == GROUP for v in g.get("versions") or ()]
        return {str(r.get("kind")) for r in self._get("the Spark operator's kinds", f"apis/{_SPARK}").get("resources") or ()} if _SPARK in versions else set()

    def _metadata(self, namespace: str, version: str, plural: str, said: str) -> list[dict[str, Any]]:
        """Objects of a kind without their content: a secret's value does not travel."""
        path = f"{'apis' if '/' in version else 'api'}/{version}/namespaces/{namespace}/{plural}"
        return list(self._get(f"{said} in {namespace}", path, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").get("items") or ())

    def _get(self, what: str, path: str, accept: str = "application/json") -> dict[str, Any]:
        answer: Any = self.call(what, self.api.call_api, f"/{path}", "GET", header_params={"Accept": accept}, absent=(404,),
                                auth_settings=["BearerToken"], response_types_map={200: "object"}, _return_http_data_only=True)  # fmt: skip
        return answer or {}

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
    """Whether an object is neither Homelake's, nor what Kubernetes puts into every namespace, nor another object's that is judged itself.

    An owner of a kind that is looked at is there and judged, or it has gone and Kubernetes clears this away. What any other kind owns, as
    the pods of an operator's own objects, speaks for its owner.
    """
    own = meta["name"] in ("kube-root-ca.crt", "default") or "kubernetes.io/service-account.name" in (meta.get("annotations") or {})
    judged = any((o.get("apiVersion"), o.get("kind")) in _KINDS for o in meta.get("ownerReferences") or ())
    return not own and not judged and not OURS.items() <= (meta.get("labels") or {}).items()
