"""Spark's own record of its jobs: written to the lake by each, shown by Spark's history server."""

from collections.abc import Mapping
from typing import Any

from include.lake.s3a import ACCESS_VARIABLE, SECRET_VARIABLE
from include.lake.spark import Where

NAME, PORT = "spark-history", 18080
SERVER = "org.apache.spark.deploy.history.HistoryServer"


def event_log(folder: str | None) -> dict[str, str]:
    """Spark's configuration for a job that keeps its record in this folder of the lake; nothing without one."""
    return {"spark.eventLog.enabled": "true", "spark.eventLog.dir": folder} if folder else {}


def history_pod(where: Where, folder: str, conf: Mapping[str, str]) -> dict[str, Any]:
    """The pod of a history server on these records. `conf` is the jobs' own S3A profile; its key pair comes from their secret."""
    settings = {**conf, "spark.history.fs.logDirectory": folder, "spark.history.ui.port": str(PORT), "spark.history.fs.update.interval": "10s"}
    options = " ".join(f"-D{name}={value}" for name, value in sorted(settings.items()))
    keys = {ACCESS_VARIABLE: where.access_key, SECRET_VARIABLE: where.secret_key}
    container = {
        "name": NAME,
        "image": where.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["/opt/spark/bin/spark-class", SERVER],
        "env": [{"name": "SPARK_HISTORY_OPTS", "value": options}, {"name": "SPARK_DAEMON_MEMORY", "value": "512m"},
                *({"name": n, "valueFrom": {"secretKeyRef": {"name": where.secret, "key": k}}} for n, k in keys.items())],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/api/v1/version", "port": PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "100m", "memory": "768Mi"}, "limits": {"memory": "768Mi"}},
    }  # fmt: skip
    return {
        "metadata": {"name": NAME, "namespace": where.namespace, "labels": {"app.kubernetes.io/managed-by": "homelake", "app.kubernetes.io/name": NAME}},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": where.service_account,
            "automountServiceAccountToken": False,
            "containers": [container],
            **({"imagePullSecrets": [{"name": where.pull_secret}]} if where.pull_secret else {}),
        },
    }
