"""The collector of a lake: its own namespace's Spark jobs, or all, and how far its stream is behind."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from include.adapters.kubernetes import Kubernetes
from include.adapters.metrics.collector import Asked, Collector
from include.adapters.metrics.keep import Keeper
from include.adapters.metrics.past import Past
from include.adapters.metrics.sources import Sources
from include.connections import Connection
from include.lake.errors import LakeError
from include.lake.lake import Lake
from include.lake.metrics.fold import Ended, Sweep
from include.lake.stream import NAME

EVERY = 60.0  # seconds from one look at the declaration and the connections to the next


def collector(lake: Callable[[], Lake], connection: Callable[[str], Connection], *, everywhere: bool = False, keeps: bool = False) -> Collector:
    """Of the declared namespace, or of the whole cluster. `connection` gives one by its id. Asks nothing yet; raises LakeError when one is missing.

    `keeps`: it keeps in the lake what a stream used, once that has ended. For who watches for long.
    """
    current = Current(lake, connection, everywhere=everywhere, keeps=keeps)
    return Collector(current, keep=current.keep if keeps else None)


class Current:
    """The sources by the declaration and the connections as they are now: who watches for weeks sees keys rotated and a stream declared."""

    def __init__(
        self, lake: Callable[[], Lake], connection: Callable[[str], Connection], *, everywhere: bool, keeps: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lake, self._connection, self._everywhere, self._keeps, self._clock = lake, connection, everywhere, keeps, clock
        self._stamp: Any = None
        self._keeper: Keeper | None = None
        self._problem, self._due = "", 0.0
        self._sources: Asked
        self._look()

    def gather(self) -> Sweep:
        """Ask all of them once; never raises."""
        if self._clock() >= self._due:
            self._problem = ""
            try:
                self._look()
            except LakeError as error:  # those of before go on
                self._problem = str(error)
        sweep = self._sources.gather()
        return replace(sweep, problems=(*sweep.problems, self._problem)) if self._problem else sweep

    def keep(self, ended: Sequence[Ended]) -> None:
        """Keep what streams used."""
        if self._keeper:
            self._keeper(ended)

    def log(self, namespace: str, pod: str, lines: int) -> str:
        """The last lines of a pod's log; raises LakeError."""
        return self._sources.log(namespace, pod, lines)

    def manifest(self, namespace: str, name: str) -> Mapping[str, Any]:
        """A SparkApplication; raises LakeError."""
        return self._sources.manifest(namespace, name)

    def _look(self) -> None:
        self._due = self._clock() + EVERY
        lake = self._lake()
        wanted = ("kubernetes_default", "lake_s3", "kafka_default") if lake.spec.payments else ("kubernetes_default",)
        connections = {name: self._connection(name) for name in wanted}
        path = connections["kubernetes_default"].option("kube_config_path")
        changed = 0
        with suppress(OSError):  # one that is not there is told by who reads it
            changed = Path(path).stat().st_mtime_ns if path else 0
        stamp = connections, changed, lake.spec.kubernetes.namespace, lake.spec.payments, lake.spec.spark.bucket, lake.probe_prefix
        if stamp != self._stamp:
            self._make(lake, connections)
            self._stamp = stamp

    def _make(self, lake: Lake, connections: Mapping[str, Connection]) -> None:
        namespace, keeper = lake.spec.kubernetes.namespace, None
        sources: Asked = Sources(Kubernetes(connections["kubernetes_default"]), () if self._everywhere else (namespace,))
        if payments := lake.spec.payments:
            from include.adapters.kafka import Kafka  # librdkafka is loaded only where there is a stream
            from include.adapters.metrics.lag import Lag, WithLag
            from include.adapters.stream_log import StreamLog

            lag = Lag(StreamLog(connections["lake_s3"], payments.path), Kafka(connections["kafka_default"]), payments.topic)
            sources = WithLag(sources, (namespace, f"{NAME}-driver"), lag)
            if self._keeps:
                keeper = Keeper(Past(connections["lake_s3"], lake.spec.spark.bucket, lake.probe_prefix), namespace)
                if self._keeper:
                    keeper.waiting = self._keeper.waiting
        self._sources, self._keeper = sources, keeper
