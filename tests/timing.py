"""How long a call takes by itself."""

import time
from collections.abc import Callable


def fastest(call: Callable[[], object], times: int = 3) -> float:
    """The least processor time of this thread (seconds) among several calls: the garbage collector's round over what other tests left,
    and a first call's loading, are not the call's own."""  # fmt: skip
    took = []
    for _ in range(times):
        began = time.thread_time()
        call()
        took.append(time.thread_time() - began)
    return min(took)
