"""What a cluster says of itself: who asks, what that account may do, how the spark-operator runs. Reads only."""

from collections.abc import Iterable, Iterator

from include.adapters.kubernetes import Kubernetes
from include.lake.errors import LakeError, Unreachable
from include.lake.rights import Operator, Right

OPERATOR_LABEL = "app.kubernetes.io/name=spark-operator"  # the chart's


def version(kubernetes: Kubernetes) -> str:
    """The version of the API server, as `v1.34.2`."""
    from kubernetes.client import VersionApi

    answer = kubernetes.call("version", VersionApi(kubernetes.api).get_code)
    return str(answer.git_version) if answer else ""


def user(kubernetes: Kubernetes) -> str:
    """The name under which the API server knows the account; empty where it cannot be asked (before Kubernetes 1.28)."""
    from kubernetes.client import AuthenticationV1Api

    api = AuthenticationV1Api(kubernetes.api)
    try:
        answer = kubernetes.call("self review", api.create_self_subject_review, {})
    except Unreachable:
        raise
    except LakeError:
        return ""
    return str(answer.status.user_info.username) if answer else ""


def denied(kubernetes: Kubernetes, namespace: str, rights: Iterable[Right]) -> Iterator[Right]:
    """Those of the rights that the account does not have in the namespace. Asking writes nothing."""
    from kubernetes.client import AuthorizationV1Api

    api = AuthorizationV1Api(kubernetes.api)
    for right in rights:
        resource, _, sub = right.resource.partition("/")
        # A namespace is asked for by its name, since a right to it may be given inside it.
        name = namespace if resource == "namespaces" and right.verb != "create" else ""
        where = {"namespace": "" if resource == "namespaces" and right.verb == "create" else namespace, "name": name}
        attributes = {"group": right.group, "resource": resource, "subresource": sub, "verb": right.verb, **where}
        answer = kubernetes.call("access review", api.create_self_subject_access_review, {"spec": {"resourceAttributes": attributes}})
        if answer is None or not answer.status.allowed:
            yield right


def operators(kubernetes: Kubernetes) -> list[Operator]:
    """The spark-operator's deployments, in whatever namespace."""
    from kubernetes.client import AppsV1Api

    answer = kubernetes.call("deployments", AppsV1Api(kubernetes.api).list_deployment_for_all_namespaces, label_selector=OPERATOR_LABEL)
    return [_operator(d) for d in (answer.items if answer else ())]


def _operator(deployment: object) -> Operator:
    meta, spec, status = deployment.metadata, deployment.spec, deployment.status  # type: ignore[attr-defined]
    labels = meta.labels or {}
    containers = spec.template.spec.containers
    arguments = tuple(a for c in containers for a in (*(c.command or ()), *(c.args or ())))
    release, chart = labels.get("app.kubernetes.io/instance", ""), labels.get("helm.sh/chart", "")
    return Operator(meta.namespace, meta.name, bool(status.ready_replicas), arguments, release, chart)
