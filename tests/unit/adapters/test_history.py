"""The way to a history server in the cluster: told where there is none."""

import socket
from types import SimpleNamespace
from typing import Any

import kubernetes.stream
import pytest
from kubernetes.client import ApiException

from include.adapters import history
from include.lake.errors import LakeError

POD = {"metadata": {"namespace": "spark-jobs", "name": history.NAME}}
# As the client hands it on: what the handshake was answered, whole, the body as Python shows bytes.
BODY = rb'{"kind":"Status","message":"pods \"spark-history\" is forbidden: User \"poor\" cannot get resource \"pods/portforward\"","code":403}'
FORBIDDEN = f"Handshake status 403 Forbidden -+-+- {{'content-type': 'application/json'}} -+-+- {BODY!r}"


class Cluster:
    """A cluster in which the pod runs at once."""

    def __init__(self) -> None:
        self.api, self.core, self.gone = SimpleNamespace(configuration=None), SimpleNamespace(**{n: n for n in CALLS}), False

    def call(self, what: str, function: str, *args: Any, **options: Any) -> Any:
        self.gone = self.gone or function.startswith("delete")
        state = SimpleNamespace(ready=True, state=None)
        return SimpleNamespace(status=SimpleNamespace(container_statuses=[state], phase="Running"))


CALLS = ("create_namespaced_pod", "read_namespaced_pod", "delete_namespaced_pod")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(history, "_apart", lambda kubernetes: SimpleNamespace(connect_get_namespaced_pod_portforward=None))
    return Cluster()


def refuse(reason: str) -> Any:
    def portforward(*args: Any, **options: Any) -> Any:
        raise ApiException(status=0, reason=reason)

    return portforward


@pytest.mark.parametrize(("reason", "told"), [
    (FORBIDDEN, r"Unable to lead a port to the history server: forbidden \(pods \"spark-history\" is forbidden: User \"poor\" cannot get resource "
                r"\"pods/portforward\"\)\. Give the account of the kube config the verbs get and create on pods/portforward in spark-jobs\."),
    ("Handshake status 502 Bad Gateway -+-+- {} -+-+- b''", r"server: Handshake status 502 Bad Gateway\. kubectl -n spark-jobs port-forward"),
], ids=["a missing right", "a proxy"])  # fmt: skip
def test_a_way_that_is_refused_is_told_before_anybody_looks_and_the_pod_goes(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, reason: str, told: str) -> None:
    monkeypatch.setattr(kubernetes.stream, "portforward", refuse(reason))
    with pytest.raises(LakeError, match=told):
        with history.history_server(cluster, POD, 0, [].append):  # type: ignore[arg-type]
            raise AssertionError("nothing can be looked at")
    assert cluster.gone


def test_a_way_that_is_refused_later_is_told_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()
    ours, _ = socket.socketpair()
    monkeypatch.setattr(kubernetes.stream, "portforward", lambda *args, **options: SimpleNamespace(socket=lambda port: ours))
    with history.history_server(cluster, POD, 0, said.append) as port:  # type: ignore[arg-type]
        monkeypatch.setattr(kubernetes.stream, "portforward", refuse(FORBIDDEN))
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port)) as browser:
                assert browser.recv(1) == b""
    assert len([line for line in said if "pods/portforward" in line]) == 1
