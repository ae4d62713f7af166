"""One pod over the sweeps: its newest figures, its series, its end."""

from dataclasses import replace
from typing import Any

from include.lake.metrics.samples import ExecutorFact, PodFact, PodUse
from include.lake.metrics.series import Series
from include.lake.metrics.view import Bounds, Figures, PodView

SILENT = 30.0  # seconds without a new sample of the kubelet, after which a pod's points are made of Spark's alone
SPARK_SECONDS = 10.0  # from one such point to the next: Spark's executors tell their driver every 10 s
GRACE = 10.0  # seconds for the driver to say that it ended an executor itself, and for the application to end
BY_THE_DRIVER = "killed by driver"  # in Spark's words of why it took an executor out
JVM_OUT_OF_MEMORY = 52  # the exit code of a Spark JVM whose heap is full


def rate(before: float | None, after: float | None, seconds: float | None) -> float | None:
    """A counter's growth a second. One that fell began anew at zero, so this is never negative; None when there are no two moments of it."""
    if before is None or after is None or seconds is None or seconds <= 0:
        return None
    return (after - before if after >= before else after) / seconds


def out_of_memory(pod: PodFact) -> bool:
    """Whether it ended for want of memory: killed by the kernel, whatever its exit code, or given up by its JVM."""
    killed = pod.exit_code == 137 and "OOM" in f"{pod.reason} {pod.message}"
    return pod.reason == "OOMKilled" or killed or (pod.phase == "Failed" and pod.exit_code == JVM_OUT_OF_MEMORY)


def _told(e: ExecutorFact) -> dict[str, Any]:
    """What Spark tells of a JVM as it is: of rates it has only counters."""
    return {"heap": e.heap, "off_heap": e.off_heap, "spark_off_heap": e.spark_off_heap, "direct": e.direct, "mapped": e.mapped, "tasks": e.running}


class PodTrack:
    """What is remembered of one pod. `gone` is the moment of the first sweep in which the API server had it no more.

    The kubelet stamps its samples by its node's clock, sweeps are by the collector's: the two are never compared, as they may be apart.
    """

    __slots__ = ("_basis", "_heard", "_use", "executor", "fact", "gone", "now", "oom", "ran", "series", "settled")

    def __init__(self, fact: PodFact) -> None:
        self.fact, self.series = fact, Series()
        self.now: Figures | None = None
        self.executor: ExecutorFact | None = None
        self.gone: float | None = None
        self.settled = self.oom = self.ran = False  # whether it was decided if it was lost; counted as out of memory; counted as started
        self._use: PodUse | None = None
        self._heard: float | None = None  # when that came, by the collector's clock; before it, when Spark first told of the pod
        self._basis: tuple[float, ExecutorFact] | None = None  # moment and counters of Spark at the latest point

    @property
    def ended(self) -> float | None:
        """When it ended, as its containers say, or else when it was seen to be gone."""
        return self.fact.ended if self.fact.ended is not None else self.gone

    @property
    def alive(self) -> bool:
        """Whether it may still do something."""
        return self.gone is None and self.fact.phase not in ("Succeeded", "Failed")

    def update(self, use: PodUse | None, executor: ExecutorFact | None, at: float) -> bool:
        """Take in a sweep's samples; True when the kubelet's was a new one."""
        told = self.executor if executor is None else executor
        fresh = use is not None and (self._use is None or use.at > self._use.at)
        if use is not None and fresh:
            self._point(self._from(use, executor, at), executor, at)
            self._use, self._heard = use, at
        elif executor is not None and self.alive and self._mute(at):
            self._point(self._with_spark(Figures(self._moment(at)), executor, at), executor, at)
        elif executor is not None and self.now is not None:  # Spark's figures may be newer than the kubelet's
            self.now = replace(self.now, **_told(executor))
        self.executor = told
        return fresh

    def _mute(self, at: float) -> bool:
        if self._heard is None:  # a new pod's first sample comes after ten seconds or more
            self._heard = at
        silent = at - self._heard > SILENT
        return silent and (self.series.last is None or self._moment(at) - self.series.last >= SPARK_SECONDS)

    def _moment(self, at: float) -> float:
        """A sweep's moment by the kubelet's clock, or a little before, so that its next sample is after it."""
        return at if self._use is None or self._heard is None else self._use.at + at - self._heard

    def _point(self, figures: Figures, executor: ExecutorFact | None, at: float) -> None:
        self.series.append(figures)
        self.now = figures
        if executor is not None:
            self._basis = (at, executor)

    def _from(self, use: PodUse, executor: ExecutorFact | None, at: float) -> Figures:
        before = self._use
        cpu, received, sent = use.cpu, None, None
        if before is not None:
            if cpu is None:
                cpu = rate(before.cpu_seconds, use.cpu_seconds, use.at - before.at)
            seconds = use.network_at - before.network_at if use.network_at is not None and before.network_at is not None else use.at - before.at
            if seconds > 0:
                received, sent = rate(before.received, use.received, seconds), rate(before.sent, use.sent, seconds)
            elif self.now is not None:  # the kubelet has not read the network since
                received, sent = self.now.received, self.now.sent
        return self._with_spark(Figures(use.at, cpu, use.memory, received=received, sent=sent, disk=use.disk), executor, at)

    def _with_spark(self, figures: Figures, executor: ExecutorFact | None, at: float) -> Figures:
        if executor is None:
            return figures
        gc = read = written = None
        if self._basis is not None:
            seconds, old = at - self._basis[0], self._basis[1]
            collected = rate(old.gc_seconds, executor.gc_seconds, seconds)
            gc = None if collected is None else min(collected, 1.0)
            read, written = rate(old.shuffle_read, executor.shuffle_read, seconds), rate(old.shuffle_written, executor.shuffle_written, seconds)
        return replace(figures, gc=gc, shuffle_read=read, shuffle_written=written, **_told(executor))

    def lost(self, at: float, over: float | None) -> bool | None:
        """Whether an executor ended before its application did (`over`; None: it runs on), and not by its own or its driver's wish. None: too early to say."""
        end = self.ended
        if end is None:
            return None
        if self.fact.phase == "Succeeded" or (self.executor is not None and BY_THE_DRIVER in self.executor.removed):
            return False
        if over is None:
            return True if at - end > GRACE else None
        return end < (over if self.fact.ended is not None else over - GRACE)

    def view(self) -> PodView:
        """As it stands. One that vanished while it ran is Unknown, for the reason Deleted."""
        f, vanished = self.fact, self.gone is not None and self.fact.phase not in ("Succeeded", "Failed")
        return PodView(
            name=f.name,
            role=f.role,
            executor=f.executor,
            node=f.node,
            phase="Unknown" if vanished else f.phase,
            reason=(f.reason or "Deleted") if vanished else f.reason,
            message=f.message,
            exit_code=f.exit_code,
            started=f.started,
            ended=self.ended,
            bounds=Bounds(f.cpu_request, f.cpu_limit, f.memory_request, f.memory_limit),
            now=self.now if self.alive else None,
            uid=f.uid,
        )
