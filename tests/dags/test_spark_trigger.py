"""The trigger that waits for a SparkApplication, without a cluster."""

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from airflow.sdk.module_loading import import_string
from kubernetes_asyncio import client

from include.adapters import spark_guard
from include.lake.errors import LakeError
from include.operators import triggers
from include.operators.triggers import SparkApplicationTrigger


def test_a_trigger_is_made_again_from_what_is_stored() -> None:
    path, arguments = SparkApplicationTrigger("job-1", "spark-jobs", "kubernetes_default", "datalake", "home/").serialize()
    again = import_string(path)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


class Api:
    """The cluster's API, asynchronous: `looks` are what a look at the application gives, one after the other."""

    def __init__(self, *looks: Any) -> None:
        self.looks, self.deleted = list(looks), list[Any]()
        self.pods, self.pod_looks, self.watched = list[Any](), 0, list[float]()

    async def get_namespaced_custom_object(self, *args: Any, _request_timeout: float) -> Any:
        look = self.looks.pop(0)
        if isinstance(look, BaseException):
            raise look
        return look if look == "<html>" else {"metadata": {"name": "job-1"}, "status": {"applicationState": {"state": look}}}

    def list_namespaced_custom_object(self, seconds: float) -> None:
        self.watched.append(seconds)

    async def list_namespaced_pod(self, namespace: str, *, label_selector: str, _request_timeout: float) -> Any:
        assert (namespace, label_selector) == ("spark-jobs", "sparkoperator.k8s.io/app-name=job-1")
        self.pod_looks += 1
        return SimpleNamespace(items=self.pods)

    async def delete_namespaced_custom_object(self, *args: Any, **options: Any) -> None:
        self.deleted.append((args[-1], options))

    async def delete_collection_namespaced_pod(self, *args: Any, **options: Any) -> None:
        self.deleted.append(options["label_selector"])


class NoEvents:
    async def __aenter__(self) -> "NoEvents":
        return self

    async def __aexit__(self, *error: Any) -> None: ...

    def stream(self, watch: Any, *args: Any, timeout_seconds: float, _request_timeout: float, **options: Any) -> Any:
        assert _request_timeout > timeout_seconds, "the server ends a watch first"
        watch(timeout_seconds)

        async def none() -> Any:
            return
            yield

        return none()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Any:
    def trigger(*looks: Any) -> tuple[SparkApplicationTrigger, Api, list[float]]:
        api, slept = Api(*looks), list[float]()

        @asynccontextmanager
        async def connection(self: Any) -> Any:
            yield api

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        monkeypatch.setattr(SparkApplicationTrigger, "_api", connection)
        monkeypatch.setattr(triggers.client, "CustomObjectsApi", lambda api: api)
        monkeypatch.setattr(triggers.client, "CoreV1Api", lambda api: api)
        monkeypatch.setattr(triggers.watch, "Watch", NoEvents)
        monkeypatch.setattr(triggers.asyncio, "sleep", sleep)
        return SparkApplicationTrigger("job-1", "spark-jobs", "kubernetes_default"), api, slept

    return trigger


def fired(trigger: SparkApplicationTrigger) -> list[Any]:
    async def run() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("looks", "naps"),
    [
        (["COMPLETED"], 0),
        (["FAILED"], 0),
        (["", "RUNNING", "UNKNOWN", "COMPLETED"], 0),
        ([client.ApiException(status=404)], 0),  # removed: the operator will say so
        ([client.ApiException(status=503), OSError("no route"), TimeoutError(), "RUNNING", "COMPLETED"], 3),
        ([aiohttp.ServerDisconnectedError(), aiohttp.ClientPayloadError("not enough data"), "RUNNING", "COMPLETED"], 2),
        ([json.JSONDecodeError("Expecting value", "<html>", 0), "<html>", "COMPLETED"], 2),
    ],
    ids=["completed", "failed", "on the way", "removed", "out of reach for a while", "cut off", "not Kubernetes"],
)
def test_it_fires_once_when_the_application_is_over_or_gone(watched: Any, looks: list[Any], naps: int) -> None:
    trigger, api, slept = watched(*looks)
    assert fired(trigger) == [{"name": "job-1", "kept": ""}]
    assert not api.looks
    assert slept == [5] * naps


@pytest.mark.parametrize(
    "broken",
    [aiohttp.ClientPayloadError("not enough data"), ValueError("Separator is not found"), Exception("Malformed JSON response"), '{"type": "MODIF'],
    ids=["payload", "separator", "malformed", "a cut line"],
)
def test_a_watch_that_breaks_off_is_begun_anew_whatever_broke_it(watched: Any, monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    trigger, api, slept = watched("RUNNING", "COMPLETED")

    async def breaks() -> Any:
        if isinstance(broken, Exception):
            raise broken
        yield broken  # as kubernetes_asyncio gives on what it cannot read

    monkeypatch.setattr(NoEvents, "stream", lambda *args, **options: breaks())
    assert fired(trigger) == [{"name": "job-1", "kept": ""}]
    assert (api.looks, slept) == ([], [5])


def waiting(reason: str, message: str) -> Any:
    status = SimpleNamespace(state=SimpleNamespace(waiting=SimpleNamespace(reason=reason, message=message)))
    return SimpleNamespace(metadata=SimpleNamespace(name="job-1-driver"), status=SimpleNamespace(phase="Pending", container_statuses=[status], conditions=None))


def test_one_that_will_not_start_is_given_up_with_the_reason(watched: Any) -> None:
    """A deferred task has no time limit of Airflow's: it would be waited for for ever."""
    trigger, api, _ = watched("", "SUBMITTED", "SUBMITTED")
    api.pods = [waiting("ErrImagePull", "no such image")]
    assert fired(trigger) == [{"name": "job-1", "kept": "", "gave_up": ["start", "job-1-driver: ErrImagePull: no such image"]}]


def test_one_without_a_driver_for_too_long_is_given_up(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_guard, "START_SECONDS", -1)
    trigger, _, _ = watched("SUBMITTED", "SUBMITTED")
    assert fired(trigger) == [{"name": "job-1", "kept": "", "gave_up": ["start", "no driver runs after -1 s"]}]


def test_one_that_its_operator_lost_is_given_up(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "LOST_SECONDS", 0)
    trigger, _, _ = watched("RUNNING", "UNKNOWN", "RUNNING", "UNKNOWN", "UNKNOWN")
    assert fired(trigger) == [{"name": "job-1", "kept": "", "gave_up": ["finish", "it ended as UNKNOWN: the operator gave no cause"]}]


def test_pods_are_looked_at_only_until_the_driver_runs(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trigger, api, _ = watched("", "SUBMITTED", "RUNNING", "UNKNOWN", "SUSPENDED", "RUNNING", "COMPLETED")
    fired(trigger)
    assert (api.pod_looks, api.watched) == (2, [10, 10, 60, 10, 10, 60])


class Recording:
    def __init__(self) -> None:
        self.did = list[str]()

    def start(self) -> None:
        self.did.append("start")

    def stop(self) -> None:
        self.did.append("stop")

    def keep(self, given_up: str) -> str:
        self.did.append("keep")
        return "_homelake/jobs/x.parquet"


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    made = Recording()
    monkeypatch.setattr(triggers, "airflow_connection", lambda conn_id: conn_id)
    monkeypatch.setattr(triggers, "Kubernetes", lambda connection: None)
    monkeypatch.setattr(triggers.Recording, "of", lambda *args: made)
    return made


def test_the_job_is_looked_at_until_its_end_and_kept(watched: Any, recording: Recording) -> None:
    trigger, _, _ = watched("RUNNING", "COMPLETED")
    trigger.bucket = "datalake"
    assert fired(trigger) == [{"name": "job-1", "kept": "_homelake/jobs/x.parquet"}]
    assert recording.did == ["start", "keep"]


def test_a_trigger_that_is_ended_looks_no_more(watched: Any, recording: Recording) -> None:
    trigger, _, _ = watched(asyncio.CancelledError())
    trigger.bucket = "datalake"
    with pytest.raises(asyncio.CancelledError):
        fired(trigger)
    assert recording.did == ["start", "stop"]


def test_without_its_connections_it_still_waits(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(conn_id: str) -> None:
        raise LakeError("find", f"the connection {conn_id!r}", "it is not configured", "Add it")

    monkeypatch.setattr(triggers, "airflow_connection", missing)
    trigger, _, _ = watched("COMPLETED")
    trigger.bucket = "datalake"
    assert fired(trigger) == [{"name": "job-1", "kept": ""}]


def test_killed_by_a_user_it_removes_the_application_and_its_pods(watched: Any) -> None:
    trigger, api, _ = watched()
    asyncio.run(trigger.on_kill())
    assert api.deleted == [("job-1", {"propagation_policy": "Foreground"}), "sparkoperator.k8s.io/app-name=job-1"]
