"""One Spark application over the sweeps: its pods, its sums, and what is shown of it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

from include.lake.metrics.pods import PodTrack, out_of_memory
from include.lake.metrics.progress import Progress
from include.lake.metrics.samples import ApplicationFact, DriverFacts, EventFact, PodFact, PodUse
from include.lake.metrics.series import Series
from include.lake.metrics.view import ApplicationView, Bounds, Churn, EventView, Figures, Origin
from include.lake.metrics.waste import Meter
from include.lake.spark import Phase, phase_of, short_error

TOTAL_CAPACITY = 1440  # points of an application's own series, which has one for each new sample of any of its pods
GONE_KEPT = 20  # pods that the API server has no more: of so many, the latest, figures and series stay
MOST_EVENTS = 10
STALE = 60.0  # seconds behind the newest sample of its application, after which a pod's figures are not added up
_PATH = re.compile(r"s3a://[^\s,;'\"]+")
_BOUNDS = tuple(f.name for f in fields(Bounds))
_SUMMED = tuple(f.name for f in fields(Figures) if f.name not in ("at", "gc"))


class ApplicationTrack:
    """What is remembered of one application. `present`: whether the API server still has it."""

    def __init__(self, fact: ApplicationFact) -> None:
        self.fact, self.present, self.problem = fact, True, ""
        self.pods: dict[str, PodTrack] = {}  # by uid
        self.total = Series(TOTAL_CAPACITY)
        self.now: Figures | None = None
        self._gone: float | None = None
        self._told = 0.0  # when its driver was last asked
        self._meter, self._progress, self._churn = Meter(), Progress(), Churn()
        self._events: dict[tuple[str, str, str], EventFact] = {}
        self._bounds = Bounds()

    @property
    def phase(self) -> Phase:
        """Its phase; that of one which vanished before it was over is lost, but a stream ends by being removed; with an error, when that was its last word."""
        told = phase_of(self.fact.state)
        if self.present or told.over:
            return told
        if self.fact.stream:
            return Phase.FAILED if self.fact.error else Phase.DONE
        return Phase.LOST

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return not self.present or self.phase.over

    def vanish(self, at: float) -> None:
        """The API server has it no more, nor its pods, since this moment or a little before."""
        if self._gone is None:
            self._gone, self.now = at, None
            self.see((), at)

    def driver(self) -> PodTrack | None:
        """Its newest driver."""
        drivers = [p for p in self.pods.values() if p.fact.role == "driver"]
        return max(drivers, key=lambda p: p.fact.created or 0, default=None)

    def see(self, pods: Iterable[PodFact], at: float) -> None:
        """Its pods, as the API server has them now."""
        told = {p.uid: p for p in pods}
        if self.present:
            self._gone = None
        for uid, fact in told.items():
            if uid in self.pods:
                self.pods[uid].fact, self.pods[uid].gone = fact, None
            else:
                self.pods[uid] = PodTrack(fact)
        for uid, track in self.pods.items():
            if uid not in told and track.gone is None:
                track.gone = at

    def update(self, uses: Mapping[tuple[str, str], PodUse], facts: DriverFacts | None, events: Iterable[EventFact], at: float) -> None:
        """Take in the rest of a sweep."""
        driver = self.driver()
        if facts is not None and driver is not None:
            self._progress.update(driver.fact.uid, facts)
            self._told = at
        elif driver is None or not driver.alive or at - self._told > STALE:  # else one sweep lacks it: the list of pods did not come
            self._progress.silence()
        self.problem = facts.problem if facts is not None and not self.over else ""
        executors = {e.id: e for e in facts.executors} if facts is not None else {}
        for pod in self.pods.values():
            # A gone pod's name may be a new pod's, as a stream's next driver's: neither the kubelet nor Spark tells of the old one.
            use = uses.get((pod.fact.namespace, pod.fact.name)) if pod.gone is None else None
            executor = executors.get(pod.fact.executor) if driver is not None and (pod.fact.created or 0) >= (driver.fact.created or 0) else None
            if pod.update(use, executor, at) and use is not None:
                self._meter.used(pod.fact, use)
            self._meter.ran(pod.fact, at if pod.gone is None else pod.gone)
        self._count(at, driver)
        self._sum()
        self._hear(events)
        self._forget()

    def _count(self, at: float, driver: PodTrack | None) -> None:
        over = self._end(at, driver)
        for pod in self.pods.values():
            if not pod.oom and out_of_memory(pod.fact):
                pod.oom = True
                self._meter.killed_at(pod.fact.role, pod.fact.memory_limit)
                latest = max(self._churn.out_of_memory_at or 0, at if pod.ended is None else pod.ended)
                self._churn = replace(self._churn, out_of_memory=self._churn.out_of_memory + 1, out_of_memory_at=latest)
            if pod.fact.role != "executor":
                continue
            if not pod.ran and pod.fact.started is not None:
                pod.ran = True
                self._churn = replace(self._churn, started=self._churn.started + 1)
            if not pod.settled and (lost := pod.lost(at, over)) is not None:
                pod.settled = True
                self._churn = replace(self._churn, lost=self._churn.lost + lost)

    def _end(self, at: float, driver: PodTrack | None) -> float | None:
        """When it ended: with its driver, or when the operator says so, whichever was first."""
        ends = [e for e in (self.fact.ended if self.over else None, driver.ended if driver else None) if e is not None]
        return min(ends) if ends else at if self.over else None

    def _sum(self) -> None:
        alive = [p for p in self.pods.values() if p.alive] if not self.over else []
        shown = [p.now for p in alive if p.now is not None]
        newest = max((f.at for f in shown), default=0)
        self.now = added([f for f in shown if newest - f.at <= STALE])
        if self.now is not None:
            self.total.append(self.now)
        # Of one that is over stays what it had when it last had pods.
        if of := alive or (list(self.pods.values()) if self._bounds == Bounds() else []):
            self._bounds = together([p.fact for p in of])

    def _hear(self, events: Iterable[EventFact]) -> None:
        for event in events:
            self._events[event.subject, event.reason, event.message] = event
        if len(self._events) > MOST_EVENTS:
            latest = sorted(self._events.items(), key=lambda item: (-item[1].at, item[0]))[:MOST_EVENTS]
            self._events = dict(latest)

    def _forget(self) -> None:
        """Of pods that are gone, and known to be lost or not, the latest stay."""
        gone = [p for p in self.pods.values() if p.gone is not None and (p.settled or p.fact.role == "driver")]
        gone.sort(key=lambda p: (p.gone or 0, p.fact.name))
        for pod in gone[: max(len(gone) - GONE_KEPT, 0)]:
            self._meter.forget(pod.fact.uid)
            del self.pods[pod.fact.uid]

    def names(self) -> Iterable[str]:
        """The names by which events speak of it."""
        yield self.fact.name
        for pod in self.pods.values():
            yield pod.fact.name

    def series(self) -> dict[str, Series]:
        """Its own as `total`, and its pods' by their names: of pods that had one name after each other, the newest's."""
        pods = sorted(self.pods.values(), key=lambda p: p.fact.created or 0)
        return {"total": self.total, **{p.fact.name: p.series for p in pods}}

    def drop_series(self) -> None:
        """Forget its course; its figures stay."""
        if len(self.total):
            self.total = Series(TOTAL_CAPACITY)
        for pod in self.pods.values():
            if len(pod.series):
                pod.series = Series()

    def view(self) -> ApplicationView:
        """As it stands."""
        f, over = self.fact, self.over
        pods = sorted(self.pods.values(), key=lambda p: (p.fact.role != "driver", p.fact.created or 0, p.fact.name))
        events = sorted(self._events.values(), key=lambda e: (-e.at, e.subject, e.reason, e.message))
        return ApplicationView(
            namespace=f.namespace,
            name=f.name,
            uid=f.uid,
            phase=self.phase.value,
            state=f.state,
            error=short_error(f.error) if f.error else "",
            started=f.started,
            ended=self._gone if f.ended is None else f.ended,
            stream=f.stream,
            main=f.main,
            origin=origin(f.annotations),
            paths=tuple(dict.fromkeys(path for a in f.arguments for path in _PATH.findall(a))),
            bounds=self._bounds,
            now=self.now,
            totals=self._progress.totals(over=over),
            churn=self._churn,
            waste=self._meter.waste(),
            pods=tuple(p.view() for p in pods),
            stages=self._progress.stages(over=over),
            queries=self._progress.queries(over=over),
            events=tuple(EventView(e.at, e.subject, e.reason, e.message) for e in events),
            problem=self.problem,
        )


def added(figures: list[Figures]) -> Figures | None:
    """Figures of pods together, by the newest one's moment; of garbage collection the mean, as it is a share. None of none."""
    if not figures:
        return None
    sums: dict[str, float | None] = {}
    for name in _SUMMED:
        values = [v for f in figures if (v := getattr(f, name)) is not None]
        sums[name] = sum(values) if values else None
    shares = [f.gc for f in figures if f.gc is not None]
    return Figures(at=max(f.at for f in figures), gc=sum(shares) / len(shares) if shares else None, **sums)  # type: ignore[arg-type]


def together(pods: list[PodFact]) -> Bounds:
    """The bounds of pods together. Where one has no limit, there is none for all."""
    sums: dict[str, float | None] = {}
    for name in _BOUNDS:
        values = [v for p in pods if (v := getattr(p, name)) is not None]
        sums[name] = sum(values) if values and (len(values) == len(pods) or name.endswith("request")) else None
    return Bounds(**sums)


def origin(annotations: Mapping[str, str]) -> Origin | None:
    """The try of the Airflow task that submitted an application, from its annotations; None when they do not tell."""
    dag, run, task = (annotations.get(f"homelake/{key}", "") for key in ("dag-id", "run-id", "task-id"))
    number = annotations.get("homelake/try-number", "")
    return Origin(dag, run, task, int(number) if number.isdecimal() else 1) if dag and run and task else None
