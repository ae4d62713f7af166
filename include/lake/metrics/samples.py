"""What the sources say of Spark jobs at a moment, each in its own words but in one set of units.

Cores, bytes and seconds; moments are seconds since 1970 (UTC). None is "the source does not say", never "zero".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PodUse:
    """One pod's use, by the kubelet's own clock. Source: `/stats/summary` (about every 10 s); counters are since the pod's start."""

    namespace: str
    pod: str
    at: float
    cpu: float | None = None  # cores, over the kubelet's own last interval
    cpu_seconds: float | None = None
    memory: float | None = None  # the working set: what counts against the limit
    received: float | None = None  # bytes through its network
    sent: float | None = None
    disk: float | None = None  # bytes of its ephemeral storage
    network_at: float | None = None  # the moment of `received` and `sent`: the kubelet reads them at another time than the rest


@dataclass(frozen=True)
class PodFact:
    """A driver's or executor's pod as the API server has it."""

    namespace: str
    name: str
    uid: str
    application: str
    role: str  # driver, executor
    executor: str  # Spark's own id of it: "1"; "driver"
    node: str
    phase: str  # Pending, Running, Succeeded, Failed, Unknown
    reason: str  # why it waits or ended: OOMKilled, Evicted, ErrImagePull; empty when there is nothing to say
    message: str
    exit_code: int | None
    created: float | None
    started: float | None
    ended: float | None
    cpu_request: float | None
    cpu_limit: float | None
    memory_request: float | None
    memory_limit: float | None


@dataclass(frozen=True)
class ApplicationFact:
    """A SparkApplication as the API server has it. `annotations` holds those of `homelake/` alone."""

    namespace: str
    name: str
    uid: str
    state: str  # the operator's own word
    error: str
    created: float | None
    started: float | None
    ended: float | None
    driver: str
    stream: bool
    main: str  # the job's file
    arguments: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExecutorFact:
    """An executor, or the driver, as Spark's REST API has it (`allexecutors`); counters are since its start."""

    id: str
    active: bool
    cores: int
    heap: float | None  # the peak that Spark saw, bytes; so are the next four
    off_heap: float | None  # the JVM's own, beside its heap: classes, compiled code
    spark_off_heap: float | None  # of Spark's memory manager, execution and storage; 0 unless spark.memory.offHeap.enabled
    direct: float | None  # buffers outside of the heap, as the network's
    mapped: float | None  # files mapped into memory
    gc_seconds: float
    running: int
    done: int
    failed: int
    input_bytes: float
    shuffle_read: float
    shuffle_written: float
    removed: str = ""  # why Spark took it out


@dataclass(frozen=True)
class StageFact:
    """A stage that runs, waits or ended, as Spark's REST API has it."""

    id: int
    attempt: int
    name: str
    status: str  # active, pending, complete, failed, skipped
    tasks: int
    running: int
    done: int
    failed: int
    input_bytes: float
    input_rows: float
    output_bytes: float
    output_rows: float
    shuffle_read: float
    shuffle_written: float


@dataclass(frozen=True)
class QueryFact:
    """A streaming query's latest batch. `behind` is in Kafka's records."""

    name: str
    batch: int | None = None
    input_rate: float | None = None  # rows a second
    processing_rate: float | None = None
    batch_seconds: float | None = None
    behind: float | None = None
    watermark_delay: float | None = None  # seconds between the watermark and the newest event seen


@dataclass(frozen=True)
class EventFact:
    """A warning that the cluster wrote of a pod or an application."""

    namespace: str
    subject: str
    at: float
    reason: str
    message: str


@dataclass(frozen=True)
class DriverFacts:
    """What one driver's REST API told in a sweep; `problem` says why it told nothing."""

    executors: tuple[ExecutorFact, ...] = ()
    stages: tuple[StageFact, ...] = ()
    queries: tuple[QueryFact, ...] = ()
    problem: str = ""
