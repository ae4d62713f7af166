"""A short-lived pod that tries to reach an address, since what a cluster's pods reach can be tried from nowhere else."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from include.adapters.kubernetes import Kubernetes
from include.adapters.kubernetes_removal import OURS
from include.adapters.spark_guard import STUCK
from include.lake.errors import LakeError, Unreachable

WAIT_SECONDS = 300  # for the image to be pulled and the pod to end
# Says how far it came; a refused connection is an answer from the machine itself.
_SCRIPT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10).close()
    print("open")
except ConnectionRefusedError:
    print("refused")
except socket.gaierror:
    print("unresolved")
except OSError as error:
    print("silent", error)
"""


@dataclass(frozen=True)
class Probe:
    """Where the pod runs and with what image; the image needs a `python3`."""

    namespace: str
    image: str
    pull_secret: str | None = None


def reach(kubernetes: Kubernetes, probe: Probe, host: str, port: int, say: Callable[[str], None]) -> str:
    """`open`, `refused`, `unresolved` or `silent …`, as a pod sees the address. The pod is removed, whatever happens.

    Raises LakeError when the pod cannot be made or does not run to its end.
    """
    name = f"homelake-probe-{uuid4().hex[:8]}"
    say(f"starting the pod {probe.namespace}/{name} with {probe.image}")
    kubernetes.call(f"pod {name}", kubernetes.core.create_namespaced_pod, probe.namespace, _pod(name, probe, host, port))
    try:
        _finished(kubernetes, probe, name)
        # The client would give the bytes' repr instead of their text.
        log: Any = kubernetes.call("the probe's log", kubernetes.core.read_namespaced_pod_log, name, probe.namespace, _preload_content=False)
        return str(log.data.decode(errors="replace")).strip()
    finally:
        with suppress(LakeError):  # what went wrong before matters more; the pod ends by itself
            kubernetes.call(f"pod {name}", kubernetes.core.delete_namespaced_pod, name, probe.namespace, grace_period_seconds=0, absent=(404,))


def _pod(name: str, probe: Probe, host: str, port: int) -> dict[str, Any]:
    container = {
        "name": "probe", "image": probe.image, "imagePullPolicy": "IfNotPresent", "command": ["python3", "-c", _SCRIPT, host, str(port)],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "runAsUser": 185,
                            "seccompProfile": {"type": "RuntimeDefault"}},
    }  # fmt: skip
    pull = {"imagePullSecrets": [{"name": probe.pull_secret}]} if probe.pull_secret else {}
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "activeDeadlineSeconds": WAIT_SECONDS, "containers": [container], **pull}
    return {"metadata": {"name": name, "labels": OURS}, "spec": spec}


def _finished(kubernetes: Kubernetes, probe: Probe, name: str) -> None:
    end, where = time.monotonic() + WAIT_SECONDS, f"the probe {probe.namespace}/{name}"
    while time.monotonic() < end:
        pod: Any = kubernetes.call(f"pod {name}", kubernetes.core.read_namespaced_pod, name, probe.namespace)
        if pod.status.phase == "Succeeded":
            return
        if pod.status.phase == "Failed":
            raise LakeError("run", where, f"it failed: {pod.status.message or pod.status.reason or 'is there a python3 in the image?'}")
        for status in pod.status.container_statuses or []:
            if status.state.waiting and status.state.waiting.reason in STUCK:
                raise LakeError("run", where, f"{status.state.waiting.reason}: {(status.state.waiting.message or '').strip()[:300]}",
                                f"Build the image and bring it where the cluster finds {probe.image} (docs/how-to/real-site.md), or correct spark.image in include/lake.yaml")  # fmt: skip
        time.sleep(1)
    raise Unreachable(f"the end of {where}", f"it has not run after {WAIT_SECONDS} s", f"kubectl -n {probe.namespace} get events")
