"""What would fail a Spark job, each found before it starts. The cluster and MinIO are prepared; the real ones are tried in tests/e2e."""

import copy
import json
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from kubernetes import client
from minio.error import S3Error

from include.adapters import preflight as module
from include.adapters.preflight import examine, preflight
from include.lake.errors import LakeError, Unreachable
from include.lake.s3a import PREFIX, s3a_profile
from include.lake.secret import Secret
from include.lake.spark import Job, Where, application
from tests.unit.conftest import recorded

MINIO = SimpleNamespace(secure=False, endpoint="10.0.0.10:9000", region="ap-northeast-2", ca="")
BODY = application(
    Job("a.py"), Where("spark-jobs", "spark-sa", "i", "minio-s3-keys", "access-key", "secret-key"), s3a_profile("http://10.0.0.10:9000", "ap-northeast-2")
)
WEBHOOK = SimpleNamespace(name="mutate-pod.sparkoperator.k8s.io", client_config=SimpleNamespace(ca_bundle="CA"))
FORBIDDEN = LakeError("use", "it", 'customresourcedefinitions is forbidden: User "poor" cannot get it')


class Cluster:
    """A cluster in which everything is in order, but for what `wrong` says by the name of a call."""

    def __init__(self, **wrong: Any) -> None:
        hooks = SimpleNamespace(items=[SimpleNamespace(metadata=SimpleNamespace(name="spark-operator-webhook"), webhooks=[WEBHOOK])])
        allowed = SimpleNamespace(status=SimpleNamespace(allowed=True))
        self.answers: dict[str, Any] = {"CRD": object(), "webhooks": hooks, "service account": object(), "access review": allowed} | {
            k.replace("_", " "): v for k, v in wrong.items()
        }
        self.secrets = wrong.get("secrets", {"minio-s3-keys": {"access-key": Secret("AKEXAMPLE"), "secret-key": Secret("s3cret-value")}})
        self.api, self.core = client.ApiClient(client.Configuration()), client.CoreV1Api()

    def call(self, what: str, function: Any, *args: Any, absent: tuple[int, ...] = ()) -> Any:
        answer = self.answers[what]
        if callable(answer):
            answer = answer(*args)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def secret(self, namespace: str, name: str) -> Any:
        assert namespace == "spark-jobs"
        return self.secrets.get(name)


def hooks(*configurations: Any) -> Any:
    return SimpleNamespace(items=list(configurations))


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How MinIO answers the job's own key pair; `asked` is with what it was asked."""
    answer: dict[str, Any] = {"error": None}

    class Store:
        def __init__(self, **options: Any) -> None:
            answer["asked"] = options

        def list_objects(self, bucket: str, prefix: str) -> Any:
            if answer["error"]:
                raise answer["error"]
            return iter(())

    monkeypatch.setattr(module, "Minio", Store)
    return answer


def found(cluster: Cluster, body: dict[str, Any] = BODY) -> list[str]:
    return list(examine(cluster, MINIO, body, "datalake"))  # type: ignore[arg-type]


def test_what_is_in_order_is_let_through(store: dict[str, Any]) -> None:
    assert found(Cluster()) == []
    preflight(Cluster(), MINIO, BODY, "datalake")  # type: ignore[arg-type]
    assert (store["asked"]["access_key"], store["asked"]["region"]) == ("AKEXAMPLE", "ap-northeast-2")


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"CRD": None}, "the cluster does not know SparkApplications. Install the spark-operator"),
        ({"webhooks": hooks()}, "the spark-operator's webhook is off: variables from secrets and volumes would be silently left out. "),
        ({"webhooks": hooks(SimpleNamespace(metadata=SimpleNamespace(name="istio"), webhooks=[SimpleNamespace(name="x")]))}, "the spark-operator's webhook is off"),
        ({"webhooks": hooks(SimpleNamespace(metadata=SimpleNamespace(name="spark"), webhooks=[SimpleNamespace(name="x", client_config=SimpleNamespace(ca_bundle=None))]))},
         "the spark-operator's webhook is not ready yet"),
        ({"service_account": None}, "there is no service account spark-jobs/spark-sa: the driver would be Forbidden. Declare one that is there"),
        ({"access_review": lambda ns, review: SimpleNamespace(status=SimpleNamespace(allowed=review["spec"]["resourceAttributes"]["resource"] != "pods"))},
         "the service account spark-jobs/spark-sa may not create pods, watch pods, which a Spark driver does. Run lake_bootstrap"),
    ],
    ids=["no CRD", "no webhook", "someone else's webhook", "webhook not ready", "no account", "no rights"],
)  # fmt: skip
def test_each_thing_amiss_in_the_cluster_is_told(wrong: dict[str, Any], problem: str) -> None:
    (said,) = found(Cluster(**wrong))
    assert said.startswith(problem)


def test_who_may_not_look_is_not_kept_from_running_jobs() -> None:
    assert found(Cluster(CRD=FORBIDDEN, access_review=FORBIDDEN)) == []


@pytest.mark.parametrize("call", ["CRD", "access_review", "service_account"])
def test_a_cluster_out_of_reach_is_no_verdict(call: str) -> None:
    with pytest.raises(Unreachable):
        found(Cluster(**{call: Unreachable("Kubernetes", "connection refused")}))


@pytest.mark.parametrize(
    ("secrets", "problems"),
    [
        ({}, ["there is no secret spark-jobs/minio-s3-keys, which {role} takes {variable} from. Run lake_bootstrap"]),
        ({"minio-s3-keys": {"access_key": Secret("AK"), "secret_key": Secret("sk")}},
         ["{role} takes {variable} from the key '{key}' of the secret minio-s3-keys, which it does not have (it has access_key, secret_key): "
          "the job would see null credentials. Map it to a key that is there: kubernetes.secret in lake.yaml"]),
        ({"minio-s3-keys": {"access-key": Secret(""), "secret-key": Secret("")}},
         ["{role} takes {variable} from the key '{key}' of the secret minio-s3-keys, which it does not have (it has access-key, secret-key): "
          "the job would see null credentials. Map it to a key that is there: kubernetes.secret in lake.yaml"]),
    ],
    ids=["no secret", "other keys", "empty keys"],
)  # fmt: skip
def test_a_secret_that_would_give_null_credentials_is_told_for_both_roles(secrets: dict[str, Any], problems: list[str]) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "access-key", "AWS_SECRET_ACCESS_KEY": "secret-key"}
    assert found(Cluster(secrets=secrets)) == [p.format(role=r, variable=v, key=k) for r in ("driver", "executor") for v, k in keys.items() for p in problems]


@pytest.mark.parametrize("role", ["driver", "executor"])
def test_a_variable_that_nobody_maps_is_told_with_the_name_it_may_have_been_mistaken_for(role: str) -> None:
    body = copy.deepcopy(BODY)
    body["spec"][role]["env"][0]["name"] = "ACCESS_KEY"
    assert found(Cluster(), body) == [
        f"{role} has no variable AWS_ACCESS_KEY_ID, which S3A reads (ACCESS_KEY is another name): the job would see null credentials. Map it by secretKeyRef"
    ]


def test_a_plain_value_is_a_variable_too() -> None:
    body = copy.deepcopy(BODY)
    body["spec"]["driver"]["env"][0] = {"name": "AWS_ACCESS_KEY_ID", "value": "AK"}
    assert found(Cluster(), body) == []


ANSWERS = json.loads(recorded("minio/answers.json"))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("s3 wrong region", "the server refuses the region ap-northeast-2 (400). Set minio.region in lake.yaml to the server's"),
        ("s3 unknown key", "MinIO does not know the secret's access key. Run lake_bootstrap: it makes the pair anew"),
        ("s3 wrong secret", "the secret's secret key is not the one MinIO has for its access key. Run lake_bootstrap"),
        ("s3 denied", "the key pair may not use the bucket datalake, or it does not exist. Run lake_bootstrap, or look at the user's buckets in lake.yaml"),
        ("no such bucket", "there is no bucket datalake. Run lake_bootstrap"),
        ("s3 starting", "MinIO answers XMinioServerNotInitialized: Server not initialized yet, please try again."),
    ],
)
def test_what_minio_says_to_the_jobs_own_pair_is_told(name: str, problem: str, store: dict[str, Any]) -> None:
    store["error"] = S3Error.fromxml(urllib3.HTTPResponse(ANSWERS[name]["body"].encode(), status=ANSWERS[name]["status"]))  # type: ignore[type-var]
    assert found(Cluster()) == [problem]


def test_a_minio_out_of_reach_is_told(store: dict[str, Any]) -> None:
    store["error"] = urllib3.exceptions.NewConnectionError(None, "Failed to establish a new connection: [Errno 111] Connection refused")  # type: ignore[arg-type]
    (said,) = found(Cluster())
    assert said.startswith("MinIO at 10.0.0.10:9000 cannot be reached from here: ")
    assert "onnection refused" in said


def test_settings_that_clash_are_told_and_the_server_is_not_asked_with_them(store: dict[str, Any]) -> None:
    body = copy.deepcopy(BODY)
    body["spec"]["sparkConf"] |= {f"{PREFIX}endpoint.region": "us-east-1", f"{PREFIX}signing-algorithm": "S3SignerType"}
    said = found(Cluster(), body)
    assert len(said) == 2
    assert "asked" not in store


def test_everything_amiss_is_told_at_once_and_no_secret_with_it() -> None:
    body = copy.deepcopy(BODY)
    body["spec"]["sparkConf"].pop(f"{PREFIX}endpoint")
    cluster = Cluster(webhooks=hooks(), service_account=None, secrets={"minio-s3-keys": {"access-key": Secret("AKEXAMPLE"), "other": Secret("s3cret-value")}})
    with pytest.raises(LakeError) as caught:
        preflight(cluster, MINIO, body, "datalake")  # type: ignore[arg-type]
    lines = str(caught.value).splitlines()
    assert lines[0] == "Unable to submit the Spark job: 5 problems found before it was started"
    assert len(lines) == 6
    assert all(line.startswith("- ") for line in lines[1:])
    assert "s3cret-value" not in str(caught.value)
