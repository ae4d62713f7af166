"""A history server in the cluster for as long as somebody looks, and the way to it from here."""

import ast
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from include.adapters.kubernetes import Kubernetes
from include.adapters.minio import MinioServer
from include.adapters.tenant import TenantS3
from include.lake.errors import LakeError
from include.lake.history import NAME, PORT
from include.lake.proof import Denied
from include.lake.resources.keypair import Pair
from include.lake.secret import Secret
from include.lake.spark import Where

START_SECONDS = 120


def keep_folder(kubernetes: Kubernetes, server: MinioServer, where: Where, folder: str) -> None:
    """Make the folder of the records, which Spark wants to find there, as the jobs' own user. Raises LakeError when he may not."""
    held: Mapping[str, Secret] = kubernetes.secret(where.namespace, where.secret) or {}
    if not (held.get(where.access_key) and held.get(where.secret_key)):
        raise LakeError("read", f"the secret {where.namespace}/{where.secret}", f"it has no {where.access_key} and {where.secret_key}", "Run lake_bootstrap")
    user, url = TenantS3(server, Pair(held[where.access_key].reveal(), held[where.secret_key])), urlsplit(folder)
    bucket, key = url.netloc, url.path.strip("/") + "/"
    try:
        if not user.list(bucket, key):
            user.put(bucket, key, b"")
    except Denied as error:
        raise LakeError("write", folder, f"the jobs' user may not ({error})", "Run lake_bootstrap, or look at the user's buckets in lake.yaml") from None


@contextlib.contextmanager
def history_server(kubernetes: Kubernetes, pod: Mapping[str, Any], port: int, say: Callable[[str], None]) -> Iterator[int]:
    """Run it, and let this machine's loopback lead to it. Gives the port here; the pod goes with the block.

    Raises LakeError when it does not serve, with what its log says.
    """
    namespace = pod["metadata"]["namespace"]
    with _listening(port) as listener:
        if kubernetes.call(f"pod {NAME}", kubernetes.core.create_namespaced_pod, namespace, pod, absent=(409,)) is None:
            raise LakeError("start", "the history server", f"there is a pod {NAME} in {namespace} already", f"Somebody else looks, or was ended before it could clear up: kubectl -n {namespace} delete pod {NAME}")  # fmt: skip
        try:
            say(f"pod {NAME} starts")
            _ready(kubernetes, namespace)
            _way(kubernetes, namespace).close()  # where there is none, it is told now, and not by a page that stays empty
            threading.Thread(target=_serve, args=(kubernetes, namespace, listener, _once(say)), daemon=True).start()
            yield listener.getsockname()[1]
        finally:
            kubernetes.call(f"pod {NAME}", kubernetes.core.delete_namespaced_pod, NAME, namespace, grace_period_seconds=2, absent=(404,))


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise LakeError("listen", f"on 127.0.0.1:{port}", error.strerror or str(error), "Name another: --port") from None


def _ready(kubernetes: Kubernetes, namespace: str) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        pod = kubernetes.call(f"pod {NAME}", kubernetes.core.read_namespaced_pod, NAME, namespace)
        status = pod.status if pod else None
        states = (status.container_statuses or []) if status else []
        if any(s.ready for s in states):
            return
        waiting = next((s.state.waiting for s in states if s.state and s.state.waiting), None)
        stuck = waiting is not None and waiting.reason not in ("ContainerCreating", "PodInitializing")
        if stuck or (status and status.phase in ("Failed", "Succeeded")) or time.monotonic() > end:
            why = f"{waiting.reason}: {waiting.message}" if stuck and waiting else _last_lines(kubernetes, namespace)
            raise LakeError("start", "the history server", why, f"kubectl -n {namespace} describe pod {NAME}")
        time.sleep(0.5)


def _last_lines(kubernetes: Kubernetes, namespace: str) -> str:
    with contextlib.suppress(LakeError):
        text = kubernetes.call(f"log of {NAME}", kubernetes.core.read_namespaced_pod_log, NAME, namespace, tail_lines=5) or ""
        if text.strip():
            return text.strip()[-600:]
    return f"it does not serve after {START_SECONDS} s"


def _once(say: Callable[[str], None]) -> Callable[[str], None]:
    """Say the same thing once only: a browser opens many connections."""
    told = set[str]()

    def once(text: str) -> None:
        if text not in told:
            told.add(text)
            say(text)

    return once


def _serve(kubernetes: Kubernetes, namespace: str, listener: socket.socket, say: Callable[[str], None]) -> None:
    with contextlib.suppress(OSError):  # the block has ended
        while True:
            near, _ = listener.accept()
            threading.Thread(target=_carry, args=(kubernetes, namespace, near, say), daemon=True).start()


def _carry(kubernetes: Kubernetes, namespace: str, near: socket.socket, say: Callable[[str], None]) -> None:
    """One connection, both ways. One that does not come about is told."""
    with near, contextlib.suppress(OSError):
        try:
            far = _way(kubernetes, namespace)
        except LakeError as error:
            say(str(error))
            return
        back = threading.Thread(target=_pump, args=(far, near), daemon=True)
        back.start()
        _pump(near, far)
        back.join()
        far.close()


def _way(kubernetes: Kubernetes, namespace: str) -> Any:
    """A connection to the pod's port, through the API server. Raises LakeError with what that says."""
    from kubernetes.client import ApiException
    from kubernetes.stream import portforward

    try:
        forward = portforward(_apart(kubernetes).connect_get_namespaced_pod_portforward, NAME, namespace, ports=str(PORT))
    except ApiException as error:
        cause = _said(str(error.reason))
        if "status 403" in str(error.reason):
            raise LakeError("lead a port to", "the history server", f"forbidden ({cause})",
                            f"Give the account of the kube config the verbs get and create on pods/portforward in {namespace}") from None  # fmt: skip
        raise LakeError("lead a port to", "the history server", cause, f"kubectl -n {namespace} port-forward {NAME} {PORT} tries the same") from None
    far = forward.socket(PORT)
    far.setblocking(True)
    return far


def _said(reason: str) -> str:
    """What the API server says of a handshake that it refused, from the whole of the answer: status, headers, and the bytes of its own object."""
    status, *rest = reason.split(" -+-+- ")
    with contextlib.suppress(ValueError, SyntaxError, TypeError, LookupError):
        return str(json.loads(ast.literal_eval(rest[-1]))["message"])
    return status


def _apart(kubernetes: Kubernetes) -> Any:
    """A client of its own: the stream functions take the client that they are called on to pieces for the time of the call."""
    from kubernetes.client import ApiClient, CoreV1Api

    return CoreV1Api(ApiClient(kubernetes.api.configuration))


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
