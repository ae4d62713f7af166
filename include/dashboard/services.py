"""What the application shows, each made at the first request for it and then kept: one of each in a process."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from include.dashboard.lake_view import LakeView, read
from include.lake.errors import LakeError
from include.lake.lake import load_lake
from include.lake.metrics.view import ApplicationView, Snapshot

T = TypeVar("T")
FIRST = 10.0  # seconds for the first sweep
log = logging.getLogger(__name__)


class Columns(Protocol):
    """The course of a pod's figures."""

    def as_json(self) -> Mapping[str, list[float | None]]: ...  # noqa: D102


class Collector(Protocol):
    """Sweeps of the cluster, in a thread of its own: every 2 s while somebody looks, else every 30 s."""

    @property
    def snapshot(self) -> Snapshot | None: ...  # noqa: D102

    def start(self) -> None: ...  # noqa: D102

    def stop(self) -> None: ...  # noqa: D102

    def watch(self) -> AbstractContextManager[Any]: ...  # noqa: D102

    def wait(self, after: float, timeout: float) -> Snapshot | None: ...  # noqa: D102

    def series(self, namespace: str, name: str) -> Mapping[str, Columns]: ...  # noqa: D102

    def log(self, namespace: str, name: str, pod: str, lines: int) -> str: ...  # noqa: D102

    def manifest(self, namespace: str, name: str) -> Mapping[str, Any]: ...  # noqa: D102


class Past(Protocol):
    """The finished jobs that the lake keeps."""

    def list(self) -> list[dict[str, Any]]: ...  # noqa: D102

    def read(self, namespace: str, name: str, stamp: str = "") -> dict[str, Any] | None: ...  # noqa: D102


class Kept:
    """Something that is made once, by whoever asks first; of facts, when there are any, and anew when they differ.

    What fails is tried again at the next request.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make, self._lock, self._of, self.made = make, threading.Lock(), (), None

    def __call__(self, *facts: Any) -> Any:
        """The one made of these."""
        with self._lock:
            if self.made is None or facts != self._of:
                self.made, self._of = self._make(*facts), facts
            return self.made


class Services:
    """The sources of the pages."""

    def __init__(self, collector: Callable[[], Collector], past: Callable[[], Past], lake: Callable[[], LakeView]) -> None:
        self._collector, self._past, self._lake = Kept(lambda: _started(collector())), past, lake

    @property
    def collector(self) -> Collector:
        """The collector, at work. Raises LakeError when it cannot be made."""
        made: Collector = self._collector()
        return made

    @property
    def past(self) -> Past:
        """The finished jobs. Raises LakeError when the store's connection is not there."""
        made: Past = self._past()
        return made

    def lake(self) -> LakeView:
        """How the lake stands; what keeps that from being known is one of its problems."""
        try:
            return self._lake()
        except LakeError as error:
            return LakeView("", problems=(str(error),))
        except Exception as error:  # the database's and the drivers' own
            log.exception("the lake's view could not be read")
            return LakeView("", problems=(f"Unable to read how the lake stands: {type(error).__name__}. The API server's log says more.",))

    def snapshot(self) -> Snapshot:
        """The newest sweep; the first one is waited for. What keeps it from being made is its problem."""
        try:
            now = self.collector.snapshot
            if not now or not now.at:
                now = self.collector.wait(0, FIRST)
        except LakeError as error:
            return nothing(str(error))
        return now if now and now.at else nothing(f"Unable to show the Spark jobs: no sweep of the cluster ended within {FIRST:.0f} s. It is tried again.")

    def application(self, namespace: str, name: str) -> ApplicationView | None:
        """An application of the newest sweep."""
        return next((a for a in self.snapshot().applications if (a.namespace, a.name) == (namespace, name)), None)

    def close(self) -> None:
        """End the collector's thread."""
        if self._collector.made is not None:
            self._collector.made.stop()


def nothing(problem: str) -> Snapshot:
    """A sweep that found nothing, and why."""
    return Snapshot(time.time(), 30, 0, 0, problems=(problem,))


def _started(collector: Collector) -> Collector:
    collector.start()
    return collector


def of_airflow() -> Services:
    """What the page in Airflow shows: connections are Airflow's, the rest is declared in include/lake.yaml."""
    lakes = Kept(_lakes)
    return Services(_airflows_collector, lambda: lakes(*_airflows_place()), _airflows_lake)


def _airflows_lake() -> LakeView:
    from include.operators.links import console_address

    spec = load_lake().spec
    return replace(read(spec.name), console=console_address(spec.minio.console_port))


def _airflows_collector() -> Collector:
    from include.adapters.metrics.of_lake import collector
    from include.operators.base import airflow_connection

    return collector(load_lake, airflow_connection, keeps=True)


def _lakes(*place: Any) -> Past:
    from include.adapters.metrics.past import Past as Lakes

    return Lakes(*place)


def _airflows_place() -> tuple[Any, ...]:
    """Where finished jobs are kept."""
    from include.operators.base import airflow_connection

    lake = load_lake()
    return airflow_connection("lake_s3"), lake.spec.spark.bucket, lake.probe_prefix
