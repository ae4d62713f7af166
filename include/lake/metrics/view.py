"""What a sweep shows: the document that the page, the terminal, and the Prometheus endpoint are made of.

`as_json` gives each dataclass by its fields' names. Units and moments as in samples.py; rates are per second.
"""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figures:
    """One moment of a pod, or of an application's pods together. What no source said is None."""

    at: float  # the kubelet's own moment
    cpu: float | None = None
    memory: float | None = None
    heap: float | None = None  # a peak, as the next four: ExecutorFact says of what
    off_heap: float | None = None
    spark_off_heap: float | None = None
    direct: float | None = None
    mapped: float | None = None
    gc: float | None = None  # the share of time spent in garbage collection since the sample before, 0 to 1
    received: float | None = None  # bytes a second
    sent: float | None = None
    disk: float | None = None  # bytes of ephemeral storage in use: the kubelet tells neither what is read of a disk nor what is written
    shuffle_read: float | None = None  # bytes a second
    shuffle_written: float | None = None
    tasks: int | None = None  # running


@dataclass(frozen=True)
class Bounds:
    """What was asked for, and what is allowed at most."""

    cpu_request: float | None = None
    cpu_limit: float | None = None
    memory_request: float | None = None
    memory_limit: float | None = None


@dataclass(frozen=True)
class PodView:
    """A driver or an executor."""

    name: str
    role: str
    executor: str
    node: str
    phase: str
    reason: str
    message: str
    exit_code: int | None
    started: float | None
    ended: float | None
    bounds: Bounds
    now: Figures | None
    uid: str = ""  # a stream's drivers have one name after each other; what the lake kept earlier has none


@dataclass(frozen=True)
class StageView:
    """A stage's progress."""

    id: int
    attempt: int
    name: str
    status: str
    tasks: int
    running: int
    done: int
    failed: int


@dataclass(frozen=True)
class Totals:
    """What the whole application has done so far."""

    pending: int | None = 0  # tasks; None: not known, since no driver tells
    running: int | None = 0
    done: int = 0
    failed: int = 0
    input_bytes: float = 0
    input_rows: float = 0
    output_bytes: float = 0
    output_rows: float = 0
    shuffle_read: float = 0
    shuffle_written: float = 0


@dataclass(frozen=True)
class Churn:
    """How executors came and went."""

    started: int = 0
    lost: int = 0  # those that ended before the application did, and not by its own wish
    out_of_memory: int = 0
    out_of_memory_at: float | None = None  # the latest one's end


@dataclass(frozen=True)
class Waste:
    """Requested against used, since the application's start. `enough_*` is the request that would have been enough."""

    core_seconds_requested: float = 0
    core_seconds_used: float = 0
    byte_seconds_requested: float = 0
    byte_seconds_used: float = 0
    peak_cpu: float | None = None  # of the busiest pod
    peak_memory: float | None = None
    enough_cpu: dict[str, float] = field(default_factory=dict)  # by role, cores a pod
    enough_memory: dict[str, float] = field(default_factory=dict)  # by role, bytes a pod


@dataclass(frozen=True)
class QueryView:
    """A streaming query."""

    name: str
    batch: int | None
    input_rate: float | None
    processing_rate: float | None
    batch_seconds: float | None
    behind: float | None
    watermark_delay: float | None


@dataclass(frozen=True)
class Origin:
    """The try of an Airflow task that submitted it."""

    dag_id: str
    run_id: str
    task_id: str
    try_number: int


@dataclass(frozen=True)
class EventView:
    """A warning of the cluster."""

    at: float
    subject: str
    reason: str
    message: str


@dataclass(frozen=True)
class ApplicationView:
    """A Spark application, newest figures."""

    namespace: str
    name: str
    uid: str
    phase: str  # waiting, running, done, failed, lost
    state: str
    error: str
    started: float | None
    ended: float | None
    stream: bool
    main: str
    origin: Origin | None
    paths: tuple[str, ...]  # s3a:// paths among its arguments
    bounds: Bounds  # of all its pods together
    now: Figures | None
    totals: Totals
    churn: Churn
    waste: Waste
    pods: tuple[PodView, ...] = ()
    stages: tuple[StageView, ...] = ()  # those that run or wait, then the latest that ended: ten at most
    queries: tuple[QueryView, ...] = ()
    events: tuple[EventView, ...] = ()  # ten at most, newest first
    problem: str = ""  # why its driver told nothing, though it runs


@dataclass(frozen=True)
class Snapshot:
    """One sweep of the cluster."""

    at: float
    interval: float  # seconds to the next
    took: float
    calls: int  # requests it cost
    applications: tuple[ApplicationView, ...] = ()
    problems: tuple[str, ...] = ()  # sources that did not answer, as `Unable to …`

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)
