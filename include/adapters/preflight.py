"""Everything that would fail a Spark job, looked at in a few seconds, before any JVM starts (requirement E)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import S3Error

from include.adapters.kubernetes import Kubernetes
from include.adapters.minio import MinioServer
from include.lake.errors import LakeError
from include.lake.resources.keypair import Pair
from include.lake.s3a import ACCESS_VARIABLE, PREFIX, SECRET_VARIABLE, problems
from include.lake.secret import Secret
from include.lake.spark import GROUP, PLURAL, secret_references

_NEEDED = (("create", "pods"), ("watch", "pods"), ("create", "configmaps"), ("create", "services"))


def preflight(kubernetes: Kubernetes, minio: MinioServer, body: Mapping[str, Any], bucket: str, prefix: str = "") -> None:
    """Raise LakeError with everything that is wrong with an application, each with its remedy.

    `prefix` is below what its user may work in the bucket, as `raw/`; empty: anywhere.
    """
    found = list(examine(kubernetes, minio, body, bucket, prefix))
    if found:
        raise LakeError("submit", "the Spark job", "\n- ".join([f"{len(found)} problem{'s' if len(found) > 1 else ''} found before it was started", *found]))


def examine(kubernetes: Kubernetes, minio: MinioServer, body: Mapping[str, Any], bucket: str, prefix: str = "") -> Iterator[str]:
    """Each problem of an application: cause, then remedy."""
    namespace, account = body["metadata"]["namespace"], body["spec"]["driver"].get("serviceAccount", "default")
    try:
        yield from operator_problems(kubernetes, namespace)
    except LakeError as error:
        if "forbidden" not in str(error):  # who may not look at cluster-wide objects is not kept from running jobs
            raise
    yield from account_problems(kubernetes, namespace, account)
    endpoint = f"{'https' if minio.secure else 'http'}://{minio.endpoint}"
    settings = list(problems(body["spec"]["sparkConf"], endpoint, minio.region))
    yield from settings
    pair: Pair | None = None
    yield from _variables(body)
    values: dict[str, dict[str, Secret] | None] = {}
    for role, references in secret_references(body).items():
        for variable, name, key in references:
            if name not in values:
                values[name] = kubernetes.secret(namespace, name)
            held = values[name]
            if held is None:
                yield f"there is no secret {namespace}/{name}, which {role} takes {variable} from. Run lake_bootstrap"
            elif not held.get(key):
                yield (f"{role} takes {variable} from the key {key!r} of the secret {name}, which it does not have (it has {', '.join(sorted(held)) or 'none'}): "
                       f"the job would see null credentials. Map it to a key that is there: kubernetes.secret in lake.yaml")  # fmt: skip
        pair = pair or _pair(references, values)
    if pair and not settings:
        yield from _s3(minio, pair, (bucket, prefix), body["spec"]["sparkConf"].get(PREFIX + "endpoint.region", ""))


def operator_problems(kubernetes: Kubernetes, namespace: str) -> Iterator[str]:
    """What is wrong with the spark-operator's CRD and its webhook. Raises LakeError when the account may not look at them."""
    from kubernetes.client import AdmissionregistrationV1Api, ApiextensionsV1Api

    repository = "spark-operator https://kubeflow.github.io/spark-operator"
    helm = "spark-operator spark-operator/spark-operator --namespace spark-operator --set webhook.enable=true"
    crd = kubernetes.call("CRD", ApiextensionsV1Api(kubernetes.api).read_custom_resource_definition, f"{PLURAL}.{GROUP}", absent=(404,))
    if crd is None:
        yield (f"the cluster does not know SparkApplications. Install the spark-operator from its chart, once there is the namespace {namespace} (kubectl create namespace {namespace}): "
               f"helm repo add {repository} && helm install {helm} --version 2.5.0 --create-namespace --set 'spark.jobNamespaces={{{namespace}}}'")  # fmt: skip
        return
    hooks = kubernetes.call("webhooks", AdmissionregistrationV1Api(kubernetes.api).list_mutating_webhook_configuration)
    mine = [w for h in (hooks.items if hooks else ()) for w in h.webhooks or () if "spark" in f"{h.metadata.name} {w.name}"]
    if not mine:
        yield f"the spark-operator's webhook is off: variables from secrets and volumes would be silently left out. Switch it on: helm upgrade {helm} --reuse-values"
    elif not all(w.client_config.ca_bundle for w in mine):
        yield "the spark-operator's webhook is not ready yet (no CA bundle). Wait a moment, or look at its pod: kubectl -n spark-operator get pods"


def account_problems(kubernetes: Kubernetes, namespace: str, account: str) -> Iterator[str]:
    """What a Spark driver would lack as this service account."""
    from kubernetes.client import AuthorizationV1Api

    if kubernetes.call("service account", kubernetes.core.read_namespaced_service_account, account, namespace, absent=(404,)) is None:
        yield f"there is no service account {namespace}/{account}: the driver would be Forbidden. Declare one that is there (kubernetes.service_account), or run lake_bootstrap"
        return
    api, missing = AuthorizationV1Api(kubernetes.api), []
    for verb, kind in _NEEDED:
        review = {"metadata": {"namespace": namespace}, "spec": {"user": f"system:serviceaccount:{namespace}:{account}", "groups": ["system:serviceaccounts"],
                  "resourceAttributes": {"namespace": namespace, "verb": verb, "resource": kind}}}  # fmt: skip
        try:
            answer = kubernetes.call("access review", api.create_namespaced_local_subject_access_review, namespace, review)
        except LakeError as error:
            if "forbidden" in str(error):
                return
            raise
        if answer is not None and not answer.status.allowed:
            missing.append(f"{verb} {kind}")
    if missing:
        yield f"the service account {namespace}/{account} may not {', '.join(missing)}, which a Spark driver does. Run lake_bootstrap: it gives {account} its role"


def _variables(body: Mapping[str, Any]) -> Iterator[str]:
    for role, references in secret_references(body).items():
        names = {name for name, _, _ in references} | {e["name"] for e in body["spec"].get(role, {}).get("env", []) if "value" in e}
        for variable in (ACCESS_VARIABLE, SECRET_VARIABLE):
            if variable not in names:
                near = [n for n in names if n.replace("AWS_", "").startswith(variable.split("_", 1)[1][:6])]
                hint = f" ({', '.join(near)} is another name)" if near else ""
                yield f"{role} has no variable {variable}, which S3A reads{hint}: the job would see null credentials. Map it by secretKeyRef"


def _pair(references: list[tuple[str, str, str]], values: Mapping[str, Mapping[str, Secret] | None]) -> Pair | None:
    found = {variable: (values.get(name) or {}).get(key) for variable, name, key in references}
    access, secret = found.get(ACCESS_VARIABLE), found.get(SECRET_VARIABLE)
    return Pair(access.reveal(), secret) if access and secret else None


def _s3(minio: MinioServer, pair: Pair, where: tuple[str, str], region: str) -> Iterator[str]:
    """One signed call as the job's own user, with the job's own region."""
    bucket, prefix = where
    http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=3, read=10), retries=False, ca_certs=minio.ca or None)
    client = Minio(
        endpoint=minio.endpoint, access_key=pair.access_key, secret_key=pair.secret_key.reveal(), secure=minio.secure, region=region, http_client=http
    )
    try:
        next(iter(client.list_objects(bucket, prefix=f"{prefix}.homelake/")), None)
    except S3Error as error:
        yield {
            "AuthorizationHeaderMalformed": f"the server refuses the region {region} (400). Set minio.region in lake.yaml to the server's",
            "InvalidAccessKeyId": "MinIO does not know the secret's access key. Run lake_bootstrap: it makes the pair anew",
            "SignatureDoesNotMatch": "the secret's secret key is not the one MinIO has for its access key. Run lake_bootstrap",
            "AccessDenied": f"the key pair may not use the bucket {bucket}, or it does not exist. Run lake_bootstrap, or look at the user's buckets in lake.yaml",
            "NoSuchBucket": f"there is no bucket {bucket}. Run lake_bootstrap",
        }.get(error.code, f"MinIO answers {error.code}: {error.message}")
    except (urllib3.exceptions.HTTPError, OSError, json.JSONDecodeError) as error:
        cause = "it speaks no TLS there" if "SSL" in str(error) else str(error).split(": ")[-1].strip("()'\" ")[:160]
        yield f"MinIO at {urlsplit(f'//{minio.endpoint}').netloc} cannot be reached from here: {cause}. Check the service and the connection minio_admin"
