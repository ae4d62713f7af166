"""Kubernetes' answers, as they were recorded, told with their cause; and the cluster's client from a kube config."""

import base64
import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiException

from include.adapters.kubernetes import Kubernetes, explained
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable
from include.lake.resources.namespace import NamespaceState
from include.lake.resources.service_account import DRIVER_RULES, ServiceAccountState
from include.lake.secret import Secret
from tests.unit.conftest import recorded

ANSWERS: dict[str, dict[str, Any]] = json.loads(recorded("kubernetes/answers.json"))


def answer(name: str) -> ApiException:
    error = ApiException(status=ANSWERS[name]["status"], reason=ANSWERS[name]["reason"])
    error.body = ANSWERS[name]["body"]
    return error


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("unauthorized", "Unable to log in to Kubernetes: Unauthorized. Check the connection 'kubernetes_default': its token or certificate may have expired."),
        ("forbidden", 'Unable to use it in Kubernetes: secrets "minio-s3-keys" is forbidden: User "poor" cannot get resource "secrets" in API group "" in the namespace '
         '"spark-jobs". Give the account of the kube config that right; ./lake doctor lists what is needed.'),
        ("no namespace", 'Unable to use it in Kubernetes: namespaces "nosuch" not found.'),
        ("no CRD", "Unable to use it in Kubernetes: Not Found. Check the connection 'kubernetes_default': the cluster does not know this kind of object, or it is no "
         "Kubernetes that answers."),
        ("exists", 'Unable to use it in Kubernetes: namespaces "spark-jobs" already exists.'),
    ],
)  # fmt: skip
def test_a_recorded_answer_is_told_with_its_cause(name: str, text: str) -> None:
    error = explained("it", answer(name))
    assert str(error) == text
    assert not error.retry


def test_what_the_api_server_finds_invalid_is_told() -> None:
    assert "metadata.name: Invalid value" in str(explained("namespace Spark_Jobs", answer("invalid")))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_api_server_may_be_asked_again(status: int) -> None:
    error = explained("it", ApiException(status=status, reason="Busy"))
    assert isinstance(error, Unreachable)
    assert str(error) == f"Unable to reach Kubernetes: it answered {status}: Busy. Run again in a minute."


def test_only_a_404_is_absent(cluster: Kubernetes) -> None:
    def failing(name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            raise answer(name)

        return call

    assert cluster.call("it", failing("no namespace"), absent=(404,)) is None
    for name in ("forbidden", "unauthorized", "exists", "no CRD"):  # the last: a 404 that does not say what is not there
        with pytest.raises(LakeError):
            cluster.call("it", failing(name), absent=(404,))


def config(server: str = "https://127.0.0.1:1") -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": True}}], "users": [{"name": "u", "user": {"token": "the-kube-token"}}],
    }  # fmt: skip


@pytest.fixture
def cluster() -> Kubernetes:
    return Kubernetes(Connection("kubernetes_default", "kubernetes", extra={"kube_config": json.dumps(config())}))


def test_nobody_there_is_out_of_reach_at_once() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{s.getsockname()[1]}"
        nobody = Kubernetes(Connection("kubernetes_default", "kubernetes", extra={"kube_config": yaml.safe_dump(config(server))}))
        with pytest.raises(Unreachable, match=rf"Unable to reach Kubernetes at {server}: .*onnection refused\. Check the connection 'kubernetes_default'\."):
            nobody.namespace("spark-jobs")


def test_a_kube_config_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config("https://there:6443")))
    api = Kubernetes(Connection("kubernetes_default", "kubernetes", extra={"kube_config_path": str(file)})).api
    assert api.configuration.host == "https://there:6443"
    assert api.configuration.retries == 0, "whoever is out of reach is told at once; Airflow retries"


@pytest.mark.parametrize(
    "text",
    [
        "token: [the-kube-token",
        "just text",
        "[]",
        "{}",
        "clusters: 5",
        "current-context: x\ncontexts: []\n",
        yaml.safe_dump({**config(), "current-context": "y"}),
    ],
)
def test_a_kube_config_that_cannot_be_used_is_told(text: str) -> None:
    with pytest.raises(
        LakeError, match=r"^Unable to reach Kubernetes: its kube config cannot be used \([^\n]*\)\. Check the connection 'kubernetes_default'\.$"
    ) as caught:
        Kubernetes(Connection("kubernetes_default", "kubernetes", extra={"kube_config": text})).namespace("x")
    assert "the-kube-token" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00binary", b"just text", b"- a\n- list\n", b"", b"users: [5]\ncontexts: 7\n", b"token: [the-kube-token"])
def test_a_file_that_is_no_kube_config_is_told(content: bytes, tmp_path: Path) -> None:
    (file := tmp_path / "config").write_bytes(content)
    with pytest.raises(LakeError, match=r"^Unable to reach Kubernetes: its kube config cannot be used \([^\n]*\)\.") as caught:
        Kubernetes(Connection("kubernetes_default", "kubernetes", extra={"kube_config_path": str(file)})).namespace("x")
    assert "the-kube-token" not in str(caught.value)


def test_a_kube_config_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="its kube config cannot be used"):
        Kubernetes(Connection("kubernetes_default", "kubernetes", extra={"kube_config_path": str(tmp_path / "none")})).namespace("x")


class Api:
    """The API's calls by name, prepared; what was called is kept."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.called = answers, list[tuple[str, tuple[Any, ...]]]()

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, _request_timeout: Any = None, **options: Any) -> Any:
            self.called.append((name, args))
            value = self.answers.get(name, SimpleNamespace())
            if isinstance(value, Exception):
                raise value
            return value

        return call


def prepared(cluster: Kubernetes, **answers: Any) -> Api:
    api = Api(**answers)
    cluster.__dict__["core"] = cluster.__dict__["rbac"] = api
    return api


ABSENT = answer("no namespace")


def test_a_namespace_is_read(cluster: Kubernetes) -> None:
    for phase, state in (("Active", NamespaceState(True)), ("Terminating", NamespaceState(False))):
        prepared(cluster, read_namespace=SimpleNamespace(status=SimpleNamespace(phase=phase)))
        assert cluster.namespace("x") == state
    prepared(cluster, read_namespace=ABSENT)
    assert cluster.namespace("x") is None


def rule(verbs: list[str], kinds: list[str], groups: list[str]) -> SimpleNamespace:
    return SimpleNamespace(verbs=verbs, resources=kinds, api_groups=groups)


def binding(role: str, *subjects: tuple[str, str, str], kind: str = "Role") -> SimpleNamespace:
    return SimpleNamespace(role_ref=SimpleNamespace(kind=kind, name=role), subjects=[SimpleNamespace(kind=k, name=n, namespace=ns) for k, n, ns in subjects])


OWN = ("ServiceAccount", "spark-sa", "spark-jobs")


@pytest.mark.parametrize(
    ("bound", "found"),
    [
        (binding("spark-sa", OWN), True),
        (binding("edit", OWN), False),
        (binding("spark-sa", OWN, kind="ClusterRole"), False),
        (binding("spark-sa", OWN, ("User", "someone", "")), False),
        (binding("spark-sa", ("ServiceAccount", "spark-sa", "elsewhere")), False),
        (SimpleNamespace(role_ref=SimpleNamespace(kind="Role", name="spark-sa"), subjects=None), False),
    ],
)
def test_only_a_binding_of_this_role_to_this_account_alone_counts(cluster: Kubernetes, bound: Any, found: bool) -> None:
    role = SimpleNamespace(rules=[rule(["get", "list"], ["pods", "services"], [""]), rule(["patch"], ["deployments"], ["apps"])])
    prepared(cluster, read_namespaced_role=role, read_namespaced_role_binding=bound)
    state = cluster.service_account("spark-jobs", "spark-sa")
    assert state == ServiceAccountState(True, frozenset({"get pods", "list pods", "get services", "list services", "patch apps/deployments"}), found)


def test_a_service_account_of_which_nothing_is_there_is_absent(cluster: Kubernetes) -> None:
    prepared(cluster, read_namespaced_service_account=ABSENT, read_namespaced_role=ABSENT, read_namespaced_role_binding=ABSENT)
    assert cluster.service_account("spark-jobs", "spark-sa") is None
    prepared(cluster, read_namespaced_role=ABSENT, read_namespaced_role_binding=ABSENT)
    assert cluster.service_account("spark-jobs", "spark-sa") == ServiceAccountState(True, frozenset(), False)


def test_the_role_that_is_written_is_the_one_that_is_read(cluster: Kubernetes) -> None:
    api = prepared(cluster, replace_namespaced_role=ABSENT)
    cluster.put_role("spark-jobs", "spark-sa", DRIVER_RULES)
    (_, (_, body)) = next(c for c in api.called if c[0] == "create_namespaced_role")
    rules = [rule(r["verbs"], r["resources"], r["apiGroups"]) for r in body["rules"]]
    prepared(cluster, read_namespaced_role=SimpleNamespace(rules=rules), read_namespaced_role_binding=binding("spark-sa", OWN))
    assert cluster.service_account("spark-jobs", "spark-sa") == ServiceAccountState(True, DRIVER_RULES, True)


def test_a_secrets_values_are_secrets(cluster: Kubernetes) -> None:
    prepared(
        cluster, read_namespaced_secret=SimpleNamespace(data={"access-key": base64.b64encode(b"AKEXAMPLE").decode(), "odd": base64.b64encode(b"\xff").decode()})
    )
    values = cluster.secret("spark-jobs", "minio-s3-keys")
    assert values == {"access-key": Secret("AKEXAMPLE"), "odd": Secret("\ufffd")}
    assert "AKEXAMPLE" not in repr(values)
    prepared(cluster, read_namespaced_secret=SimpleNamespace(data=None))
    assert cluster.secret("spark-jobs", "minio-s3-keys") == {}
    prepared(cluster, read_namespaced_secret=ABSENT)
    assert cluster.secret("spark-jobs", "minio-s3-keys") is None


def test_keys_of_a_secret_that_are_not_ours_stay(cluster: Kubernetes) -> None:
    api = prepared(cluster)
    cluster.write_secret("spark-jobs", "minio-s3-keys", {"access-key": Secret("AK")})
    assert api.called == [("patch_namespaced_secret", ("minio-s3-keys", "spark-jobs", {"data": {"access-key": base64.b64encode(b"AK").decode()}}))]
