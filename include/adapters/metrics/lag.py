"""How far a stream is behind Kafka: neither its driver nor Kubernetes knows, its log in the lake and the brokers do, whether a driver runs or not."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from include.adapters.kafka import Kafka
from include.adapters.metrics.collector import Asked
from include.adapters.metrics.parallel import Parallel
from include.adapters.stream_log import StreamLog
from include.lake.metrics.fold import Sweep
from include.lake.metrics.samples import DriverFacts, QueryFact
from include.lake.spark import phase_of
from include.lake.stream_log import QUERIES, behind

EVERY = 10.0  # seconds from one look to the next: two lists in the lake and one question to Kafka
LIMIT = 0.5  # seconds that a sweep waits for it; what is late is heard in the next


class Lag:
    """Kafka's records that are not in the lake, by query. Reads the log whole once, and then only what is new."""

    def __init__(self, log: StreamLog, kafka: Kafka, topic: str) -> None:
        self._log, self._kafka, self._topic = log, kafka, topic
        self._done: dict[str, tuple[int, dict[int, int]]] = {}  # the newest batch, and how far each partition is read

    def __call__(self) -> dict[str, float]:
        """By query; empty without the topic. Raises LakeError."""
        ends = self._kafka.end_offsets(self._topic)
        return {} if ends is None else {query: behind(self._read(query), ends) for query in QUERIES}

    def _read(self, query: str) -> dict[int, int]:
        if query not in self._done:
            whole = self._log.read(query)
            last = whole.last()
            self._done[query] = (last[0] if last else -1, whole.offsets())
        batch, done = self._done[query]
        for entry in self._log.since(query, batch) if batch >= 0 else ():
            batch, done = entry["batch"], done | {int(p): last + 1 for p, (_, last) in entry["offsets"].items()}
        if batch < 0:
            del self._done[query]  # nothing yet: looked at anew
        else:
            self._done[query] = (batch, done)
        return done


class Behind(Protocol):
    """What `WithLag` asks."""

    def __call__(self) -> Mapping[str, float]:
        """By query, Kafka's records that it has not read; raises LakeError."""


class WithLag:
    """The sources, with how far the lake's own stream is behind. It is asked only while there is a stream of that name, at work or not."""

    def __init__(self, sources: Asked, stream: tuple[str, str], lag: Behind, clock: Callable[[], float] = time.monotonic) -> None:
        self._sources, self._stream, self._lag, self._clock = sources, stream, lag, clock
        self._asked: Parallel[str, Mapping[str, float]] = Parallel(1)
        self._due, self._known = 0.0, dict[str, float]()

    def gather(self) -> Sweep:
        """Ask all of them once; never raises."""
        sweep = self._sources.gather()
        if not self._there(sweep):
            return sweep
        problem = self._look()
        facts = sweep.drivers.get(self._stream, DriverFacts())
        queries = {q.name: q for q in facts.queries} or {name: QueryFact(name) for name in self._known}
        told = replace(facts, queries=tuple(replace(q, behind=self._known.get(q.name)) for q in queries.values()))
        problems = (*sweep.problems, problem) if problem else sweep.problems
        return replace(sweep, drivers={**sweep.drivers, self._stream: told}, problems=problems)

    def _there(self, sweep: Sweep) -> bool:
        if sweep.applications is None:
            return self._stream in sweep.drivers
        return any((a.namespace, a.driver) == self._stream and not phase_of(a.state).over for a in sweep.applications)

    def log(self, namespace: str, pod: str, lines: int) -> str:
        """The last lines of a pod's log; raises LakeError."""
        return self._sources.log(namespace, pod, lines)

    def manifest(self, namespace: str, name: str) -> Mapping[str, Any]:
        """A SparkApplication; raises LakeError."""
        return self._sources.manifest(namespace, name)

    def _look(self) -> str:
        if self._clock() < self._due:
            return ""
        self._asked.begin({"lag": self._lag})
        answer = self._asked.end(["lag"], LIMIT)["lag"]
        if answer.value is not None:
            self._known, self._due = dict(answer.value), self._clock() + EVERY
        elif answer.error is not None:
            self._known = {}
            return str(answer.error)
        return ""
