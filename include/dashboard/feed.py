"""Sweeps as server-sent events: one thread waits for the collector and tells every listener, whose event loop it never holds up."""

import asyncio
import json
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from include.dashboard.services import Services, nothing
from include.lake.errors import LakeError
from include.lake.metrics.view import Snapshot

QUIET = 15.0  # seconds without an event after which a comment keeps proxies awake
LIFE = 30.0  # of one stream: the browser connects again at once, is let in anew, and a server that ends waits no longer than this
LOOK = 2.0  # for how long the thread waits for a sweep before it sees whether anybody still listens
LAKE = 5.0  # seconds between two looks at the lake's view
AGAIN = 5.0  # seconds before a collector that could not be made is tried again
log = logging.getLogger(__name__)


def encode(document: Any) -> str:
    """JSON as browsers read it: what is not a number (Spark's gauges say NaN before their first batch) is null."""
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Listener:
    """One browser. Of each kind of event it gets the newest: one that reads slowly misses sweeps, and keeps none in memory."""

    def __init__(self, begin: Mapping[str, str]) -> None:
        self._loop, self._new, self._waiting = asyncio.get_running_loop(), asyncio.Event(), dict(begin)
        if begin:
            self._new.set()

    def tell(self, event: str, data: str) -> None:
        """From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._take, event, data)
        except RuntimeError:  # its event loop has ended
            log.debug("a listener's event loop is closed")

    def _take(self, event: str, data: str) -> None:
        self._waiting[event] = data
        self._new.set()

    async def next(self, seconds: float) -> dict[str, str]:
        """The events that came, data by name; none within that time."""
        try:
            await asyncio.wait_for(self._new.wait(), seconds)
        except TimeoutError:
            return {}
        self._new.clear()
        come, self._waiting = self._waiting, {}
        return come


class Feed:
    """The sweeps and the lake's view, for as many listeners as there are. Its thread runs while there are any."""

    def __init__(self, services: Services) -> None:
        self._services, self._lock = services, threading.Lock()
        self._listeners: set[Listener] = set()
        self._latest: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        """How many listen."""
        return len(self._listeners)

    async def stream(self, life: float = LIFE, quiet: float = QUIET) -> AsyncIterator[str]:
        """The events for one listener, as text/event-stream, for so many seconds. It ends with whoever reads it."""
        listener, end = self._enter(), time.monotonic() + life
        try:
            yield "retry: 1000\n\n"
            while (left := end - time.monotonic()) > 0:
                come = await listener.next(min(quiet, left))
                yield "".join(f"event: {event}\ndata: {data}\n\n" for event, data in come.items()) or ": still here\n\n"
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _enter(self) -> Listener:
        with self._lock:
            listener = Listener(self._latest)
            self._listeners.add(listener)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="homelake-feed", daemon=True)
                self._thread.start()
            return listener

    def _run(self) -> None:
        while self._listened_to():
            try:
                collector = self._services.collector
                with collector.watch():
                    self._follow(collector)
            except Exception as error:
                if not isinstance(error, LakeError):
                    log.exception("the feed of the dashboard")
                told = str(error) if isinstance(error, LakeError) else f"Unable to show the Spark jobs: {type(error).__name__}. The API server's log says more."
                self._tell("snapshot", nothing(told).as_json())
                self._tell_lake()
                time.sleep(AGAIN)

    def _listened_to(self) -> bool:
        with self._lock:
            if not self._listeners:
                self._thread = None
                self._latest = {}
            return bool(self._listeners)

    def _follow(self, collector: Any) -> None:
        """Tell of each sweep, until nobody listens."""
        after, looked = 0.0, -LAKE
        while self._listeners:
            if time.monotonic() - looked >= LAKE:
                looked = time.monotonic()
                self._tell_lake()
            snapshot: Snapshot | None = collector.wait(after, LOOK)
            if snapshot and snapshot.at > after:
                after = snapshot.at
                self._tell("snapshot", snapshot.as_json())

    def _tell_lake(self) -> None:
        self._tell("lake", self._services.lake().as_json(), only_new=True)

    def _tell(self, event: str, document: Any, *, only_new: bool = False) -> None:
        data = encode(document)
        with self._lock:
            if only_new and self._latest.get(event) == data:
                return
            self._latest[event] = data
            listeners = list(self._listeners)
        for listener in listeners:
            listener.tell(event, data)
