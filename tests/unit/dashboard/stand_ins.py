"""What the page shows, in memory."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from include.dashboard.lake_view import LakeView
from include.dashboard.services import Services
from include.lake.errors import LakeError
from include.lake.metrics.series import Series
from include.lake.metrics.view import ApplicationView, Bounds, Churn, Figures, Origin, PodView, Snapshot, Totals, Waste


def pod(name: str) -> PodView:
    return PodView(name, "driver", "driver", "n1", "Running", "", "", None, 1.0, None, Bounds(1, 1, 2**30, 2**30), Figures(10, 0.5, 2**29))


def application(name: str = "job-1", **more: Any) -> ApplicationView:
    values: dict[str, Any] = {
        "namespace": "spark-jobs", "name": name, "uid": "u", "phase": "running", "state": "RUNNING", "error": "", "started": 1_700_000_000.0, "ended": None,
        "stream": False, "main": "infra_status.py", "origin": Origin("lake_spark", "manual__1", "spark_job", 1), "paths": ("s3a://datalake/x/",),
        "bounds": Bounds(), "now": Figures(10, 0.5), "totals": Totals(done=4), "churn": Churn(), "waste": Waste(peak_cpu=0.5), "pods": (pod(f"{name}-driver"),),
    }  # fmt: skip
    return ApplicationView(**values | more)


class Sweeps:
    """A collector whose sweeps are made by the test."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.started = self.stopped = self.watching = 0
        self.asked: list[tuple[str, str, str, int]] = []
        self._changed = threading.Condition()

    def sweep(self, *applications: ApplicationView, at: float | None = None) -> None:
        with self._changed:
            self.snapshot = Snapshot(at or time.time(), 2, 0.1, 5, applications)
            self._changed.notify_all()

    def start(self) -> None:
        self.started += 1

    def stop(self) -> None:
        self.stopped += 1

    @contextmanager
    def watch(self) -> Iterator[None]:
        self.watching += 1
        try:
            yield
        finally:
            self.watching -= 1

    def wait(self, after: float, timeout: float) -> Snapshot | None:
        with self._changed:
            self._changed.wait_for(lambda: self.snapshot is not None and self.snapshot.at > after, timeout)
            return self.snapshot

    def series(self, namespace: str, name: str) -> dict[str, Series]:
        if name != "job-1":
            return {}
        one = Series()
        one.append(Figures(10, 0.5))
        one.append(Figures(12, float("inf")))
        return {"total": one}

    def log(self, namespace: str, name: str, pod: str, lines: int) -> str:
        self.asked.append((namespace, name, pod, lines))
        return "a line\n"

    def manifest(self, namespace: str, name: str) -> dict[str, Any]:
        return {"kind": "SparkApplication", "metadata": {"namespace": namespace, "name": name}, "status": {"applicationState": {"state": "RUNNING"}}}


class Kept:
    """Finished jobs of the lake."""

    def list(self) -> list[dict[str, Any]]:
        return [{"namespace": "spark-jobs", "name": "old-1", "stamp": "20261126T221300Z"}]

    def read(self, namespace: str, name: str, stamp: str = "") -> dict[str, Any] | None:
        return {"application": {"name": name}, "series": {}} if name == "old-1" and stamp in ("", "20261126T221300Z") else None


class Site(Services):
    """All of it; `lake_now` may be changed, `away` makes the cluster's connection fail."""

    def __init__(self) -> None:
        self.sweeps, self.lake_now, self.away = Sweeps(), LakeView("lake", 1.0), ""
        super().__init__(self._make, Kept, lambda: self.lake_now)

    def _make(self) -> Sweeps:
        if self.away:
            raise LakeError("find", "the connection 'kubernetes_default'", self.away)
        return self.sweeps
