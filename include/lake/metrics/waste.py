"""What a job asked for and did not use: the number that owners act on.

- Requested: the pod's request × the time that it was on a node, from the kubelet's taking it up to its end, or to now.
- Used: of CPU the kubelet's counter, which holds what was used before Homelake looked; of memory the working set over time (trapezoids
  between the kubelet's samples; before the first sample, its own height). Both end at the latest sample: up to 10 s at a pod's end are not seen.
- Enough: for CPU the 95th percentile of a role's samples × 1.2, rounded up to 0.1 core; for memory the role's peak × 1.15, rounded up to 64 MiB.
  CPU may be short for a moment, memory may not: hence a percentile of one and the peak of the other. What happens between two samples is not
  seen; the margins are for that. Where a pod was killed for want of memory it is at least one and a half times its limit: a guess, to be tried.

All sums only grow, whatever pods come and go.
"""

from dataclasses import dataclass
from math import ceil

from include.lake.metrics.samples import PodFact, PodUse
from include.lake.metrics.view import Waste

PERCENTILE, CPU_MARGIN, CPU_STEP = 0.95, 1.2, 0.1
MEMORY_MARGIN, MEMORY_STEP = 1.15, 64 * 2**20
KILLED_MARGIN = 1.5  # of the limit at which a pod was killed: how much more it wanted, nobody knows
BIN = 0.01  # cores: the exactness of the percentile


@dataclass(slots=True)
class _Pod:
    """What is known of one pod's use."""

    ran: float = 0  # seconds that were counted
    at: float | None = None  # the latest sample
    counter: float | None = None
    memory: float | None = None


class Meter:
    """Counts for one application."""

    def __init__(self) -> None:
        self._pods: dict[str, _Pod] = {}
        self._core_seconds = [0.0, 0.0]  # requested, used
        self._byte_seconds = [0.0, 0.0]
        self._cpu: dict[str, dict[int, int]] = {}  # by role: how many samples in each bin
        self._memory: dict[str, float] = {}
        self._killed: dict[str, float] = {}  # by role: the largest limit at which a pod was killed
        self._peak_cpu: float | None = None

    def ran(self, pod: PodFact, until: float) -> None:
        """The pod has been on its node until this moment, or until its end when that is known."""
        if pod.started is None:
            return
        meter = self._pods.setdefault(pod.uid, _Pod())
        more = (until if pod.ended is None else pod.ended) - pod.started - meter.ran
        if more > 0:
            meter.ran += more
            self._core_seconds[0] += more * (pod.cpu_request or 0)
            self._byte_seconds[0] += more * (pod.memory_request or 0)

    def used(self, pod: PodFact, use: PodUse) -> None:
        """A sample of the kubelet. One whose moment is not after the last one's is no news."""
        meter = self._pods.setdefault(pod.uid, _Pod())
        before = meter.at if meter.at is not None else min(pod.started or use.at, use.at)
        if meter.at is not None and use.at <= meter.at:
            return
        self._use_cpu(meter, use, pod.role, use.at - before)
        if use.memory is not None:
            height = use.memory if meter.memory is None else (meter.memory + use.memory) / 2
            self._byte_seconds[1] += height * (use.at - before)
            self._memory[pod.role] = max(self._memory.get(pod.role, 0), use.memory)
            meter.memory = use.memory
        meter.at = use.at

    def _use_cpu(self, meter: _Pod, use: PodUse, role: str, seconds: float) -> None:
        if use.cpu_seconds is not None:
            began_anew = meter.counter is None or use.cpu_seconds < meter.counter
            self._core_seconds[1] += use.cpu_seconds - (0 if began_anew else meter.counter or 0)
            meter.counter = use.cpu_seconds
        elif use.cpu is not None:
            self._core_seconds[1] += use.cpu * seconds
        if use.cpu is not None:
            bins, which = self._cpu.setdefault(role, {}), ceil(use.cpu / BIN - 1e-9)
            bins[which] = bins.get(which, 0) + 1
            self._peak_cpu = max(self._peak_cpu or 0, use.cpu)

    def killed_at(self, role: str, limit: float | None) -> None:
        """A pod of the role was killed for want of memory: it needed more than its limit, whatever was sampled before."""
        self._killed[role] = max(self._killed.get(role, 0), limit or 0)

    def forget(self, uid: str) -> None:
        """The pod is gone for good: its sums stay, and no more of it."""
        self._pods.pop(uid, None)

    def waste(self) -> Waste:
        """As it stands."""
        return Waste(
            core_seconds_requested=self._core_seconds[0],
            core_seconds_used=self._core_seconds[1],
            byte_seconds_requested=self._byte_seconds[0],
            byte_seconds_used=self._byte_seconds[1],
            peak_cpu=self._peak_cpu,
            peak_memory=max(self._memory.values(), default=None),
            enough_cpu={role: enough_cpu(bins) for role, bins in sorted(self._cpu.items())},
            enough_memory={role: self._enough_memory(role) for role in sorted({*self._memory, *self._killed})},
        )

    def _enough_memory(self, role: str) -> float:
        return max(enough_memory(self._memory.get(role, 0)), enough_memory(self._killed.get(role, 0) * KILLED_MARGIN / MEMORY_MARGIN))


def enough_cpu(bins: dict[int, int]) -> float:
    """The request, in cores, that would have been enough for samples counted by bins of 0.01 core; at least 0.1."""
    wanted, seen = PERCENTILE * sum(bins.values()), 0
    for which in sorted(bins):
        seen += bins[which]
        if seen >= wanted - 1e-9:
            break
    steps = ceil(which * BIN * CPU_MARGIN / CPU_STEP - 1e-9)
    return round(max(steps, 1) * CPU_STEP, 1)


def enough_memory(peak: float) -> float:
    """The request, in bytes, that would have been enough for this peak."""
    return float(max(ceil(peak * MEMORY_MARGIN / MEMORY_STEP), 1) * MEMORY_STEP)
