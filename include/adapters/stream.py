"""The stream of payments in a cluster: look, submit, end at a batch boundary, see it start."""

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.adapters.kubernetes import Kubernetes
from include.adapters.spark import SparkApplications
from include.adapters.spark_log import lines
from include.connections import Connections
from include.lake.errors import LakeError
from include.lake.resources.stream import ENDED, FAILED, HALTED, INCOMPLETE, LEAVING, RUNNING, StreamState
from include.lake.secret import Secret
from include.lake.spark import STREAM, Phase, standing
from include.lake.stream import FILES, HALT_SECONDS, KAFKA_SECRET, NAME, ONCE, STOP_FILE, Halt, Surroundings, digest_of, halt, last_words, since

JOBS = Path(__file__).resolve().parents[2] / "jobs"
STOP_SECONDS, GONE_SECONDS = 120, 60  # until a batch has ended and the driver with it; until an application is cleared away
CONTAINER = "spark-kubernetes-driver"
_PHASES = {Phase.DONE: ENDED, Phase.FAILED: FAILED}
_STEP = 0.5  # seconds between two looks


class Streams:
    """The client of the resource `stream/payments`. `say` is told what happens."""

    def __init__(self, connections: Connections, kubernetes: Kubernetes, say: Callable[[str], None] = print) -> None:
        self._connections, self.kubernetes, self._say = connections, kubernetes, say

    def applications(self, namespace: str) -> SparkApplications:
        """The SparkApplications beside the stream."""
        return SparkApplications(self.kubernetes, namespace, self._say)

    def surroundings(self, names: tuple[str, ...] = FILES) -> Surroundings:
        """Endpoint, Kafka, and these files of jobs/."""
        from include.adapters.kafka import options  # librdkafka is loaded only where there is a stream
        from include.adapters.kafka_java import login_files

        kafka = self._connections("kafka_default")
        given = options(kafka)
        try:
            files = {name: (JOBS / name).read_text(encoding="utf-8") for name in names}
        except OSError as error:
            raise LakeError("read", f"the stream's job {error.filename}", error.strerror or str(error), "It is part of the project: bring it back") from None
        return Surroundings(self._connections("minio_admin").host.rstrip("/"), str(given["bootstrap.servers"]), login_files(kafka, given), files)

    def stream(self, namespace: str) -> StreamState | None:
        """The stream there; None when the cluster says that there is none."""
        found = self.applications(namespace).object(NAME)
        if found is None:
            return None
        phase = _phase(found)
        config = self.kubernetes.call(f"ConfigMap {NAME}", self.kubernetes.core.read_namespaced_config_map, NAME, namespace, absent=(404,))
        if phase == RUNNING and config is None:
            phase = INCOMPLETE  # killed between the two
        held = self.kubernetes.secret(namespace, KAFKA_SECRET)
        return StreamState(digest_of(found), phase, None if held is None else frozenset(held.items()))

    def stop_stream(self, namespace: str) -> None:
        """Leave the sign in the driver's container, and wait for the end. Raises LakeError when it does not come within STOP_SECONDS."""
        applications, marked = self.applications(namespace), ""
        end = time.monotonic() + STOP_SECONDS
        while (found := applications.object(NAME)) is not None:
            now, phase = standing(found), _phase(found)
            if phase not in (RUNNING, HALTED):
                if phase == FAILED:
                    self._say(f"{NAME} had ended as {now.state}: {now.error or 'the operator gave no cause'}")
                return
            driver = next((p for p in applications.pods(NAME) if p.metadata.name == now.driver and p.status.phase == "Running"), None)
            if driver is None and now.state != "SUCCEEDING":
                self._say(f"{NAME} is {now.state or 'NEW'}: no driver of it is at work")
                return
            if driver is not None and driver.metadata.uid != marked and self._mark(namespace, now.driver):
                marked = driver.metadata.uid  # a driver that is started again knows nothing of it
                self._say(f"{NAME} ends at its next batch boundary")
            if time.monotonic() > end:
                raise LakeError("stop", "stream/payments", f"its driver still runs {STOP_SECONDS} s after it was asked to end",
                                f"Run again; its log tells what it waits for: kubectl -n {namespace} logs {now.driver}")  # fmt: skip
            time.sleep(_STEP)

    def remove_stream(self, namespace: str) -> None:
        """Remove the application with its pods, and wait until it is gone."""
        applications = self.applications(namespace)
        applications.delete(NAME)
        end = time.monotonic() + GONE_SECONDS
        while applications.object(NAME) is not None:
            if time.monotonic() > end:
                raise LakeError("remove", "stream/payments", f"its SparkApplication is still there after {GONE_SECONDS} s",
                                f"kubectl -n {namespace} get sparkapplication {NAME} -o yaml says what holds it; run again")  # fmt: skip
            time.sleep(_STEP)

    def write_kafka(self, namespace: str, files: frozenset[tuple[str, Secret]]) -> None:
        """Write the secret of Kafka's log-in; what is not among the files is taken out of it."""
        held = self.kubernetes.secret(namespace, KAFKA_SECRET)
        if held is None:
            self.kubernetes.write_secret(namespace, KAFKA_SECRET, dict(files))
        else:
            self.kubernetes.patch_secret(namespace, KAFKA_SECRET, {**dict.fromkeys(held), **dict(files)})

    def submit_stream(self, body: Mapping[str, Any], files: Mapping[str, str]) -> None:
        """Submit it. Raises LakeError while a micro batch writes to the same checkpoint."""
        namespace = body["metadata"]["namespace"]
        if batches := self.batches(namespace):
            raise LakeError("start", "stream/payments", f"{', '.join(batches)} writes to the same checkpoint", "Wait until it has ended; the next run goes on")
        self.applications(namespace).submit(body, NAME, files)

    def batches(self, namespace: str) -> list[str]:
        """The names of the micro batches that are not over."""
        return self.applications(namespace).at_work(f"{STREAM}={ONCE}")

    def at_work(self, namespace: str) -> str:
        """The state of the stream in the operator's words while it is there and not over; else empty."""
        found = self.applications(namespace).object(NAME)
        return "" if found is None or _phase(found) in (ENDED, FAILED) else standing(found).state or "NEW"

    def attempts(self, namespace: str) -> tuple[int, float]:
        """How often the operator has started it, and how many seconds ago the last time; (0, 0) when it never did."""
        status = (self.applications(namespace).object(NAME) or {}).get("status") or {}
        return int(status.get("executionAttempts") or 0), since(status.get("lastSubmissionAttemptTime"), datetime.now(UTC))

    def halted(self, namespace: str) -> Halt | None:
        """How it stands still between two tries of the operator, with the cause in its driver's own words where they can be read; None when it does not."""
        found = self.applications(namespace).object(NAME)
        stands = halt(found, datetime.now(UTC)) if found else None
        if found is None or stands is None:
            return None
        words = self._last_words(namespace, standing(found).driver)
        return replace(stands, error=words) if words else stands

    def _last_words(self, namespace: str, driver: str) -> str:
        """Why a driver ended, in its own words; empty when its pod is gone or says nothing."""
        from urllib3.exceptions import HTTPError

        read = self.kubernetes.core.read_namespaced_pod_log
        with suppress(LakeError, HTTPError):  # the operator's words are left
            log = self.kubernetes.call("the driver's log", read, driver, namespace, tail_lines=200, _preload_content=False)
            if log is not None:
                return last_words(lines(log.stream(4096, decode_content=False)))
        return ""

    def _mark(self, namespace: str, pod: str) -> bool:
        """Make the file that the driver looks for. False when its container is not there (yet, or any more)."""
        from kubernetes.client import ApiClient, ApiException, CoreV1Api
        from kubernetes.stream import stream

        # A client of its own: `stream` puts another way of calling into the client for the time of the call.
        core = CoreV1Api(ApiClient(self.kubernetes.api.configuration))
        try:
            run = stream(core.connect_get_namespaced_pod_exec, pod, namespace, container=CONTAINER, command=["touch", STOP_FILE],
                         stdin=False, stdout=True, stderr=True, tty=False, _preload_content=False, _request_timeout=30)  # fmt: skip
            run.run_forever(timeout=30)
            said = run.read_channel(3)  # the channel on which Kubernetes says how it ended
            run.close()
        except ApiException as error:
            if refusal := _refusal(pod, error):
                raise refusal from None
            return False
        return not said or json.loads(said).get("status") == "Success"


def _phase(found: Mapping[str, Any]) -> str:
    now = standing(found)
    if found["metadata"].get("deletionTimestamp"):
        return LEAVING
    if stands := halt(found, datetime.now(UTC)):
        return HALTED if stands.seconds > HALT_SECONDS else RUNNING
    return _PHASES.get(now.phase, RUNNING)


def _refusal(pod: str, error: Any) -> LakeError | None:
    """Why it may not be done; None when there is only no such container at the moment. The web socket's error has its answer as text."""
    code = re.search(r"Handshake status (\d+)", str(error.reason))
    status = int(code[1]) if code else error.status
    if status in (401, 403):
        return LakeError("stop", f"the driver {pod} at a batch boundary", "the account of the kube config may not run a command in it (pods/exec)",
                         "Give it that right; ./lake doctor lists what is needed")  # fmt: skip
    if status in (400, 404, 500):
        return None
    return LakeError("stop", f"the driver {pod} at a batch boundary", str(error.reason or error.status).splitlines()[0][:200], "Check the connection 'kubernetes_default'")  # fmt: skip
