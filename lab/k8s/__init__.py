"""A real Kubernetes with the real spark-operator and a Kafka broker, in namespaces of this machine."""

from lab.k8s import broker, build, node, operator
from lab.site import Lab


def up(lab: Lab) -> None:
    """Build what is not in the cache, start the node, the spark-operator and Kafka; returns when all are ready."""
    build.everything()
    node.up(lab)
    broker.start(lab)
    operator.up(lab)
    broker.wait(lab)


def down(lab: Lab) -> None:
    """End it; its state stays."""
    node.down(lab)


def answers(lab: Lab) -> bool:
    """Whether the lab's Kubernetes is ready."""
    return bool(node.daemon(lab).pid()) and lab.kubeconfig.exists() and node._ready(lab)


def reset(lab: Lab) -> None:
    """Back to the spark-operator and an empty Kafka: every namespace that is not the cluster's own goes, and what is in `default`."""
    kept = {"default", "kube-system", "kube-public", "kube-node-lease", "spark-operator", "kafka"}
    names = node.kubectl(lab, "get", "ns", "-o", "jsonpath={.items[*].metadata.name}").split()
    others = [n for n in names if n not in kept]
    for name in (*others, "default"):
        # Pods would else be given half a minute to end.
        node.kubectl(lab, "delete", "-n", name, "pods", "--all", "--force", "--grace-period=0", "--wait=false")
    node.kubectl(lab, "delete", "-n", "default", "sparkapplications,scheduledsparkapplications,secrets,roles,rolebindings", "--all", "--timeout=60s")
    broker.reset(lab)
    if others:
        node.kubectl(lab, "delete", "ns", *others, "--wait=true", "--timeout=120s")
