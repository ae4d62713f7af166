"""What a stream used, kept in the lake when it ends: no task sees a stream through, so whoever watches it does that."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from include.adapters.metrics.parquet import Columns
from include.lake.errors import LakeError
from include.lake.metrics.fold import Ended
from include.lake.metrics.view import ApplicationView

AGAIN = 60.0  # seconds until a lake that did not answer is written to again
MOST = 10  # streams that wait for that; of more, the latest
_log = logging.getLogger(__name__)


class Lake(Protocol):
    """Where it is kept."""

    def write_longest(self, application: ApplicationView, series: Mapping[str, Columns]) -> str:
        """Keep a job, unless what is kept of it begins as early; raises LakeError."""


class Keeper:
    """Keeps the streams of a namespace. It may be called with the sweeps of one collector; several processes may do the same at once."""

    def __init__(self, past: Lake, namespace: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._past, self._namespace, self._clock = past, namespace, clock
        self.waiting: list[Ended] = []
        self._due = 0.0

    def __call__(self, ended: Sequence[Ended]) -> None:
        """Take those that have ended, and write what is not written yet."""
        self.waiting = [*self.waiting, *(e for e in ended if self._mine(e.application))][-MOST:]
        while self.waiting and self._clock() >= self._due:
            application, series = self.waiting[0]
            try:
                key = self._past.write_longest(application, {pod: s.as_json() for pod, s in series.items()})
                _log.info("what %s used is kept in the lake%s", application.name, f": {key}" if key else " by another who watched it for longer")
                self.waiting.pop(0)
            except LakeError as error:
                self._due = self._clock() + AGAIN
                _log.warning("what %s used is not kept yet: %s", application.name, error)
            except Exception:  # the sweeps are not to end with it
                _log.exception("what %s used is not kept", application.name)
                self.waiting.pop(0)

    def _mine(self, a: ApplicationView) -> bool:
        """A job of a DAG is kept by its task; a stream that could not be submitted is tried again by the operator."""
        return a.stream and a.origin is None and a.namespace == self._namespace and a.state != "SUBMISSION_FAILED"
