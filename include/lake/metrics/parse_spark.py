"""A driver's own answers, made samples: Spark's REST API (version 4.1), and the Prometheus text of its metrics servlet for streams.

Raises as parse.py does.
"""

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from include.lake.metrics.samples import ExecutorFact, QueryFact, StageFact

Document = Mapping[str, Any]
# `spark.metrics.namespace` stands before `_driver_`; characters that Prometheus does not know in a query's name became underscores.
_GAUGES = "eventTime_watermark|inputRate_total|latency|processingRate_total"
_GAUGE = re.compile(rf"^metrics_\w+?_driver_spark_streaming_(\w+)_({_GAUGES})_Value\{{[^}}]*\}}\s+(\S+)", re.MULTILINE)


def executors(document: Iterable[Document]) -> tuple[ExecutorFact, ...]:
    """The answer of `allexecutors`: living and removed ones, and the driver."""
    return tuple(_executor(e) for e in document)


def _executor(e: Document) -> ExecutorFact:
    peaks = e.get("peakMemoryMetrics") or {}
    # totalGCTime adds up what each task saw, so it counts one pause once for each task of the JVM; the JVM's own count comes with its heartbeat.
    collected = peaks.get("TotalGCTime") or e.get("totalGCTime") or 0
    return ExecutorFact(
        id=str(e["id"]),
        active=bool(e["isActive"]),
        cores=int(e.get("totalCores") or 0),
        heap=_bytes(peaks.get("JVMHeapMemory")),
        off_heap=_bytes(peaks.get("JVMOffHeapMemory")),
        spark_off_heap=_beside(peaks, "OffHeapUnifiedMemory"),
        direct=_beside(peaks, "DirectPoolMemory"),
        mapped=_beside(peaks, "MappedPoolMemory"),
        gc_seconds=float(collected) / 1000,
        running=int(e.get("activeTasks") or 0),
        done=int(e.get("completedTasks") or 0),
        failed=int(e.get("failedTasks") or 0),
        input_bytes=float(e.get("totalInputBytes") or 0),
        shuffle_read=float(e.get("totalShuffleRead") or 0),
        shuffle_written=float(e.get("totalShuffleWrite") or 0),
        removed=e.get("removeReason") or "",
    )


def _bytes(value: float | None) -> float | None:
    return float(value) if value else None  # a JVM without heap has told nothing yet


def _beside(peaks: Document, name: str) -> float | None:
    """A peak that may well be zero: it is one once the JVM has told of its heap."""
    return float(peaks.get(name) or 0) if peaks.get("JVMHeapMemory") else None


def stages(document: Iterable[Document]) -> tuple[StageFact, ...]:
    """The answer of `stages`. `done` counts tasks of the stage, not tries of them."""
    return tuple(
        StageFact(
            id=int(s["stageId"]),
            attempt=int(s["attemptId"]),
            name=s.get("name") or "",
            status=str(s["status"]).lower(),
            tasks=int(s["numTasks"]),
            running=int(s.get("numActiveTasks") or 0),
            done=int(s.get("numCompletedIndices") or 0),
            failed=int(s.get("numFailedTasks") or 0),
            input_bytes=float(s.get("inputBytes") or 0),
            input_rows=float(s.get("inputRecords") or 0),
            output_bytes=float(s.get("outputBytes") or 0),
            output_rows=float(s.get("outputRecords") or 0),
            shuffle_read=float(s.get("shuffleReadBytes") or 0),
            shuffle_written=float(s.get("shuffleWriteBytes") or 0),
        )
        for s in document
    )


def queries(text: str, at: float) -> tuple[QueryFact, ...]:
    """The streaming queries in the text of `/metrics/prometheus/`, read at the moment `at`.

    The text has neither a batch's number nor the offsets: those stay None. The newest event is not in it either; as a stream's newest event is
    about now, the watermark's delay is counted from `at`.
    """
    found: dict[str, dict[str, float]] = {}
    for name, gauge, number in _GAUGE.findall(text):
        value = float(number)
        if isfinite(value):  # a query without a batch yet says NaN
            found.setdefault(name, {})[gauge] = value
    return tuple(_query(name, gauges, at) for name, gauges in sorted(found.items()))


def _query(name: str, gauges: Mapping[str, float], at: float) -> QueryFact:
    latency, watermark = gauges.get("latency"), gauges.get("eventTime_watermark")
    return QueryFact(
        name=name,
        input_rate=gauges.get("inputRate_total"),
        processing_rate=gauges.get("processingRate_total"),
        batch_seconds=None if latency is None else latency / 1000,
        watermark_delay=max(at - watermark / 1000, 0) if watermark else None,  # 0: it has none
    )
