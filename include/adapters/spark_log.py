"""The log of a Spark driver, followed."""

import threading
import time
from collections.abc import Callable, Iterator

from include.adapters.kubernetes import Kubernetes

TRIES, AGAIN_SECONDS = 5, 1.0


class DriverLog:
    """The driver's log, line by line as it comes, each line once even when the stream breaks."""

    def __init__(self, kubernetes: Kubernetes, namespace: str, pod: str, say: Callable[[str], None]) -> None:
        self._k, self._namespace, self._pod, self._say, self._seen = kubernetes, namespace, pod, say, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        from kubernetes.client import ApiException

        failed = 0
        while failed < TRIES:
            try:
                self._tell()
                return
            except Exception as error:
                # A pod that is gone, or may not be read, is so the next time too. An API server that is away comes back, while the job is waited for.
                refused = isinstance(error, ApiException) and error.status < 500
                failed += refused or self._over.is_set()
            time.sleep(AGAIN_SECONDS)

    def _tell(self) -> None:
        stream = self._k.core.read_namespaced_pod_log(self._pod, self._namespace, follow=True, _preload_content=False, _request_timeout=(10, 3600))
        for number, line in enumerate(lines(stream.stream(4096, decode_content=False)), 1):
            if number > self._seen:
                self._say(f"[driver] {line}")
                self._seen = number

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
