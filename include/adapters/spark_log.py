"""The log of a Spark driver, followed."""

import math
import threading
import time
from collections.abc import Callable, Iterator

from include.adapters.kubernetes import Kubernetes

TRIES, AGAIN_SECONDS = 5, 1.0
MARGIN = 10  # seconds: so much longer ago than the latest line came is asked for after a break


class DriverLog:
    """The driver's log, line by line as it comes, each line once even when the stream breaks.

    A kubelet that restarts ends the stream as a driver's end does: only who waits for the job knows which it was. So it goes on after an end as after a
    break, from the time stamp of the latest line: numbers of lines would be wrong once the node has begun a new file.
    """

    def __init__(self, kubernetes: Kubernetes, namespace: str, pod: str, say: Callable[[str], None]) -> None:
        self._k, self._namespace, self._pod, self._say = kubernetes, namespace, pod, say
        self._latest, self._came = "", 0.0  # the latest line's time stamp, and when it came by our own clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        from kubernetes.client import ApiException

        failed = 0
        while failed < TRIES:
            last = self._over.is_set()
            try:
                self._tell()
                if last:
                    return
            except Exception as error:
                # A pod that is gone, or may not be read, is so the next time too. An API server that is away comes back, while the job is waited for.
                refused = isinstance(error, ApiException) and error.status < 500
                failed += refused or self._over.is_set()
            self._over.wait(AGAIN_SECONDS)

    def _tell(self) -> None:
        since = {"since_seconds": math.ceil(time.monotonic() - self._came) + MARGIN} if self._latest else {}
        stream = self._k.core.read_namespaced_pod_log(
            self._pod, self._namespace, follow=True, timestamps=True, _preload_content=False, _request_timeout=(10, 3600), **since
        )
        told = self._latest
        for stamped in lines(stream.stream(4096, decode_content=False)):
            stamp, _, line = stamped.partition(" ")
            if stamp > told:  # all have the same form and nine digits after the second; one moment may have several lines
                self._say(f"[driver] {line}")
                self._latest, self._came = stamp, time.monotonic()

    def finish(self, seconds: float = 30) -> None:
        """Wait until the rest has come, for so long at most."""
        self._over.set()
        self._thread.join(seconds)


def lines(blocks: Iterator[bytes]) -> Iterator[str]:
    """The whole lines of what comes in blocks."""
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")
