"""What an application's tasks and stages have done, counted over the sweeps, and over the drivers that a stream has one after another."""

from collections.abc import Iterable
from dataclasses import dataclass

from include.lake.metrics.samples import DriverFacts, ExecutorFact, QueryFact, StageFact
from include.lake.metrics.view import QueryView, StageView, Totals

MOST_STAGES = 10  # shown
_UNDER_WAY = ("active", "pending")
_BY_STAGE = ("input_bytes", "input_rows", "output_bytes", "output_rows", "shuffle_read", "shuffle_written", "done", "failed")
_BY_EXECUTOR = ("input_bytes", "shuffle_read", "shuffle_written", "done", "failed")


@dataclass(slots=True)
class _Driver:
    """Of one driver's life: sums of the stages that ended and of the executors that Spark tells no more, and those that it does tell."""

    stages: dict[str, float]
    counted: set[tuple[int, int]]
    gone: dict[str, float]
    executors: dict[str, ExecutorFact]


def _new() -> _Driver:
    return _Driver(dict.fromkeys(_BY_STAGE, 0.0), set(), dict.fromkeys(_BY_EXECUTOR, 0.0), {})


class Progress:
    """Counts for one application. Bytes read, shuffled, and tasks come from executors, which Spark tells from the start; rows, and what was written,
    from stages, of which Spark tells the latest thousand: what ended before Homelake first looked may lack. Sums never fall.
    """

    def __init__(self) -> None:
        self._uid = ""
        self._driver = _new()
        self._before: dict[str, float] = {}  # of earlier drivers
        self._sums: dict[str, float] = {}
        self._stages: tuple[StageFact, ...] = ()
        self._queries: tuple[QueryFact, ...] = ()
        self._silent = True

    def update(self, uid: str, facts: DriverFacts) -> None:
        """Take in what the driver with this uid said. Of what it did not say, sums stay as they were, and what it does now is not known."""
        if uid != self._uid:
            self._before, self._driver, self._uid, self._stages = dict(self._sums), _new(), uid, ()
        if facts.executors:
            now = {e.id: e for e in facts.executors}
            for name in self._driver.executors.keys() - now.keys():
                _add(self._driver.gone, _BY_EXECUTOR, self._driver.executors[name])
            self._driver.executors = now
        if facts.stages or not facts.problem:
            self._count(facts.stages)
            self._stages = facts.stages
        self._queries = facts.queries  # of a driver that does not answer: how far it is behind, if that is known
        self._silent = not facts.executors
        self._sum()

    def silence(self) -> None:
        """No driver tells anything."""
        self._queries, self._silent = (), True

    def _count(self, stages: Iterable[StageFact]) -> None:
        told = {(s.id, s.attempt): s for s in stages}
        ended = {key for key, s in told.items() if s.status not in _UNDER_WAY}
        for key in ended - self._driver.counted:
            _add(self._driver.stages, _BY_STAGE, told[key])
        # Of those that Spark tells no more none comes back: numbers only grow. Yet an answer may tell only what is under way, so the latest stay.
        self._driver.counted |= ended
        if len(self._driver.counted) > 4000:
            self._driver.counted = set(sorted(self._driver.counted)[-2000:])

    def _sum(self) -> None:
        stages = dict(self._driver.stages)
        for s in self._stages:
            if s.status in _UNDER_WAY:
                _add(stages, _BY_STAGE, s)
        executors = dict(self._driver.gone)
        for e in self._driver.executors.values():
            _add(executors, _BY_EXECUTOR, e)
        for name in _BY_STAGE:
            now = max(stages[name], executors.get(name, 0)) + self._before.get(name, 0)
            self._sums[name] = max(now, self._sums.get(name, 0))

    def totals(self, *, over: bool) -> Totals:
        """What was done so far. Nothing runs or waits in an application that is over; without a driver that tells, what does is not known."""
        waiting = sum(max(s.tasks - s.done - s.running, 0) for s in self._stages if s.status in _UNDER_WAY)
        running = sum(e.running for e in self._driver.executors.values() if e.active)
        s = {name: self._sums.get(name, 0.0) for name in _BY_STAGE}
        return Totals(
            pending=0 if over else None if self._silent else waiting,
            running=0 if over else None if self._silent else running,
            done=int(s["done"]),
            failed=int(s["failed"]),
            input_bytes=s["input_bytes"],
            input_rows=s["input_rows"],
            output_bytes=s["output_bytes"],
            output_rows=s["output_rows"],
            shuffle_read=s["shuffle_read"],
            shuffle_written=s["shuffle_written"],
        )

    def stages(self, *, over: bool) -> tuple[StageView, ...]:
        """Those that run, those that wait, then the latest that ended. In an application that is over none is under way, whatever was last seen."""
        rank = {"active": 0, "pending": 1}
        shown = sorted((s for s in self._stages if not over or s.status not in _UNDER_WAY), key=lambda s: (rank.get(s.status, 2), -s.id, -s.attempt))
        return tuple(StageView(s.id, s.attempt, s.name, s.status, s.tasks, s.running, s.done, s.failed) for s in shown[:MOST_STAGES])

    def queries(self, *, over: bool) -> tuple[QueryView, ...]:
        """The streaming queries; none of an application that is over."""
        told = () if over else self._queries
        return tuple(QueryView(q.name, q.batch, q.input_rate, q.processing_rate, q.batch_seconds, q.behind, q.watermark_delay) for q in told)


def _add(sums: dict[str, float], names: Iterable[str], fact: ExecutorFact | StageFact) -> None:
    for name in names:
        sums[name] += getattr(fact, name)
