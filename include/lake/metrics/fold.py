"""From the samples of one sweep after another to the snapshot: what a sweep alone cannot tell, rates, sums, and what has gone, is remembered here."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from include.lake.metrics.applications import ApplicationTrack
from include.lake.metrics.samples import ApplicationFact, DriverFacts, EventFact, PodFact, PodUse
from include.lake.metrics.series import Series
from include.lake.metrics.view import ApplicationView, Snapshot

ENDED_KEPT = 50  # ended applications whose series are kept


@dataclass(frozen=True)
class Sweep:
    """What the sources said. None: the source did not answer, and what it said before holds; that is never the same as "there are none"."""

    at: float
    took: float = 0
    calls: int = 0
    applications: tuple[ApplicationFact, ...] | None = None
    pods: tuple[PodFact, ...] | None = None
    uses: tuple[PodUse, ...] = ()
    drivers: Mapping[tuple[str, str], DriverFacts] = field(default_factory=dict)  # by namespace and driver's pod
    events: tuple[EventFact, ...] | None = None
    problems: tuple[str, ...] = ()


class Ended(NamedTuple):
    """An application that is over, with its course, as `total`, and its pods' by their names."""

    application: ApplicationView
    series: dict[str, Series]


class Fold:
    """The memory from sweep to sweep. The same sweeps always make the same snapshots."""

    def __init__(self, ended_kept: int = ENDED_KEPT) -> None:
        self._kept = ended_kept
        self._tracks: dict[str, ApplicationTrack] = {}  # by the application's uid
        self._by_name: dict[tuple[str, str], ApplicationTrack] = {}  # the newest of each name
        self._ended: dict[str, float] = {}  # uid and when: those whose series are kept
        self._over: list[ApplicationTrack] = []  # those that the latest sweep was the first to see over

    def fold(self, sweep: Sweep, *, interval: float) -> Snapshot:
        """Take in a sweep, and make the snapshot; the next sweep is to come after `interval` seconds."""
        if sweep.applications is not None:
            self._see(sweep.applications)
        if sweep.pods is not None:
            self._see_pods(sweep.pods, sweep.at)
        uses = {(u.namespace, u.pod): u for u in sweep.uses}
        events = self._events(sweep.events or ())
        for track in self._tracks.values():
            if track.present:
                f = track.fact
                track.update(uses, sweep.drivers.get((f.namespace, f.driver)), events.get(f.uid, ()), sweep.at)
            else:
                track.vanish(sweep.at)
        self._bury(sweep.at)
        shown = sorted((t for t in self._tracks.values() if t.present), key=lambda t: (-(t.fact.created or 0), t.fact.namespace, t.fact.name))
        return Snapshot(sweep.at, interval, sweep.took, sweep.calls, tuple(t.view() for t in shown), sweep.problems)

    def ended(self) -> tuple[Ended, ...]:
        """Those that the latest sweep was the first to see over, or gone, and of which there is a course."""
        return tuple(Ended(t.view(), {pod: s.copy() for pod, s in t.series().items()}) for t in self._over if len(t.total))

    def series(self, namespace: str, name: str) -> Mapping[str, Series]:
        """The series of the newest application of this name, `total` and by pod; empty when there is none. They go on growing."""
        track = self._by_name.get((namespace, name))
        return track.series() if track else {}

    def pods(self, namespace: str, name: str) -> dict[str, str]:
        """The pods that the newest application of this name still has: their roles by their names."""
        track = self._by_name.get((namespace, name))
        return {p.fact.name: p.fact.role for p in track.pods.values() if p.gone is None} if track and track.present else {}

    def _see(self, facts: Iterable[ApplicationFact]) -> None:
        told = {f.uid: f for f in facts}
        for uid, fact in told.items():
            if uid in self._tracks:
                self._tracks[uid].fact, self._tracks[uid].present = fact, True
            else:
                self._tracks[uid] = ApplicationTrack(fact)
        for uid, track in self._tracks.items():
            track.present = uid in told
        newest = sorted(self._tracks.values(), key=lambda t: (t.present, t.fact.created or 0))
        self._by_name = {(t.fact.namespace, t.fact.name): t for t in newest}

    def _see_pods(self, facts: Iterable[PodFact], at: float) -> None:
        theirs: dict[str, list[PodFact]] = defaultdict(list)
        for fact in facts:
            track = self._by_name.get((fact.namespace, fact.application))
            # One that is older than its application belonged to an earlier one of that name.
            if track is not None and not ((fact.created or 0) < (track.fact.created or 0) and fact.created is not None):
                theirs[track.fact.uid].append(fact)
        for uid, track in self._tracks.items():
            if track.present:
                track.see(theirs[uid], at)

    def _events(self, facts: Iterable[EventFact]) -> dict[str, list[EventFact]]:
        owners = {(t.fact.namespace, name): t.fact.uid for t in self._by_name.values() for name in t.names()}
        theirs: dict[str, list[EventFact]] = defaultdict(list)
        for fact in facts:
            if (uid := owners.get((fact.namespace, fact.subject))) is not None:
                theirs[uid].append(fact)
        return theirs

    def _bury(self, at: float) -> None:
        """Of the ended, the latest keep their series; the others lose them, and are forgotten when the API server has done so too."""
        self._over = []
        for uid, track in self._tracks.items():
            if not track.over:  # the operator may try again
                self._ended.pop(uid, None)
            elif uid not in self._ended:
                self._ended[uid] = track.fact.ended or at
                self._over.append(track)
        for uid in sorted(self._ended, key=lambda u: (self._ended[u], u))[: max(len(self._ended) - self._kept, 0)]:
            track = self._tracks[uid]
            if track.present:
                track.drop_series()
            else:
                del self._tracks[uid], self._ended[uid]
                name = (track.fact.namespace, track.fact.name)
                if self._by_name.get(name) is track:
                    del self._by_name[name]
