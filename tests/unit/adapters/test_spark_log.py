"""The driver's log over breaks of the connection."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException

from include.adapters import spark_log
from include.adapters.spark_log import DriverLog
from tests.fakes.driver_log import stamped


class Core:
    """Gives the log as it stands at each call: lines with their time stamps; the last answer whole, and the others broken off. Or the error."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers, self.calls, self.since = list(answers), 0, list[int | None]()

    def read_namespaced_pod_log(self, *args: Any, timestamps: bool, since_seconds: int | None = None, **options: Any) -> Any:
        assert timestamps
        self.calls += 1
        self.since.append(since_seconds)
        answer = self.answers[0] if (last := len(self.answers) == 1) else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer

        def blocks(size: int, decode_content: bool) -> Any:
            yield answer
            if not last:
                raise OSError("the connection broke off")

        return SimpleNamespace(stream=blocks)


def told(*answers: bytes | Exception, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], Core]:
    monkeypatch.setattr(spark_log, "AGAIN_SECONDS", 0.001)
    said, core = list[str](), Core(*answers)
    log = DriverLog(SimpleNamespace(core=core), "spark-jobs", "job-1-driver", said.append)  # type: ignore[arg-type]
    end = time.monotonic() + 5
    while log._thread.is_alive() and len(core.answers) > 1 and time.monotonic() < end:
        time.sleep(0.001)
    log.finish(5)
    assert not log._thread.is_alive()
    return said, core


def test_it_goes_on_where_it_broke_off_however_long_the_api_server_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    away = [OSError("connection refused"), ApiException(status=503)] * 10
    said, core = told(stamped([b"one\n"]), *away, stamped([b"one\ntwo\n"]), stamped([b"one\ntwo\n\na b\n"]), monkeypatch=monkeypatch)
    assert said == ["[driver] one", "[driver] two", "[driver] ", "[driver] a b"]
    assert core.since[0] is None
    assert set(core.since[1:]) <= {spark_log.MARGIN, spark_log.MARGIN + 1}, "no more than what may be new is asked for"


def test_lines_of_one_moment_are_all_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said, _ = told(b"2026-11-28T10:00:00.5Z one\n2026-11-28T10:00:00.5Z two\n", monkeypatch=monkeypatch)
    assert said == ["[driver] one", "[driver] two"]


def test_a_kubelet_that_restarts_ends_the_stream_and_not_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end looks as a driver's does. Meanwhile the node may have begun a new file, which has less lines than were told."""
    monkeypatch.setattr(spark_log, "AGAIN_SECONDS", 0.001)
    whole = stamped([b"one\ntwo\nthree\nfour\n"])
    said, core = list[str](), Core(whole[: 2 * len(whole) // 4 + 1])
    log = DriverLog(SimpleNamespace(core=core), "spark-jobs", "job-1-driver", said.append)  # type: ignore[arg-type]
    while core.calls < 3:
        time.sleep(0.001)
    core.answers = [whole[whole.index(b"2026-11-28T10:00:03") :]]
    log.finish(5)
    assert said[-1] == "[driver] four"
    assert not log._thread.is_alive()


def test_a_pod_that_is_gone_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_log, "AGAIN_SECONDS", 0.001)
    said, core = list[str](), Core(ApiException(status=404))
    log = DriverLog(SimpleNamespace(core=core), "spark-jobs", "job-1-driver", said.append)  # type: ignore[arg-type]
    log._thread.join(5)
    assert (said, core.calls) == ([], spark_log.TRIES)


def test_an_end_out_of_reach_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_log, "AGAIN_SECONDS", 0.001)
    log = DriverLog(SimpleNamespace(core=Core(OSError("connection refused"))), "spark-jobs", "job-1-driver", print)  # type: ignore[arg-type]
    log.finish(5)
    assert not log._thread.is_alive()
