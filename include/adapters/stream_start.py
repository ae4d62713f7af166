"""The start of the stream, seen through: whether it runs, or why it does not although the spark-operator starts it again and again."""

import queue
import re
import threading
import time
from collections.abc import Callable

from include.adapters.spark import SparkApplications
from include.adapters.spark_guard import LOOK_SECONDS, START_SECONDS, for_want_of_room, stuck, without_room
from include.adapters.spark_log import DriverLog
from include.adapters.stream import Streams
from include.lake.errors import LakeError
from include.lake.spark import Phase, Standing, short_error
from include.lake.stream import NAME, UNFIT, last_words

_News = Standing | str | LakeError  # a change of the application, a line of its driver's log, or that there is no more to see
_RUNS = re.compile(r"The stream of \S+ runs: ")
_EXIT = re.compile(r"ExitCode: (\d+)")


def see_start(streams: Streams, namespace: str, say: Callable[[str], None], seconds: float = START_SECONDS) -> None:
    """Wait until the driver says that the stream runs.

    Raises LakeError with the driver's own words when it ends instead. One that cannot run as declared is removed, since every
    restart would end the same; any other stays, and the operator starts it again.
    """
    applications, said, news = streams.applications(namespace), list[str](), queue.Queue[_News]()
    threading.Thread(target=_watch, args=(applications, news), daemon=True).start()
    log: DriverLog | None = None
    told = set[str]()
    end = time.monotonic() + seconds
    while True:
        try:
            new = news.get(timeout=min(LOOK_SECONDS, max(0.01, end - time.monotonic())))
        except queue.Empty:
            pods = applications.pods(NAME)
            waiting = without_room(pods, told, say)
            if problem := stuck(pods):
                raise LakeError("start", "stream/payments", problem, "Mend that; the driver starts by itself then") from None
            if time.monotonic() > end:
                raise LakeError("start", "stream/payments", f"it does not run after {seconds:g} s{for_want_of_room(waiting)}", f"Look at it: kubectl -n {namespace} describe sparkapplication {NAME}") from None  # fmt: skip
            continue
        if isinstance(new, LakeError):
            raise new
        if isinstance(new, str):
            said.append(new)
            if _RUNS.search(new):
                say(new)
                return
        elif new.phase is Phase.RUNNING and new.state == "RUNNING" and log is None:
            log = DriverLog(streams.kubernetes, namespace, new.driver, news.put)
        elif new.state in ("FAILING", "FAILED", "SUBMISSION_FAILED"):
            if log:
                log.finish(5)
            while not news.empty():
                said += [line for line in [news.get()] if isinstance(line, str)]
            raise _failure(streams, namespace, new, said)


def _watch(applications: SparkApplications, news: "queue.Queue[_News]") -> None:
    """A watch, since an application that is started again shows how it ended for a moment only."""
    try:
        for now in applications.watch(NAME):
            news.put(now)
        news.put(LakeError("start", "stream/payments", "its SparkApplication was removed meanwhile", "Run it again"))
    except LakeError as error:
        news.put(error)


def _failure(streams: Streams, namespace: str, now: Standing, said: list[str]) -> LakeError:
    code = int(m[1]) if (m := _EXIT.search(now.error)) else 0
    cause = last_words(said) or short_error(now.error)
    if code == UNFIT:
        streams.remove_stream(namespace)
        return LakeError("run", "stream/payments", cause, "It was removed, since no restart helps; checkpoint and data are as they were. Mend that and start it again")  # fmt: skip
    again = "The spark-operator starts it again" if now.state != "FAILED" else "Start it again once that is mended"
    return LakeError("run", "stream/payments", cause, again)
