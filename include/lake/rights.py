"""What Homelake's account in Kubernetes must be allowed, and how the spark-operator must be set, judged from facts that others have read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from include.lake.resources.service_account import DRIVER_RULES
from include.lake.site import Finding
from include.lake.spark import GROUP, PLURAL

RBAC = "rbac.authorization.k8s.io"
ROLE = "homelake"


class Right(NamedTuple):
    """A verb on a resource of an API group, in the namespace of the jobs. A subresource is written `pods/log`."""

    verb: str
    resource: str
    group: str = ""


def _rights(group: str, **verbs: str) -> list[Right]:
    return [Right(verb, resource.replace("_", "/"), group) for resource, text in verbs.items() for verb in text.split()]


# What lake_bootstrap and the Spark jobs call. The namespace itself is made only when it is not there.
BASE = (
    *_rights("", namespaces="get", secrets="get create patch", serviceaccounts="get create", pods="get list delete deletecollection", pods_log="get",
             pods_exec="get create", configmaps="get create", events="list"),
    *_rights(RBAC, roles="get create update", rolebindings="get create delete"),
    *_rights(GROUP, **{PLURAL: "get list watch create patch delete"}),
)  # fmt: skip
# Kubernetes lets nobody give away rights that he does not have himself: those of the driver's role, unless he may `escalate` and `bind`.
DRIVER = tuple(Right(*rule.split(" ", 1)) for rule in sorted(DRIVER_RULES))
ESCALATE = (Right("escalate", "roles", RBAC), Right("bind", "roles", RBAC))
MAKE_NAMESPACE = Right("create", "namespaces")


def rights(user: str, namespace: str, *, there: bool, denied: Iterable[Right]) -> Finding:
    """Whether the account may do what Homelake does. `there`: the namespace exists; `denied`: what it may not, of all rights named here."""
    no = set(denied)
    missing = [r for r in BASE if r in no]
    if not there and MAKE_NAMESPACE in no:
        missing.insert(0, MAKE_NAMESPACE)
    if no.intersection(ESCALATE):
        missing += [r for r in DRIVER if r in no and r not in missing]
    lacking = "; ".join(f"{resource}: {', '.join(sorted(verbs))}" for (_, resource), verbs in _by_resource(missing).items())
    return Finding(f"rights of {user} in {namespace}", f"it lacks {lacking}" if missing else "", role_lines(user, namespace))


def _by_resource(some: Iterable[Right]) -> dict[tuple[str, str], set[str]]:
    kinds: dict[tuple[str, str], set[str]] = {}
    for right in some:
        kinds.setdefault((right.group, right.resource), set()).add(right.verb)
    return kinds


def role_lines(user: str, namespace: str) -> str:
    """The command that gives an account all of these rights, in this one namespace, which it makes as well."""
    kinds = _by_resource((*BASE, *DRIVER))
    rules = [f'  - {{apiGroups: ["{group}"], resources: [{resource}], verbs: [{", ".join(sorted(verbs))}]}}' for (group, resource), verbs in kinds.items()]
    parts = user.split(":")
    subject = (f"{{kind: ServiceAccount, name: {parts[3]}, namespace: {parts[2]}}}" if user.startswith("system:serviceaccount:") and len(parts) == 4
               else f'{{kind: User, name: "{user}", apiGroup: {RBAC}}}')  # fmt: skip
    return "\n".join([
        "Run as an administrator of the cluster:", "kubectl apply -f - <<'EOF'",
        "apiVersion: v1", "kind: Namespace", f"metadata: {{name: {namespace}}}", "---",
        f"apiVersion: {RBAC}/v1", "kind: Role", f"metadata: {{name: {ROLE}, namespace: {namespace}}}", "rules:", *rules, "---",
        f"apiVersion: {RBAC}/v1", "kind: RoleBinding", f"metadata: {{name: {ROLE}, namespace: {namespace}}}",
        f"roleRef: {{apiGroup: {RBAC}, kind: Role, name: {ROLE}}}", f"subjects: [{subject}]", "EOF",
    ])  # fmt: skip


@dataclass(frozen=True)
class Operator:
    """A part of the spark-operator as it runs: its deployment, the arguments of its container, Helm's labels of it."""

    namespace: str
    name: str
    ready: bool
    arguments: tuple[str, ...]
    release: str = ""
    chart: str = ""

    def watches(self) -> tuple[str, ...]:
        """The namespaces it looks at; none named means all of them."""
        given = [a.partition("=")[2] for a in self.arguments if a.startswith("--namespaces=")]
        names = tuple(n.strip("\"' ") for n in given[-1].split(",")) if given else ()
        return () if "" in names else names

    def selects(self) -> bool:
        """Whether it chooses namespaces by label as well, so that their names do not tell."""
        return any(a.startswith("--namespace-selector=") for a in self.arguments)


def operators(namespace: str, running: Sequence[Operator]) -> Iterable[Finding]:
    """Whether the spark-operator runs and looks at the namespace of the jobs."""
    if not running:
        yield Finding("the spark-operator's deployments: none has the label app.kubernetes.io/name=spark-operator, so what it watches is not known")
    for part in running:
        what = f"{part.namespace}/{part.name}"
        if not part.ready:
            yield Finding(
                what,
                "no replica of it is ready",
                f"kubectl -n {part.namespace} describe deployment {part.name}; kubectl -n {part.namespace} logs deployment/{part.name}",
            )
        names = part.watches()
        if names and namespace not in names and part.selects():
            yield Finding(f"{what} watches {', '.join(names)} and namespaces chosen by label: whether {namespace} is among them is not known")
        elif names and namespace not in names:
            chart = part.chart.rpartition("-")[2]
            yield Finding(f"{what} watches {', '.join(names)}", f"it does not look at {namespace}: a job there would wait for ever",
                          f"helm upgrade {part.release or 'spark-operator'} spark-operator/spark-operator --namespace {part.namespace} --reuse-values"
                          f"{f' --version {chart}' if chart else ''} --set 'spark.jobNamespaces={{{','.join([*names, namespace])}}}'")  # fmt: skip
        elif part.ready:
            yield Finding(f"{what} watches {', '.join(names) or 'every namespace'}")
