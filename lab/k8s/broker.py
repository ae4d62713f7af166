"""The Kafka broker in the lab's Kubernetes: a StatefulSet of one."""

from textwrap import indent

from lab import kafka
from lab.k8s import build
from lab.k8s.node import FILES, _until, kubectl
from lab.progress import say
from lab.site import Lab

PORT = 9092


def address(lab: Lab) -> str:
    """Where it answers, for pods and for this machine."""
    return f"{lab.node}:{PORT}"


def start(lab: Lab) -> None:
    """Install it, unless it is there."""
    settings = indent(kafka.properties(address(lab), PORT + 1, "/var/lib/kafka/data").rstrip("\n"), "    ")
    manifest = (FILES / "kafka.yaml").read_text().replace("@IMAGE@", build.KAFKA_IMAGE).replace("@ADDRESS@", lab.node).replace("@PROPERTIES@", settings)
    kubectl(lab, "apply", "--server-side", "--force-conflicts", "-f", "-", input=manifest)


def wait(lab: Lab) -> None:
    """Wait until it answers."""
    _until(lab, 120, "Kafka", lambda: kubectl(lab, "-n", "kafka", "get", "statefulset", "kafka", "-o", "jsonpath={.status.readyReplicas}") == "1")
    say(f"Kafka answers at {address(lab)}")


def reset(lab: Lab) -> None:
    """Remove every topic but Kafka's own."""
    from confluent_kafka.admin import AdminClient  # half a second to import, and only a reset needs it

    client = AdminClient({"bootstrap.servers": address(lab), "log_level": 0})
    names = [n for n in client.list_topics(timeout=30).topics if not n.startswith("__")]
    for future in client.delete_topics(names, operation_timeout=30).values() if names else ():
        future.result()
