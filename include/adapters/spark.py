"""SparkApplications in a cluster: submit, watch, follow the driver's log, gather evidence, remove."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from include.adapters.kubernetes import Kubernetes
from include.lake.errors import LakeError
from include.lake.spark import APP_LABEL, GROUP, PLURAL, VERSION, Phase, Standing, named, short_error, standing

WATCH_SECONDS = 240  # of one watch; the next goes on from there
START_SECONDS = 600  # from submission to a running driver
LOOK_SECONDS, ROOM_SECONDS = 3, 15  # between two looks at its pods: until the driver runs, and for executors without room after that
LOST_SECONDS = 60  # how long the operator may not know before the job counts as failed
STUCK = ("ErrImagePull", "ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError")


class SparkApplications:
    """The SparkApplications of one namespace. `say` is told what happens."""

    def __init__(self, kubernetes: Kubernetes, namespace: str, say: Callable[[str], None]) -> None:
        self._k, self.namespace, self._say = kubernetes, namespace, say

    def _custom(self, verb: str, *args: Any, absent: tuple[int, ...] = (), **options: Any) -> Any:
        call = getattr(self._k.custom, f"{verb}_namespaced_custom_object")
        return self._k.call("SparkApplications", call, GROUP, VERSION, self.namespace, PLURAL, *args, absent=absent, **options)

    def submit(self, body: Mapping[str, Any], name: str, files: Mapping[str, str]) -> None:
        """Submit under a name, or find it submitted already. The ConfigMap with its files belongs to it and goes with it."""
        made = self._custom("create", named(body, name), absent=(409,))
        self._say(f"SparkApplication {self.namespace}/{name} {'submitted' if made else 'was submitted before; watching it'}")
        there = made or self._custom("get", name)
        owner = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "SparkApplication", "name": name, "uid": there["metadata"]["uid"]}
        config_map = {"metadata": {"name": name, "ownerReferences": [owner]}, "data": dict(files)}
        self._k.call(f"ConfigMap {name}", self._k.core.create_namespaced_config_map, self.namespace, config_map, absent=(409,))

    def object(self, name: str) -> Mapping[str, Any] | None:
        """The application itself; None when there is none of that name."""
        found: Mapping[str, Any] | None = self._custom("get", name, absent=(404,))
        return found

    def get(self, name: str) -> Standing | None:
        """How it stands; None when there is none of that name."""
        found = self.object(name)
        return standing(found) if found else None

    def at_work(self, selector: str) -> list[str]:
        """The names of those with this label that are not over."""
        found = self._custom("list", label_selector=selector) or {}
        return sorted(str(a["metadata"]["name"]) for a in found.get("items", ()) if not standing(a).over)

    def watch(self, name: str) -> Iterator[Standing]:
        """Each change of its standing, as the API server tells it. Ends when it is gone."""
        from kubernetes.watch import Watch

        while (now := self.get(name)) is not None:
            yield now
            stream = Watch().stream(self._k.custom.list_namespaced_custom_object, GROUP, VERSION, self.namespace, PLURAL,
                                    field_selector=f"metadata.name={name}", timeout_seconds=WATCH_SECONDS if now.driver else 10, _request_timeout=(10, WATCH_SECONDS + 30))  # fmt: skip
            with suppress(Exception):  # a broken stream is begun anew; what cannot be reached shows in get()
                for event in stream:
                    if event["type"] == "DELETED":
                        return
                    yield standing(event["object"])

    def wait(self, name: str) -> Standing:
        """Wait for the end, with the driver's log on the way. Raises LakeError with the cause when it did not complete."""
        began, lost_since = time.monotonic(), 0.0
        log: DriverLog | None = None
        guard = _Guard(self, name, began)
        last: Standing | None = None
        for now in self.watch(name):
            if last is None or now.state != last.state:
                self._say(f"{name}: {now.state or 'NEW'}")
            last = now
            if now.phase is Phase.RUNNING or (now.over and log is None and now.state != "SUBMISSION_FAILED"):
                guard.runs()
                log = log or DriverLog(self._k, self.namespace, now.driver, self._say)
            if now.phase is Phase.LOST:
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > LOST_SECONDS:
                    break
            else:
                lost_since = 0.0
            if now.over or guard.problem:
                break
        guard.stop()
        if log:
            log.finish()
        if guard.problem:
            raise LakeError("start", f"the Spark job {name}", guard.problem, "Mend that and run again; the SparkApplication is kept for a day")
        if last is None or last.phase is not Phase.DONE:
            raise self.failure(name, last)
        return last

    def failure(self, name: str, last: Standing | None) -> LakeError:
        """The cause of a failure, after the evidence has been said: events, executors, the operator's whole message."""
        if last is None:
            return LakeError("finish", f"the Spark job {name}", "its SparkApplication was removed while it ran", "Run it again")
        self._say("\n".join(["evidence:", *self.evidence(name)]))
        return LakeError("finish", f"the Spark job {name}", f"it ended as {last.state or 'NEW'}: {short_error(last.error)}",
                         f"The driver's log is above. The SparkApplication is kept for a day: kubectl -n {self.namespace} describe sparkapplication {name}")  # fmt: skip

    def evidence(self, name: str) -> Iterator[str]:
        """What the cluster knows of it: pods with their ends, and events."""
        found = self._custom("get", name, absent=(404,)) or {}
        for executor, state in ((found.get("status") or {}).get("executorState") or {}).items():
            yield f"executor {executor}: {state}"
        pods = self.pods(name)
        for pod in pods:
            for s in pod.status.container_statuses or []:
                end = s.state.terminated or (s.last_state.terminated if s.last_state else None)
                waiting = s.state.waiting
                yield f"pod {pod.metadata.name}: {pod.status.phase}" + (
                    f", exit {end.exit_code} {end.reason or ''}" if end else f", {waiting.reason}: {waiting.message}" if waiting else ""
                )
        for subject in [name, *(p.metadata.name for p in pods)]:
            events = self._k.call("events", self._k.core.list_namespaced_event, self.namespace, field_selector=f"involvedObject.name={subject}")
            for event in events.items if events else ():
                yield f"event {subject}: {event.reason}: {(event.message or '').strip().splitlines()[0][:300] if event.message else ''}"

    def pods(self, name: str) -> list[Any]:
        """Its driver and executors."""
        found = self._k.call("pods", self._k.core.list_namespaced_pod, self.namespace, label_selector=f"{APP_LABEL}={name}")
        return list(found.items) if found else []

    def delete(self, name: str, *, wait: float = 30) -> None:
        """Remove it with its pods, and wait until they are gone."""
        self._custom("delete", name, absent=(404,), propagation_policy="Foreground")
        for pod in self.pods(name):
            self._k.call("pods", self._k.core.delete_namespaced_pod, pod.metadata.name, self.namespace, grace_period_seconds=5, absent=(404,))
        end = time.monotonic() + wait
        while time.monotonic() < end and self.pods(name):
            time.sleep(0.5)


def stuck(pods: Iterable[Any]) -> str:
    """Why one of the pods will not start, as a wrong image or a missing key; empty while all may."""
    for pod in pods:
        for s in pod.status.container_statuses or []:
            if s.state.waiting and s.state.waiting.reason in STUCK:
                return f"{pod.metadata.name}: {s.state.waiting.reason}: {s.state.waiting.message}"
    return ""


def without_room(pods: Iterable[Any], told: set[str], say: Callable[[str], None]) -> dict[str, str]:
    """Those that no node has room for: the pod's name and the scheduler's reason. One that is not in `told` yet is told."""
    conditions = ((pod.metadata.name, c) for pod in pods for c in pod.status.conditions or ())
    waiting = {
        pod: str(c.message).split(" preemption:")[0] for pod, c in conditions if (c.type, c.status, c.reason) == ("PodScheduled", "False", "Unschedulable")
    }
    for pod in waiting.keys() - told:
        say(f"{pod} waits for room in the cluster: {waiting[pod]}")
    told.update(waiting)
    return waiting


def for_want_of_room(waiting: Mapping[str, str]) -> str:
    """What an error adds of them."""
    return "".join(f"; {pod} waits for room: {why}" for pod, why in waiting.items())


class _Guard:
    """What no SparkApplication's state says, looked for every few seconds: until the driver runs, a pod that is stuck; then executors without room."""

    def __init__(self, applications: SparkApplications, name: str, began: float) -> None:
        self.problem = ""
        self._applications, self._name, self._began = applications, name, began
        self._over, self._driver_runs = threading.Event(), False
        self._told = set[str]()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(ROOM_SECONDS if self._driver_runs else LOOK_SECONDS):
            with suppress(LakeError):
                pods = self._applications.pods(self._name)
                waiting = without_room(pods, self._told, self._applications._say)
                if not self._driver_runs and (problem := stuck(pods) or self._late(waiting)) and not self._over.is_set():
                    self.problem = problem
                    # The watch wakes up by this change of the object itself.
                    self._applications._custom("patch", self._name, {"metadata": {"annotations": {"homelake/stuck": problem[:200]}}}, absent=(404,))
                    return

    def _late(self, waiting: Mapping[str, str]) -> str:
        if time.monotonic() - self._began <= START_SECONDS:
            return ""
        return f"no driver runs after {START_SECONDS} s{for_want_of_room(waiting)}"

    def runs(self) -> None:
        """The driver runs."""
        self._driver_runs = True

    def stop(self) -> None:
        """It is over."""
        self._over.set()


class DriverLog:
    """The driver's log, line by line as it comes, each line once even when the stream breaks."""

    def __init__(self, kubernetes: Kubernetes, namespace: str, pod: str, say: Callable[[str], None]) -> None:
        self._k, self._namespace, self._pod, self._say, self._seen = kubernetes, namespace, pod, say, 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for _ in range(5):
            with suppress(Exception):
                stream = self._k.core.read_namespaced_pod_log(self._pod, self._namespace, follow=True, _preload_content=False, _request_timeout=(10, 3600))
                for number, line in enumerate(_lines(stream.stream(4096, decode_content=False)), 1):
                    if number > self._seen:
                        self._say(f"[driver] {line}")
                        self._seen = number
                return
            time.sleep(1)

    def finish(self, seconds: float = 30) -> None:
        """Wait until the rest has come, for so long at most."""
        self._thread.join(seconds)


def _lines(blocks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")
