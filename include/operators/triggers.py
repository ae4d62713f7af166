"""Waiting for a SparkApplication without a worker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async
from kubernetes_asyncio import client, watch

from include.adapters.kubernetes import Kubernetes
from include.adapters.metrics.past import Past
from include.adapters.metrics.record import Recording
from include.lake.errors import LakeError
from include.lake.spark import APP_LABEL, GROUP, PLURAL, VERSION, standing
from include.operators.base import airflow_connection


class SparkApplicationTrigger(BaseTrigger):
    """Fires once the application is over or gone. Killed by a user, it removes the application and its pods.

    Meanwhile it has the job looked at, and keeps what it used in the lake, below `prefix` of `bucket`. Its event holds `name`, and `kept`: the
    object's key, empty when nothing was kept. When another triggerer takes over, what is kept begins there.
    """

    def __init__(self, name: str, namespace: str, kubernetes_conn_id: str, bucket: str = "", prefix: str = "") -> None:
        super().__init__()
        self.name, self.namespace, self.kubernetes_conn_id, self.bucket, self.prefix = name, namespace, kubernetes_conn_id, bucket, prefix

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
            await self._end()
        except BaseException:
            if recording:
                recording.stop()
            raise
        yield TriggerEvent({"name": self.name, "kept": await sync_to_async(recording.keep)() if recording else ""})

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

    async def _end(self) -> None:
        """Watch until the end. A broken watch is begun anew; a cluster that is out of reach for a while is waited for."""
        while True:
            try:
                async with self._api() as connection:
                    if await self._over(client.CustomObjectsApi(connection)):
                        return
            except (client.ApiException, OSError, TimeoutError) as error:
                self.log.warning("watching %s: %s; again in 5 s", self.name, error)
                await asyncio.sleep(5)

    async def _over(self, custom: Any) -> bool:
        where = (GROUP, VERSION, self.namespace, PLURAL)
        try:
            now = standing(await custom.get_namespaced_custom_object(*where, self.name, _request_timeout=30))
        except client.ApiException as error:
            if error.status == 404:
                return True
            raise
        if now.over:
            return True
        async with watch.Watch() as stream:
            # The server ends it after `timeout_seconds`; a connection that died without a word would be waited for, so the client has its own end.
            only = {"field_selector": f"metadata.name={self.name}", "timeout_seconds": 60, "_request_timeout": 75}
            events = stream.stream(custom.list_namespaced_custom_object, *where, **only)
            async for event in events:
                if event["type"] == "DELETED" or standing(event["object"]).over:
                    return True
        return False

    async def on_kill(self) -> None:
        """Remove the application and its pods."""
        async with self._api() as connection:
            try:
                await client.CustomObjectsApi(connection).delete_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, PLURAL, self.name, propagation_policy="Foreground"
                )
            except client.ApiException as error:
                if error.status != 404:
                    raise
            await client.CoreV1Api(connection).delete_collection_namespaced_pod(
                self.namespace, label_selector=f"{APP_LABEL}={self.name}", grace_period_seconds=5
            )
