"""Who asks the sources, how often, and for whom: one snapshot at a time, from a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from include.lake.errors import LakeError, fault
from include.lake.metrics.fold import Ended, Fold, Sweep
from include.lake.metrics.manifest import readable
from include.lake.metrics.series import Series
from include.lake.metrics.view import Snapshot

WATCHED, UNWATCHED = 2.0, 30.0  # seconds from sweep to sweep: while someone looks, and otherwise
MOST_LINES = 5000  # of a log's tail
_log = logging.getLogger(__name__)


Keep = Callable[[Sequence[Ended]], None]


class Asked(Protocol):
    """What a collector needs of its sources."""

    def gather(self) -> Sweep:
        """Ask all of them once; never raises."""

    def log(self, namespace: str, pod: str, lines: int) -> str:
        """The last lines of a pod's log; raises LakeError."""

    def manifest(self, namespace: str, name: str) -> Mapping[str, Any]:
        """A SparkApplication as the API server has it; raises LakeError."""


class Collector:
    """Sweeps the sources and keeps what they said. Its methods may be called from any thread.

    `watched` and `unwatched` are seconds from the start of a sweep to the next. A sweep that takes long makes the pause after it as long,
    so that it asks the cluster at most half of the time. `keep` is given what each sweep was the first to see over, before anybody is told of that sweep.
    """

    def __init__(
        self, sources: Asked, *, watched: float = WATCHED, unwatched: float = UNWATCHED, clock: Callable[[], float] = time.time, keep: Keep | None = None
    ) -> None:
        self._sources, self._intervals, self._clock, self._keep = sources, (watched, unwatched), clock, keep
        self._fold = Fold()
        self._sweeping = threading.Lock()  # one sweep at a time
        self._changed = threading.Condition()  # guards what follows, and the fold
        self._snapshot: Snapshot | None = None
        self._watchers, self._stopped = 0, True
        self._thread: threading.Thread | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot. Before the first sweep: an empty one of moment 0."""
        return self._snapshot or Snapshot(0, self.interval, 0, 0)

    @property
    def interval(self) -> float:
        """Seconds from sweep to sweep as things are."""
        return self._intervals[0] if self._watchers else self._intervals[1]

    def sweep(self) -> Snapshot:
        """Ask every source once, and make the snapshot of it."""
        with self._sweeping:
            sweep = self._sources.gather()
            with self._changed:
                snapshot = self._fold.fold(sweep, interval=max(self.interval, 2 * sweep.took))
                ended = self._fold.ended() if self._keep else ()
            if self._keep:
                self._keep(ended)
            with self._changed:
                self._snapshot = snapshot
                self._changed.notify_all()
            return snapshot

    def series(self, namespace: str, name: str) -> dict[str, Series]:
        """The series of an application, as `total`, and of its pods by their names; empty when it is not known. Copies."""
        with self._changed:
            return {key: series.copy() for key, series in self._fold.series(namespace, name).items()}

    def log(self, namespace: str, name: str, pod: str = "", lines: int = 200) -> str:
        """The last lines of the log of one of an application's pods, the driver's when none is named. Raises LakeError; of no other pod does it tell."""
        with self._changed:
            pods = self._fold.pods(namespace, name)
        pod = pod or next((p for p, role in pods.items() if role == "driver"), "")
        if pod not in pods:
            raise LakeError("read", f"the log of {pod or 'the driver'}", f"the Spark application {namespace}/{name} has no such pod")
        return self._sources.log(namespace, pod, min(max(lines, 1), MOST_LINES))

    def manifest(self, namespace: str, name: str) -> dict[str, Any]:
        """A SparkApplication with its status, as the API server has it now, without its secrets. Raises LakeError."""
        return readable(self._sources.manifest(namespace, name))

    @contextmanager
    def watch(self) -> Iterator[None]:
        """While it is open someone looks, and sweeps are more frequent; the first comes at once when the newest is old."""
        with self._changed:
            self._watchers += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._watchers -= 1

    def wait(self, after: float, timeout: float) -> Snapshot:
        """The first snapshot that is newer than the moment `after`; when none comes within `timeout` seconds, the newest there is."""
        with self._changed:
            self._changed.wait_for(lambda: self.snapshot.at > after, timeout)
            return self.snapshot

    def start(self) -> None:
        """Sweep from now on, in a thread; does nothing when it does already."""
        with self._changed:
            if self._thread is None:
                self._stopped = False
                self._thread = threading.Thread(target=self._run, name="homelake-collector", daemon=True)
                self._thread.start()

    def stop(self, timeout: float = 5) -> None:
        """Sweep no more; waits until the sweep that is under way has ended, for `timeout` seconds at most."""
        with self._changed:
            self._stopped = True
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        mine = threading.current_thread()
        while True:
            began = time.monotonic()
            try:
                self.sweep()
            except Exception as error:  # a fault of ours must neither end the thread nor pass unseen
                _log.exception("a sweep of the cluster failed")
                self._fail(error)
            took = time.monotonic() - began
            with self._changed:
                while not self._over(mine) and (left := began + max(self.interval, 2 * took) - time.monotonic()) > 0:
                    self._changed.wait(left)
                if self._over(mine):
                    return

    def _over(self, mine: threading.Thread) -> bool:
        return self._stopped or self._thread is not mine

    def _fail(self, error: Exception) -> None:
        problem = fault("sweep", "the cluster", error)
        with self._changed:
            old = self.snapshot
            self._snapshot = Snapshot(self._clock(), self.interval, old.took, old.calls, old.applications, (str(problem),))
            self._changed.notify_all()
