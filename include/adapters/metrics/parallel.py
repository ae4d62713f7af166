"""Many questions at once, with one time limit for all: whoever answers late is heard in the next round, and whoever failed is asked more seldom."""

import logging
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from include.lake.errors import LakeError, fault

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
_log = logging.getLogger(__name__)
FIRST_REST, LONGEST_REST = 4.0, 60.0  # seconds without a question after a first failure; it doubles with each further one


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What came, or why nothing did. `late`: the answer takes longer than the limit; `error` then says why the one before failed, if it did."""

    value: T | None = None
    error: LakeError | None = None
    late: bool = False


class Parallel(Generic[K, T]):
    """Asks by key. At most one question a key is under way, so that a silent one takes one worker, and no more."""

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="homelake-source")
        self._clock = clock
        self._asked: dict[K, Future[T]] = {}
        self._rests: dict[K, tuple[float, float, LakeError]] = {}  # until when, how long, and why

    def begin(self, questions: Mapping[K, Callable[[], T]]) -> None:
        """Ask, each key its question, which raises LakeError when it fails. Of keys that are no more asked nothing is remembered."""
        for key in (self._asked.keys() | self._rests.keys()) - questions.keys():
            self._asked.pop(key, None)
            self._rests.pop(key, None)
        for key, question in questions.items():
            if key not in self._asked and not self._resting(key):
                self._asked[key] = self._pool.submit(question)

    def end(self, keys: Iterable[K], limit: float) -> dict[K, Answer[T]]:
        """The answers of keys that were asked, within `limit` seconds."""
        wanted = list(keys)
        wait([self._asked[key] for key in wanted if key in self._asked], timeout=limit)
        return {key: self._take(key) if key in self._asked else Answer(error=self._rests[key][2]) for key in wanted}

    def _resting(self, key: K) -> bool:
        return key in self._rests and self._clock() < self._rests[key][0]

    def _take(self, key: K) -> Answer[T]:
        if not self._asked[key].done():
            return Answer(error=self._rests[key][2] if key in self._rests else None, late=True)
        try:
            value = self._asked.pop(key).result()
        except Exception as failed:  # one question's fault must not be all the others'
            if not isinstance(failed, LakeError):
                _log.error("asking %s failed", key, exc_info=failed)
            error = failed if isinstance(failed, LakeError) else fault("ask", str(key), failed)
            rest = min(self._rests[key][1] * 2, LONGEST_REST) if key in self._rests else FIRST_REST
            self._rests[key] = (self._clock() + rest, rest, error)
            return Answer(error=error)
        self._rests.pop(key, None)
        return Answer(value)
