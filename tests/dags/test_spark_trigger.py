"""The trigger that waits for a SparkApplication, without a cluster."""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import pytest
from airflow.sdk.module_loading import import_string
from kubernetes_asyncio import client

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

    async def get_namespaced_custom_object(self, *args: Any, _request_timeout: float) -> Any:
        look = self.looks.pop(0)
        if isinstance(look, BaseException):
            raise look
        return {"metadata": {"name": "job-1"}, "status": {"applicationState": {"state": look}}}

    list_namespaced_custom_object = None

    async def delete_namespaced_custom_object(self, *args: Any, **options: Any) -> None:
        self.deleted.append((args[-1], options))

    async def delete_collection_namespaced_pod(self, *args: Any, **options: Any) -> None:
        self.deleted.append(options["label_selector"])


class NoEvents:
    async def __aenter__(self) -> "NoEvents":
        return self

    async def __aexit__(self, *error: Any) -> None: ...

    def stream(self, *args: Any, timeout_seconds: float, _request_timeout: float, **options: Any) -> Any:
        assert _request_timeout > timeout_seconds, "the server ends a watch first"

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
    ],
    ids=["completed", "failed", "on the way", "removed", "out of reach for a while"],
)
def test_it_fires_once_when_the_application_is_over_or_gone(watched: Any, looks: list[Any], naps: int) -> None:
    trigger, api, slept = watched(*looks)
    assert fired(trigger) == [{"name": "job-1", "kept": ""}]
    assert not api.looks
    assert slept == [5] * naps


class Recording:
    def __init__(self) -> None:
        self.did = list[str]()

    def start(self) -> None:
        self.did.append("start")

    def stop(self) -> None:
        self.did.append("stop")

    def keep(self) -> str:
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
