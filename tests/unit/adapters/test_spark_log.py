"""The driver's log over breaks of the connection."""

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException

from include.adapters import spark_log
from include.adapters.spark_log import DriverLog


class Core:
    """Gives the log as it stands at each call, or the error."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers, self.calls = list(answers), 0

    def read_namespaced_pod_log(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        last = len(self.answers) == 1
        answer = self.answers[0] if last else self.answers.pop(0)
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
    log._thread.join(5)
    assert not log._thread.is_alive()
    return said, core


def test_it_goes_on_where_it_broke_off_however_long_the_api_server_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    away = [OSError("connection refused"), ApiException(status=503)] * 10
    said, _ = told(b"one\n", *away, b"one\ntwo\n", b"one\ntwo\nthree\n", monkeypatch=monkeypatch)
    assert said == ["[driver] one", "[driver] two", "[driver] three"]


def test_a_pod_that_is_gone_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    said, core = told(ApiException(status=404), monkeypatch=monkeypatch)
    assert (said, core.calls) == ([], spark_log.TRIES)


def test_an_end_out_of_reach_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_log, "AGAIN_SECONDS", 0.001)
    log = DriverLog(SimpleNamespace(core=Core(OSError("connection refused"))), "spark-jobs", "job-1-driver", print)  # type: ignore[arg-type]
    log.finish(5)
    assert not log._thread.is_alive()
