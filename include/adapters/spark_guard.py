"""What no SparkApplication's state says: that a job will not start, or that something has lasted for too long."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from include.lake.errors import LakeError

START_SECONDS = 600  # from submission to a running driver
LOST_SECONDS = 60  # how long the operator may not know before the job counts as failed
LOOK_SECONDS, ROOM_SECONDS = 3, 15  # between two looks at its pods: until the driver runs, and for executors without room after that
STUCK = ("ErrImagePull", "ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError")


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


class Lasting:
    """Whether something goes on for longer than so many seconds without a pause."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._since = seconds, 0.0

    def too_long(self, goes_on: bool) -> bool:
        """To be told at each look whether it goes on."""
        self._since = (self._since or time.monotonic()) if goes_on else 0.0
        return goes_on and time.monotonic() - self._since > self._seconds


class Start:
    """Looks at the pods of a job that starts: what keeps it from that, judged from one look after the other."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._began, self._told = say, time.monotonic(), set[str]()

    def problem(self, pods: list[Any]) -> str:
        """Why the job counts as one that does not start; empty while it may. Who waits for room is told once."""
        waiting = self.room(pods)
        return stuck(pods) or self._late(pods, waiting)

    def room(self, pods: list[Any]) -> dict[str, str]:
        """Those without room, told once."""
        return without_room(pods, self._told, self._say)

    def _late(self, pods: list[Any], waiting: Mapping[str, str]) -> str:
        # A driver may have begun while the API server was away: its pod says so before the application's state does.
        begun = any(p.metadata.name.endswith("-driver") and p.status.phase != "Pending" for p in pods)
        if begun or time.monotonic() - self._began <= START_SECONDS:
            return ""
        return f"no driver runs after {START_SECONDS} s{for_want_of_room(waiting)}"


class Guard:
    """What no SparkApplication's state says, looked for every few seconds: until the driver runs, a pod that is stuck; then executors without room.

    `pods` gives the job's pods; `wake` is told the problem, and wakes up whoever waits.
    """

    def __init__(self, pods: Callable[[], list[Any]], wake: Callable[[str], None], say: Callable[[str], None]) -> None:
        self.problem = ""
        self._pods, self._wake, self._start = pods, wake, Start(say)
        self._over, self._driver_runs = threading.Event(), False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(ROOM_SECONDS if self._driver_runs else LOOK_SECONDS):
            with suppress(LakeError):
                pods = self._pods()
                if self._driver_runs:
                    self._start.room(pods)
                elif (problem := self._start.problem(pods)) and not (self._driver_runs or self._over.is_set()):
                    self.problem = problem
                    self._wake(problem)
                    return

    def runs(self) -> None:
        """The driver runs."""
        self._driver_runs = True

    def stop(self) -> None:
        """It is over."""
        self._over.set()
