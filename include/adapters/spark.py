"""SparkApplications in a cluster: submit, watch, follow the driver's log, gather evidence, remove."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from include.adapters.kubernetes import Kubernetes
from include.adapters.spark_guard import LOST_SECONDS, Guard, Lasting
from include.adapters.spark_log import DriverLog
from include.lake.errors import LakeError, Unreachable
from include.lake.spark import APP_LABEL, GROUP, PLURAL, VERSION, Phase, Standing, end_of, named, standing

WATCH_SECONDS = 240  # of one watch while the driver runs; the next goes on from there
AWAY_SECONDS, AGAIN_SECONDS = 300, 2  # how long an API server that is away is waited for, and how long between two looks for it
GONE_SECONDS = 60  # until nothing is left of one that was removed


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
        """Each change of its standing, as the API server tells it. Ends when it is gone.

        An API server that is away is waited for. Raises LakeError when it is for longer than AWAY_SECONDS.
        """
        from kubernetes.watch import Watch

        known = False
        while (now := self._look(name, known=known)) is not None:
            yield now
            known, seconds = True, WATCH_SECONDS if now.phase is Phase.RUNNING else 10
            stream = Watch().stream(self._k.custom.list_namespaced_custom_object, GROUP, VERSION, self.namespace, PLURAL,
                                    field_selector=f"metadata.name={name}", timeout_seconds=seconds, _request_timeout=(10, seconds + 30))  # fmt: skip
            try:
                for event in stream:
                    if event["type"] == "DELETED":
                        return
                    yield (new := standing(event["object"]))
                    if (now.phase, new.phase) == (Phase.RUNNING, Phase.LOST):
                        break  # how long it lasts is to be seen, also when nothing changes
            except Exception:  # a broken stream is begun anew, whatever broke it; what cannot be reached shows in the look
                time.sleep(AGAIN_SECONDS)

    def _look(self, name: str, *, known: bool) -> Standing | None:
        """How it stands, once the API server says so. `known`: it did before, and what it refuses now is an API server that starts."""
        end, told = time.monotonic() + AWAY_SECONDS, False
        while True:
            try:
                return self.get(name)
            except LakeError as error:
                if not (known or error.retry) or time.monotonic() > end:
                    raise
                if not told:
                    self._say(f"{name} is looked for again, for {AWAY_SECONDS} s: {error}")
                told = True
                time.sleep(AGAIN_SECONDS)

    def wait(self, name: str) -> Standing:
        """Wait for the end, with the driver's log on the way. Raises LakeError with the cause when it did not complete."""
        guard = Guard(lambda: self.pods(name), lambda problem: self._wake(name, problem), self._say)
        try:
            last = self._follow(name, guard)
        except Unreachable as error:
            remedy = f"{error.remedy}. What there is of {name} may still be at work; another try of the task removes it first"
            raise Unreachable(error.what, f"{error.cause}, for {AWAY_SECONDS} s", remedy) from None
        finally:
            guard.stop()
        if guard.problem:
            raise self.give_up(name, "start", guard.problem)
        if last is None or last.phase is not Phase.DONE:
            raise self.failure(name, last)
        return last

    def _follow(self, name: str, guard: Guard) -> Standing | None:
        """Follow it to where it is over or given up, and tell the driver's log. Returns the last standing; None when it was removed."""
        log: DriverLog | None = None
        last: Standing | None = None
        lost = Lasting(LOST_SECONDS)
        for now in self.watch(name):
            if last is None or now.state != last.state:
                self._say(f"{name}: {now.state or 'NEW'}")
            last = now
            if now.phase is Phase.RUNNING or (now.over and log is None and now.state != "SUBMISSION_FAILED"):
                guard.runs()
                log = log or DriverLog(self._k, self.namespace, now.driver, self._say)
            if now.over or guard.problem or lost.too_long(now.phase is Phase.LOST):
                break
        else:
            last = None
        if log:
            log.finish()
        return last

    def failure(self, name: str, last: Standing | None) -> LakeError:
        """The cause of a failure, after the evidence has been said: events, executors, the operator's whole message."""
        if last is None:
            return LakeError("finish", f"the Spark job {name}", "its SparkApplication was removed while it ran", "Run it again")
        if not last.over:
            return self.give_up(name, "finish", end_of(last))
        self._say_evidence(name)
        return LakeError("finish", f"the Spark job {name}", end_of(last),
                         f"The driver's log is above. The SparkApplication is kept for a day: kubectl -n {self.namespace} describe sparkapplication {name}")  # fmt: skip

    def went_on(self, name: str) -> bool:
        """Whether one that somebody gave up runs by now, or is over or gone: until he was heard, room may have come."""
        now = self._look(name, known=True)
        return now is None or now.over or now.phase is Phase.RUNNING

    def give_up(self, name: str, verb: str, cause: str) -> LakeError:
        """The error of a job that counts as failed and is not over. It is removed: it might begin, or go on, beside the next one."""
        self._say_evidence(name)
        try:
            self.delete(name)
        except LakeError as error:
            return LakeError(verb, f"the Spark job {name}", cause, f"It could not be removed ({error.cause}) and may yet run: kubectl -n {self.namespace} delete sparkapplication {name}")  # fmt: skip
        return LakeError(verb, f"the Spark job {name}", cause, "Mend that and run again. The SparkApplication was removed; what was known of it is in the log")  # fmt: skip

    def _say_evidence(self, name: str) -> None:
        lines = ["evidence:"]
        try:
            lines.extend(self.evidence(name))
        except LakeError as error:  # what the job ended with is told all the same
            lines.append(str(error))
        self._say("\n".join(lines))

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

    def clear(self, name: str) -> bool:
        """Remove one that may still be at work, and wait until nothing of it is left. False when there was none; one that is over is left alone.

        Raises LakeError when something of it stays, as a pod on a node that does not answer.
        """
        now = self.get(name)
        if now.over if now else not self.pods(name):
            return False
        self.delete(name, wait=0)
        end = time.monotonic() + GONE_SECONDS
        while left := [f"pod {p.metadata.name}" for p in self.pods(name)] or [f"sparkapplication {name}"] * (self.object(name) is not None):
            if time.monotonic() > end:
                raise LakeError("remove", f"the Spark job {name}", f"{', '.join(left)} is still there after {GONE_SECONDS} s",
                                f"See what holds it: kubectl -n {self.namespace} describe {left[0]}; run again once it is gone")  # fmt: skip
            time.sleep(0.5)
        return True

    def _wake(self, name: str, problem: str) -> None:
        """Change the object itself, so that its watch wakes up."""
        self._custom("patch", name, {"metadata": {"annotations": {"homelake/stuck": problem[:200]}}}, absent=(404,))
