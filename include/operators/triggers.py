"""Waiting for a SparkApplication without a worker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientError
from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async
from kubernetes_asyncio import client, watch

from include.adapters.kubernetes import Kubernetes
from include.adapters.metrics.past import Past
from include.adapters.metrics.record import Recording
from include.adapters.network import network_cause
from include.adapters.spark_guard import LOST_SECONDS, Lasting, Start
from include.lake.errors import LakeError
from include.lake.spark import APP_LABEL, GROUP, PLURAL, VERSION, Phase, Standing, end_of, standing
from include.operators.base import airflow_connection

# What a cluster out of reach, or half out of reach, makes of a call. A trigger that died of it would leave the job running without anyone who waits.
PASSING = (client.ApiException, ClientError, OSError, TimeoutError, ValueError)


class SparkApplicationTrigger(BaseTrigger):
    """Fires once the application is over or gone, will not start, or is lost to its operator. Killed by a user, it removes the application and its pods.

    Meanwhile it has the job looked at, and keeps what it used in the lake, below `prefix` of `bucket`. Its event holds `name`, and `kept`: the
    object's key, empty when nothing was kept; and `gave_up` (verb, cause) of a job that counts as failed although it is not over. When another
    triggerer takes over, what is kept begins there, and so does the time for the start.
    """

    def __init__(self, name: str, namespace: str, kubernetes_conn_id: str, bucket: str = "", prefix: str = "") -> None:
        super().__init__()
        self.name, self.namespace, self.kubernetes_conn_id, self.bucket, self.prefix = name, namespace, kubernetes_conn_id, bucket, prefix
        self._where, self._ran = (GROUP, VERSION, namespace, PLURAL), False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return "include.operators.triggers.SparkApplicationTrigger", {
            "name": self.name,
            "namespace": self.namespace,
            "kubernetes_conn_id": self.kubernetes_conn_id,
            "bucket": self.bucket,
            "prefix": self.prefix,
        }

    @asynccontextmanager
    async def _api(self) -> AsyncIterator[Any]:
        async with AsyncKubernetesHook(conn_id=self.kubernetes_conn_id).get_conn() as connection:
            yield connection

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait until the end, with the job looked at meanwhile."""
        recording = await sync_to_async(self._recording)()
        try:
            end = await self._end()
        except BaseException:
            if recording:
                recording.stop()
            raise
        kept = ""
        if recording:  # not in the one thread in which all triggers' connections are looked up: it may take half a minute
            kept = await sync_to_async(recording.keep, thread_sensitive=False)(end.get("gave_up", ("", ""))[1])
        yield TriggerEvent({"name": self.name, "kept": kept, **end})

    def _recording(self) -> Recording | None:
        if not self.bucket:  # deferred by a Homelake that kept nothing
            return None
        # The connections are asked for here: Airflow answers this thread, and not the one that looks.
        try:
            lake, kubernetes = airflow_connection("lake_s3"), Kubernetes(airflow_connection(self.kubernetes_conn_id))
        except LakeError as error:
            self.log.warning("what the job uses is not kept: %s", error)
            return None
        recording = Recording.of(kubernetes, lambda: Past(lake, self.bucket, self.prefix), self.namespace, self.name, self.log.info)
        recording.start()
        return recording

    async def _end(self) -> dict[str, Any]:
        """Watch until the end, or until the job counts as failed: then `gave_up` holds the verb and the cause.

        A broken watch is begun anew; a cluster that is out of reach for a while is waited for.
        """
        start, lost = Start(self.log.info), Lasting(LOST_SECONDS)
        while True:
            try:
                async with self._api() as connection:
                    if (end := await self._look(connection, start, lost)) is not None:
                        return end
            except PASSING as error:
                self.log.warning("watching %s: %s; again in 5 s", self.name, _cause(error))
                await asyncio.sleep(5)

    async def _look(self, connection: Any, start: Start, lost: Lasting) -> dict[str, Any] | None:
        """One look, and a watch after it. What Airflow would end a task for while it holds a worker, it does not while it is deferred."""
        custom = client.CustomObjectsApi(connection)
        now = await self._standing(custom)
        if now is None or now.over:
            return {}
        if lost.too_long(now.phase is Phase.LOST):
            return {"gave_up": ["finish", end_of(now)]}
        self._ran = self._ran or now.phase is Phase.RUNNING
        if not self._ran:
            core = client.CoreV1Api(connection)
            pods = await core.list_namespaced_pod(self.namespace, label_selector=f"{APP_LABEL}={self.name}", _request_timeout=30)
            if problem := start.problem(pods.items):
                return {"gave_up": ["start", problem]}
        return {} if await self._over(custom, 60 if now.phase is Phase.RUNNING else 10) else None

    async def _standing(self, custom: Any) -> Standing | None:
        try:
            found = await custom.get_namespaced_custom_object(*self._where, self.name, _request_timeout=30)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise
        if not isinstance(found, dict):
            raise ValueError("what answers there does not answer as Kubernetes does")
        return standing(found)

    async def _over(self, custom: Any, seconds: int) -> bool:
        """Watch for so long at most. True once it is over or gone."""
        # The server ends it after `timeout_seconds`; a connection that died without a word would be waited for, so the client has its own end.
        only = {"field_selector": f"metadata.name={self.name}", "timeout_seconds": seconds, "_request_timeout": seconds + 15}
        async with watch.Watch() as stream:
            events = stream.stream(custom.list_namespaced_custom_object, *self._where, **only)
            try:
                async for event in events:
                    if event["type"] == "DELETED" or standing(event["object"]).over:
                        return True
            except Exception as error:  # a cut line makes errors of many kinds
                raise ConnectionError(f"the watch broke off ({_cause(error)})") from error
        return False

    async def on_kill(self) -> None:
        """Remove the application and its pods."""
        async with self._api() as connection:
            try:
                await client.CustomObjectsApi(connection).delete_namespaced_custom_object(*self._where, self.name, propagation_policy="Foreground")
            except client.ApiException as error:
                if error.status != 404:
                    raise
            await client.CoreV1Api(connection).delete_collection_namespaced_pod(
                self.namespace, label_selector=f"{APP_LABEL}={self.name}", grace_period_seconds=5
            )


def _cause(error: Exception) -> str:
    """One line: an answer's own text has its headers, and a time-out's is empty."""
    return f"it answered {error.status} {error.reason or ''}".rstrip() if isinstance(error, client.ApiException) else network_cause(error)
