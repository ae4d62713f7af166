"""Spark jobs on the lake: the cncf.kubernetes provider's operator, with what it leaves out.

Its result is the SparkApplication's own state with the operator's error message, not the driver pod's phase. Everything that
would fail the job is looked at before it is submitted. A cleared task submits anew: a name belongs to one try of one run. What an earlier try
left at work, as one whose worker was killed, is removed first: two drivers would write to the same place.
"""

import hashlib
import json
import re
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow.providers.cncf.kubernetes.operators.spark_kubernetes import SparkKubernetesOperator
from kubernetes.client import CustomObjectsApi

from include.adapters.clients import Clients
from include.adapters.history import keep_folder
from include.adapters.metrics.past import Past
from include.adapters.metrics.record import Recording, recorded
from include.adapters.preflight import preflight
from include.adapters.spark import SparkApplications
from include.lake.errors import LakeError
from include.lake.history import event_log
from include.lake.lake import Lake
from include.lake.s3a import s3a_profile
from include.lake.spark import CODE, Job, application
from include.operators.base import clients, lake_errors
from include.operators.triggers import SparkApplicationTrigger
from include.settings import ROOT


class LakeSparkOperator(SparkKubernetesOperator):
    """Submit a PySpark job of `jobs/` and see it through.

    :param lake: the declaration, which gives namespace, service account, image, secret, region.
    :param job: the job's file in jobs/, the modules beside it, and its size.
    :param arguments: the job's arguments (templated).
    :param states: a list that the job finds as states.json beside its file (templated; an XCom, for instance).
    """

    template_fields = ("arguments", "states", "kubernetes_conn_id")
    template_ext = ()

    def __init__(self, *, lake: Lake, job: Job, arguments: Any = (), states: Any = (), spark_conf: dict[str, str] | None = None, **kwargs: Any) -> None:
        k = lake.spec.kubernetes
        super().__init__(namespace=k.namespace, template_spec={"spec": {}}, name=kwargs.pop("name", kwargs["task_id"]), random_name_suffix=False, **kwargs)
        self.arguments, self.states = list(arguments), states
        self._lake, self._job, self._more = lake, job, dict(spark_conf or {})
        self.do_xcom_push = True  # the provider's own meaning, a side-car in the pod, is not used: the name and the end of the application are the result
        self._application = self._submitted = ""  # the name of this try; the same once it may be in the cluster
        self._killed = False

    @cached_property
    def custom_obj_api(self) -> CustomObjectsApi:
        """The hook's own client: the provider's operator takes whatever kube config is global."""
        return CustomObjectsApi(self.hook.get_conn())

    def body(self, parts: Clients) -> dict[str, Any]:
        """The SparkApplication, without its name."""
        endpoint = parts.connections("minio_admin").host.rstrip("/")
        conf = s3a_profile(endpoint, self._lake.spec.minio.region) | event_log(self._lake.spec.spark.event_logs) | self._more
        return application(replace(self._job, arguments=tuple(str(a) for a in self.arguments)), self._lake.where, conf)

    def execute(self, context: Any) -> Any:
        """Check, submit, follow. Raises AirflowFailException with the cause and what to do."""
        with lake_errors():
            parts = clients(self.log.info)
            applications, self._application = self._applications(parts), job_name(context["ti"])
            self._clear(applications, context["ti"])
            body = from_task(self.body(parts), context["ti"])
            preflight(parts.kubernetes, parts.minio, body, self._lake.spec.spark.bucket, self._lake.probe_prefix)
            if folder := self._lake.spec.spark.event_logs:
                keep_folder(parts.kubernetes, parts.minio, self._lake.where, folder)
            self.log.info("preflight: operator, service account, secret, variables, endpoint, region and keys are in order")
            self._submit(applications, body)
            if not self.deferrable:
                return self._end(applications, self._submitted)
        place = self._lake.spec.spark.bucket, self._lake.probe_prefix
        return self.defer(trigger=SparkApplicationTrigger(self._submitted, self.namespace, self.kubernetes_conn_id, *place), method_name="finish")

    def _submit(self, applications: SparkApplications, body: dict[str, Any]) -> None:
        files = self._files()
        self._heed()
        self._submitted = self._application
        try:
            applications.submit(body, self._submitted, files)
        finally:
            if self._killed:  # on_kill may have come while there was nothing to remove yet
                self._remove()
        self._heed()

    def finish(self, context: Any, event: dict[str, Any]) -> Any:
        """After the deferral: the driver's log, and the end."""
        with lake_errors():
            self._application = self._submitted = event["name"]
            if kept := event.get("kept"):
                self.log.info("what it used is kept in the lake: %s", kept)
            applications = self._applications(clients(self.log.info))
            if (gave_up := event.get("gave_up")) and not applications.went_on(self._submitted):
                raise applications.give_up(self._submitted, *gave_up)
            return self._end(applications, self._submitted, kept=bool(kept))

    def _end(self, applications: SparkApplications, name: str, *, kept: bool = False) -> dict[str, str]:
        with nullcontext() if kept else recorded(self._recording(name)):
            try:
                end = applications.wait(name)
            except LakeError:
                self._heed()
                raise
        if self.delete_on_termination:
            try:
                applications.delete(name, wait=0)
            except LakeError as error:  # the job did its work, and another try would do it again
                self.log.warning("SparkApplication %s is left until its day is over: %s", name, error)
        return {"application": name, "state": end.state}

    def _clear(self, applications: SparkApplications, ti: Any) -> None:
        for number in range(1, ti.try_number):
            if applications.clear(earlier := job_name(ti, number)):
                self.log.warning("SparkApplication %s of try %s was still at work: it was removed with its pods", earlier, number)

    def _applications(self, parts: Clients) -> SparkApplications:
        return SparkApplications(parts.kubernetes, self.namespace, self.log.info)

    def _recording(self, name: str) -> Recording:
        parts, spec = clients(self.log.info), self._lake.spec.spark
        place = spec.bucket, self._lake.probe_prefix
        return Recording.of(parts.kubernetes, lambda: Past(parts.connections("lake_s3"), *place), self.namespace, name, self.log.info)

    def _files(self) -> dict[str, str]:
        paths = [ROOT / "jobs" / name for name in (self._job.main, *self._job.modules)]
        if missing := [str(p) for p in paths if not p.is_file()]:
            raise LakeError("submit", f"the Spark job {self._job.main}", f"there is no {', '.join(missing)}", "Name a file in jobs/")
        return {**{p.name: p.read_text(encoding="utf-8") for p in paths}, "states.json": json.dumps(self.states, default=str)}

    def on_kill(self) -> None:
        """Remove the application with its pods. What is not submitted yet will not be: Airflow lets the task go on for seconds after this."""
        self._killed = True
        if self._submitted:
            self._remove()

    def _remove(self) -> None:
        self.log.info("removing SparkApplication %s and its pods", self._submitted)
        try:
            self._applications(clients(self.log.info)).delete(self._submitted)
        except LakeError as error:
            self.log.warning("SparkApplication %s may still be at work; another try of the task removes it first: %s", self._submitted, error)

    def _heed(self) -> None:
        """Go no further once the task was ended."""
        if self._killed:
            raise Killed("go on with", f"the Spark job {self._application}", "the task was ended from outside")


class Killed(LakeError):
    """The task was ended from outside. Another try may follow, as after a worker's shutdown; Airflow knows when none is wanted."""

    retry = True


def from_task(body: dict[str, Any], ti: Any) -> dict[str, Any]:
    """The same SparkApplication with annotations that say which try of which task submitted it: the dashboard leads back to it by them."""
    origin = {"homelake/dag-id": ti.dag_id, "homelake/run-id": ti.run_id, "homelake/task-id": ti.task_id, "homelake/try-number": str(ti.try_number)}
    metadata = body["metadata"]
    return {**body, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **origin}}}


def job_name(ti: Any, number: int | None = None) -> str:
    """A name of at most 40 characters for one try of one task of one run, its own try or that number; never with `-driver` in it."""
    key = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{getattr(ti, 'map_index', -1)}"
    stem = re.sub(r"[^a-z0-9]+", "-", ti.task_id.split(".")[-1].lower().replace("driver", "drv"))[:20].strip("-")
    stem = stem if stem[:1].isalpha() else f"job-{stem}".rstrip("-")  # Kubernetes' services begin with a letter
    return f"{stem}-{hashlib.sha256(key.encode()).hexdigest()[:10]}-{number or ti.try_number}"


def states_file() -> str:
    """Where a job finds the states that its DAG observed."""
    return str(Path(CODE) / "states.json")
