"""What a Spark job uses, kept in the lake when it ends: whoever sees the job through has it looked at meanwhile."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Self

from include.adapters.kubernetes import Kubernetes
from include.adapters.metrics.collector import Collector
from include.adapters.metrics.past import Past
from include.adapters.metrics.sources import Sources
from include.lake.errors import LakeError
from include.lake.metrics.view import ApplicationView
from include.lake.spark import Phase

EVERY = 10.0  # seconds: a kubelet measures no oftener
TRIES, AGAIN = 3, 1.0  # last looks at a job that is over by all that is known, and the seconds between them
_log = logging.getLogger(__name__)


class Recording:
    """A job that is looked at, from `start` on.

    What keeps its figures from being kept is said, and fails nothing: the job's own end is what counts.
    """

    def __init__(self, collector: Collector, past: Callable[[], Past], namespace: str, name: str, say: Callable[[str], None]) -> None:
        self._collector, self._past, self._where, self._say = collector, past, (namespace, name), say

    @classmethod
    def of(cls, kubernetes: Kubernetes, past: Callable[[], Past], namespace: str, name: str, say: Callable[[str], None]) -> Self:
        """The recording of one job of a cluster; `past` is asked for where it is kept."""
        return cls(Collector(Sources(kubernetes, (namespace,), only=name), watched=EVERY, unwatched=EVERY), past, namespace, name, say)

    def start(self) -> None:
        """Begin to look, every few seconds, from a thread of its own."""
        self._collector.start()

    def stop(self) -> None:
        """Look no more, and keep nothing. Waits for nobody."""
        self._collector.stop(timeout=0)

    def keep(self, given_up: str = "") -> str:
        """Look a last time, and write to the lake what was seen. Returns the object's key; nothing when there is none.

        `given_up`: why the job counts as failed although it is not over.
        """
        self._collector.stop()
        try:
            last = self._last(given_up)
            if last is None:
                return ""
            key = self._past().write(last, {pod: series.as_json() for pod, series in self._collector.series(*self._where).items()})
            self._say(f"what it used is kept in the lake: {key}")
            return key
        except LakeError as error:
            self._say(f"what it used is not kept: {error}")
        except Exception as error:
            _log.exception("what %s used is not kept", self._where[1])
            self._say(f"what it used is not kept: {type(error).__name__}: {error}")
        return ""

    def _last(self, given_up: str) -> ApplicationView | None:
        for number in range(TRIES):  # the list may not come, and then what it said before holds: the job would be kept as one that runs
            if number:
                time.sleep(AGAIN)
            last = next((a for a in self._collector.sweep().applications if a.name == self._where[1]), None)
            if last is None or Phase(last.phase).over:
                return last
            if given_up:
                return replace(last, phase=Phase.FAILED.value, error=given_up, ended=time.time())
        return last


@contextmanager
def recorded(recording: Recording) -> Iterator[None]:
    """While the block lasts the job is looked at; at its end, also an end by an error, its figures go to the lake."""
    recording.start()
    given_up = ""
    try:
        yield
    except LakeError as error:
        given_up = error.cause
        raise
    finally:
        recording.keep(given_up)
