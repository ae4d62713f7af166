"""Kubernetes, through its official client."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, TypeVar

from include.adapters.kubernetes_removal import OURS, Removal
from include.adapters.network import network_cause
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable
from include.lake.resources.namespace import NamespaceState
from include.lake.resources.service_account import ServiceAccountState
from include.lake.rotation import PodUse, refers
from include.lake.secret import Secret
from include.lake.spark import APP_LABEL, GROUP, PLURAL, STREAM, VERSION

T = TypeVar("T")
TIMEOUT = (10, 30)  # seconds to connect, and to answer


class Kubernetes(Removal):
    """A cluster as one kube config sees it. Connects at the first call."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def api(self) -> Any:
        """The API client, from `extra.kube_config_path`, `extra.kube_config`, or the pod Homelake runs in."""
        import yaml
        from kubernetes import config
        from kubernetes.client import ApiClient, Configuration

        c, where = self._connection, Configuration()
        try:
            if text := c.option("kube_config"):
                config.load_kube_config_from_dict(yaml.safe_load(text), client_configuration=where, context=c.option("cluster_context") or None)
            elif c.option("in_cluster") in ("True", "true", "1"):
                config.load_incluster_config(client_configuration=where)
            else:
                config.load_kube_config(c.option("kube_config_path") or None, client_configuration=where, context=c.option("cluster_context") or None)
        except (config.ConfigException, OSError, yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError) as error:
            # YAML's own message quotes the line, which may hold a token.
            known = isinstance(error, (config.ConfigException, OSError))
            why = "it is not YAML" if isinstance(error, yaml.YAMLError) else str(error).rstrip(".") if known else "it is not in the form of one"
            raise Unreachable("Kubernetes", f"its kube config cannot be used ({why})", f"Check the connection {c.id!r}") from None
        where.retries = 0
        return ApiClient(where)

    @cached_property
    def core(self) -> Any:
        """The core API."""
        from kubernetes.client import CoreV1Api

        return CoreV1Api(self.api)

    @cached_property
    def rbac(self) -> Any:
        """The API of roles."""
        from kubernetes.client import RbacAuthorizationV1Api

        return RbacAuthorizationV1Api(self.api)

    @cached_property
    def custom(self) -> Any:
        """The API of custom objects, as SparkApplications."""
        from kubernetes.client import CustomObjectsApi

        return CustomObjectsApi(self.api)

    def call(self, what: str, function: Callable[..., T], *args: Any, absent: tuple[int, ...] = (), **options: Any) -> T | None:
        """One API call. None when the answer's code is in `absent` and Kubernetes itself gave it; other errors become LakeErrors."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = function(*args, _request_timeout=TIMEOUT, **options)
        except ApiException as error:
            if error.status in absent and _status(error):
                return None
            raise explained(what, error) from None
        except (HTTPError, OSError) as error:
            raise self._unreachable(network_cause(error)) from None
        except ValueError:  # what the client says of a list without items, as of any web page
            raise self._unreachable("what answers there does not answer as Kubernetes does") from None
        if answer is not None and getattr(answer, "metadata", answer) is None:  # the client makes an empty object of whatever it does not understand
            raise self._unreachable("what answers there does not answer as Kubernetes does")
        return answer

    def _unreachable(self, cause: str) -> Unreachable:
        return Unreachable(f"Kubernetes at {self.api.configuration.host}", cause, f"Check the connection {self._connection.id!r}")

    def namespace(self, name: str) -> NamespaceState | None:
        """The namespace."""
        found = self.call(f"namespace {name}", self.core.read_namespace, name, absent=(404,))
        return None if found is None else NamespaceState(found.status.phase == "Active")

    def make_namespace(self, name: str) -> None:
        """Make it."""
        self.call(f"namespace {name}", self.core.create_namespace, {"metadata": {"name": name, "labels": OURS}}, absent=(409,))

    def service_account(self, namespace: str, name: str) -> ServiceAccountState | None:
        """Account, role and binding of that name."""
        what = f"service account {namespace}/{name}"
        account = self.call(what, self.core.read_namespaced_service_account, name, namespace, absent=(404,))
        role = self.call(what, self.rbac.read_namespaced_role, name, namespace, absent=(404,))
        binding = self.call(what, self.rbac.read_namespaced_role_binding, name, namespace, absent=(404,))
        if account is None and role is None and binding is None:
            return None
        return ServiceAccountState(account is not None, _lines(role), binding is not None and _binds(binding, namespace, name))

    def make_service_account(self, namespace: str, name: str) -> None:
        """Make the account."""
        self.call(
            f"service account {namespace}/{name}",
            self.core.create_namespaced_service_account,
            namespace,
            {"metadata": {"name": name, "labels": OURS}},
            absent=(409,),
        )

    def put_role(self, namespace: str, name: str, rules: frozenset[str]) -> None:
        """Make or replace the role."""
        kinds: dict[str, list[str]] = {}
        for verb, kind in sorted(r.split(" ", 1) for r in rules):
            kinds.setdefault(kind, []).append(verb)
        body = {"metadata": {"name": name, "labels": OURS}, "rules": [{"apiGroups": [""], "resources": [k], "verbs": v} for k, v in kinds.items()]}
        if self.call(f"role {name}", self.rbac.replace_namespaced_role, name, namespace, body, absent=(404,)) is None:
            self.call(f"role {name}", self.rbac.create_namespaced_role, namespace, body)

    def bind(self, namespace: str, name: str) -> None:
        """Make the binding; one that leads elsewhere is made anew, since its role cannot be changed."""
        what = f"role binding {name}"
        body = {"metadata": {"name": name, "labels": OURS}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]}  # fmt: skip
        self.call(what, self.rbac.delete_namespaced_role_binding, name, namespace, absent=(404,))
        self.call(what, self.rbac.create_namespaced_role_binding, namespace, body)

    def secret(self, namespace: str, name: str) -> dict[str, Secret] | None:
        """A secret's values."""
        found = self.call(f"secret {namespace}/{name}", self.core.read_namespaced_secret, name, namespace, absent=(404,))
        return None if found is None else {k: Secret(base64.b64decode(v).decode(errors="replace")) for k, v in (found.data or {}).items()}

    def write_secret(self, namespace: str, name: str, values: dict[str, Secret]) -> None:
        """Set these keys of a secret, and leave its others alone."""
        what = f"secret {namespace}/{name}"
        body = {"data": {k: base64.b64encode(v.reveal().encode()).decode() for k, v in values.items()}}
        if self.call(what, self.core.patch_namespaced_secret, name, namespace, body, absent=(404,)) is None:
            self.call(what, self.core.create_namespaced_secret, namespace, body | {"metadata": {"name": name, "labels": OURS}, "type": "Opaque"})

    def patch_secret(self, namespace: str, name: str, values: Mapping[str, Secret | None]) -> None:
        """Set these keys of a secret that is there, or remove them (None), in one step; its others are left alone."""
        body = {"data": {k: None if v is None else base64.b64encode(v.reveal().encode()).decode() for k, v in values.items()}}
        self.call(f"secret {namespace}/{name}", self.core.patch_namespaced_secret, name, namespace, body, field_manager="homelake-rotation")

    def written(self, namespace: str, name: str, key: str) -> datetime | None:
        """When a key of a secret was last written, by the API server's own record of who owns which field; None when it has none."""
        found = self.call(f"secret {namespace}/{name}", self.core.read_namespaced_secret, name, namespace, absent=(404,))
        records = (found.metadata.managed_fields or ()) if found else ()
        return max((r.time for r in records if r.time and f"f:{key}" in (r.fields_v1 or {}).get("f:data", {})), default=None)

    def clock(self, namespace: str) -> datetime:
        """What time it is at the API server, from the answer to a call that a rotation makes anyway."""
        answer: Any = self.call(f"the pods of {namespace}", self.core.list_namespaced_pod_with_http_info, namespace, limit=1)
        pods, _, headers = answer
        if pods is None or pods.metadata is None or not headers.get("Date"):
            raise self._unreachable("what answers there does not answer as Kubernetes does")
        return parsedate_to_datetime(headers["Date"])

    def pods_with(self, namespace: str, secret: str) -> list[PodUse]:
        """The pods of a namespace that have not ended and refer to a secret."""
        found = self.call(f"the pods of {namespace}", self.core.list_namespaced_pod, namespace)
        users = [p for p in (found.items if found else ()) if refers(self.api.sanitize_for_serialization(p), secret)]
        streams = self._streams(namespace) if users else set()
        applications = [(p.metadata.labels or {}).get(APP_LABEL, "") for p in users]
        return [PodUse(p.metadata.name, p.metadata.creation_timestamp, a, a in streams) for p, a in zip(users, applications, strict=True)]

    def _streams(self, namespace: str) -> set[str]:
        """The SparkApplications that never end; none where the cluster does not know such objects."""
        found = self.call("SparkApplications", self.custom.list_namespaced_custom_object, GROUP, VERSION, namespace, PLURAL,
                          label_selector=f"{STREAM}=true", absent=(404,))  # fmt: skip
        return {str(a["metadata"]["name"]) for a in (found or {}).get("items", ())}


def _lines(role: Any) -> frozenset[str]:
    return frozenset(
        f"{verb} {f'{group}/' if group else ''}{kind}"
        for rule in (role.rules or () if role else ())
        for group in rule.api_groups or ("",)
        for kind in rule.resources or ()
        for verb in rule.verbs
    )


def _binds(binding: Any, namespace: str, name: str) -> bool:
    subjects = [(s.kind, s.name, s.namespace) for s in binding.subjects or ()]
    return (binding.role_ref.kind, binding.role_ref.name) == ("Role", name) and subjects == [("ServiceAccount", name, namespace)]


def _status(error: Any) -> dict[str, Any]:
    """The object of kind Status in which Kubernetes says what is wrong; empty when something else answered, as a proxy's own 404."""
    try:
        status = json.loads(error.body)
    except (ValueError, TypeError):
        return {}
    return status if isinstance(status, dict) and status.get("kind") == "Status" else {}


def explained(what: str, error: Any) -> LakeError:
    """A LakeError that names cause and remedy."""
    cause = _status(error).get("message") or error.reason or str(error.status)
    if error.status == 401:
        return LakeError("log in to", "Kubernetes", cause, "Check the connection 'kubernetes_default': its token or certificate may have expired")
    if error.status == 403 and "being terminated" in cause:
        return LakeError("use", f"{what} in Kubernetes", cause, "Wait until the namespace is gone and run again")
    if error.status == 403:
        return LakeError("use", f"{what} in Kubernetes", cause, "Give the account of the kube config that right; ./lake doctor lists what is needed")
    if error.status in (429, 500, 502, 503, 504):
        return Unreachable("Kubernetes", f"it answered {error.status}: {cause}", "Run again in a minute")
    unknown = error.status == 404 and not _status(error)
    remedy = "Check the connection 'kubernetes_default': the cluster does not know this kind of object, or it is no Kubernetes that answers" if unknown else ""
    return LakeError("use", f"{what} in Kubernetes", cause, remedy)
