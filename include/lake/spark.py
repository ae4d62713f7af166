"""SparkApplications: what is submitted, and what their states mean. Source: the API reference of spark-operator 2.5."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from include.lake.s3a import ACCESS_VARIABLE, SECRET_VARIABLE

GROUP, VERSION, PLURAL = "sparkoperator.k8s.io", "v1beta2", "sparkapplications"
APP_LABEL = "sparkoperator.k8s.io/app-name"
STREAM = "homelake/stream"  # the label, with the value `true`, of a SparkApplication that does not end by itself
CODE = "/opt/homelake/job"  # where a job's files are mounted in driver and executors
# What the dashboard reads from a driver, on its own UI's port: figures of streams are there only when asked for. It costs nothing until somebody asks.
METRICS = {
    "spark.sql.streaming.metricsEnabled": "true",
    "spark.metrics.namespace": "spark",  # else each run's own id, as a part of every name
    "spark.metrics.conf.driver.sink.prometheusServlet.class": "org.apache.spark.metrics.sink.PrometheusServlet",
    "spark.metrics.conf.driver.sink.prometheusServlet.path": "/metrics/prometheus",
}
KEEP_SECONDS = 86_400  # an application that failed stays a day for whoever looks at it


class Phase(StrEnum):
    """What matters of an application's state to who waits for it."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"  # the operator does not know; it may come back

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self in (Phase.DONE, Phase.FAILED)


# Every state of the operator. SUBMISSION_FAILED, FAILING and the like are on their way: the operator itself goes on to FAILED.
_PHASES = {
    "": Phase.WAITING, "SUBMITTED": Phase.WAITING, "PENDING_RERUN": Phase.WAITING, "INVALIDATING": Phase.WAITING,
    "SUSPENDING": Phase.WAITING, "SUSPENDED": Phase.WAITING, "RESUMING": Phase.WAITING,
    "SUBMISSION_FAILED": Phase.FAILED, "RUNNING": Phase.RUNNING, "SUCCEEDING": Phase.RUNNING, "FAILING": Phase.RUNNING,
    "COMPLETED": Phase.DONE, "FAILED": Phase.FAILED, "UNKNOWN": Phase.LOST,
}  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """How an application stands: its phase, the operator's own word for it, and the operator's error."""

    phase: Phase
    state: str
    error: str
    driver: str

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase.over


def standing(application: Mapping[str, Any]) -> Standing:
    """An application's standing, from the object itself."""
    status = application.get("status") or {}
    state = status.get("applicationState") or {}
    word = state.get("state", "")
    driver = (status.get("driverInfo") or {}).get("podName") or f"{application['metadata']['name']}-driver"
    return Standing(phase_of(word), word, state.get("errorMessage") or "", driver)


def phase_of(state: str) -> Phase:
    """The phase that the operator's word for an application's state means."""
    return _PHASES.get(state, Phase.LOST)


def short_error(message: str) -> str:
    """The line of a Java trace that says what happened."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by:") or "Message:" in line or "forbidden" in line.lower()]
    return (causes[-1].removeprefix("Caused by: ") if causes else lines[0] if lines else "the operator gave no cause")[:600]


def end_of(now: Standing) -> str:
    """The cause of a job's failure, in the operator's words."""
    return f"it ended as {now.state or 'NEW'}: {short_error(now.error)}"


@dataclass(frozen=True)
class Job:
    """A PySpark job: its file, its arguments, its size. Memory in Spark's own form (`512m`).

    `cpu_request`: what Kubernetes promises the driver and each executor of a core (`250m`); without it, all their cores.
    `modules`: files of jobs/ that its own imports, mounted beside it.
    """

    main: str
    arguments: tuple[str, ...] = ()
    driver_memory: str = "512m"
    executor_memory: str = "512m"
    executors: int = 1
    cores: int = 1
    cpu_request: str | None = None
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Where:
    """Where a job runs: namespace, service account, image, and the secret whose keys become its environment."""

    namespace: str
    service_account: str
    image: str
    secret: str
    access_key: str
    secret_key: str
    pull_secret: str | None = None


def application(job: Job, where: Where, conf: Mapping[str, str]) -> dict[str, Any]:
    """The SparkApplication of a job, without its name. Its code is mounted from a ConfigMap of the application's name."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "SparkApplication",
        "metadata": {"namespace": where.namespace, "labels": {"app.kubernetes.io/managed-by": "homelake"}},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "pythonVersion": "3",
            "sparkVersion": "4.1.1",
            "image": where.image,
            "imagePullPolicy": "IfNotPresent",
            **({"imagePullSecrets": [where.pull_secret]} if where.pull_secret else {}),
            "mainApplicationFile": f"local://{CODE}/{job.main}",
            "arguments": list(job.arguments),
            "restartPolicy": {"type": "Never"},
            "timeToLiveSeconds": KEEP_SECONDS,
            "sparkConf": {"spark.kubernetes.executor.deleteOnTermination": "false", "spark.log.level": "WARN", **METRICS, **conf},
            "driver": {"serviceAccount": where.service_account, **_role(job, where, job.driver_memory)},
            "executor": {"instances": job.executors, **_role(job, where, job.executor_memory)},
        },
    }


def _role(job: Job, where: Where, memory: str) -> dict[str, Any]:
    mapped = {ACCESS_VARIABLE: where.access_key, SECRET_VARIABLE: where.secret_key}
    return {
        "cores": job.cores,
        **({"coreRequest": job.cpu_request} if job.cpu_request else {}),
        "memory": memory,
        "env": [{"name": n, "valueFrom": {"secretKeyRef": {"name": where.secret, "key": k}}} for n, k in mapped.items()],
        "volumeMounts": [{"name": "job", "mountPath": CODE}],
    }


def named(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The same application under a name, with the volume of its code."""
    volumes = [*body["spec"].get("volumes", []), {"name": "job", "configMap": {"name": name}}]
    return {**body, "metadata": {**body["metadata"], "name": name}, "spec": {**body["spec"], "volumes": volumes}}


def secret_references(body: Mapping[str, Any]) -> dict[str, list[tuple[str, str, str]]]:
    """Of driver and executor: each variable with the secret and the key it comes from."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for role in ("driver", "executor"):
        refs = [(e["name"], e.get("valueFrom", {}).get("secretKeyRef")) for e in body["spec"].get(role, {}).get("env", [])]
        found[role] = [(n, r["name"], r["key"]) for n, r in refs if r]
    return found
