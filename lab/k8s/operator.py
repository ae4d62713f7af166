"""The spark-operator in the lab's Kubernetes, with its webhook on."""

from lab.k8s import build
from lab.k8s.node import FILES, _until, kubectl
from lab.progress import say
from lab.site import Lab


def up(lab: Lab) -> None:
    """Install the spark-operator, unless it is there, and wait until its webhook answers."""
    crds = build.operator() / "crds.yaml"
    kubectl(lab, "apply", "--server-side", "--force-conflicts", "-f", str(crds))
    manifest = (FILES / "operator.yaml").read_text().replace("@IMAGE@", build.OPERATOR_IMAGE)
    kubectl(lab, "apply", "--server-side", "-f", "-", input=manifest)
    _until(lab, 90, "the spark-operator", lambda: _available(lab))
    say("the spark-operator and its webhook are ready")


def _available(lab: Lab) -> bool:
    ready = kubectl(lab, "-n", "spark-operator", "get", "deploy", "-o", "jsonpath={range .items[*]}{.status.readyReplicas}/{.status.observedGeneration} {end}")
    bundle = kubectl(lab, "get", "mutatingwebhookconfiguration", "spark-operator-webhook", "-o", "jsonpath={.webhooks[*].clientConfig.caBundle}")
    return [x.split("/")[0] for x in ready.split()] == ["1", "1"] and len(bundle.split()) == 2
