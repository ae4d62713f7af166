"""`./lake top` on the recorded sweeps: its table, what it prints without a terminal, and a terminal with keys, a window that changes, and an end."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from include.adapters.metrics.collector import Collector
from include.commands import top as command
from include.lake.metrics.fold import Sweep
from include.lake.metrics.view import Snapshot
from include.top_table import lines
from tests.conftest import ROOT
from tests.timing import fastest
from tests.unit.lake.metrics.made import recorded_sweep
from tests.unit.lake.metrics.test_exposition import known, snapshot
from tests.unit.test_cli import run


class Recording:
    """The recorded sweeps, one after the other."""

    def __init__(self) -> None:
        self.number = 0

    def gather(self) -> Sweep:
        self.number = min(self.number + 1, 2)
        return recorded_sweep(self.number)

    def log(self, namespace: str, pod: str, lines: int) -> str:
        return ""


def test_a_job_stands_with_its_pods_and_queries_and_how_old_that_is() -> None:
    shot = snapshot()
    text = lines(shot, shot.at + 4)
    stream = next(a for a in shot.applications if a.stream)
    at = next(i for i, line in enumerate(text) if line.startswith("payments-stream "))
    assert stream.now
    assert f"{stream.now.cpu:.2f}" in text[at]
    assert text[at].endswith(f"{shot.at + 4 - stream.now.at:.0f} s")
    assert [line.split()[0] for line in text[at + 1 : at + 5]] == ["driver", "executor", "bronze:", "silver:"]
    assert "MEMORY" in text[1]


def test_a_query_tells_its_rates_and_how_far_it_is_behind_and_nothing_that_is_not_known() -> None:
    shot, _ = known()
    (bronze,) = [line for line in lines(shot, shot.at) if line.startswith("  bronze")]
    assert re.fullmatch(r"  bronze: [\d,.]+ rows in, [\d,.]+ processed a second, batch [\d.]+ s, 12.0 behind Kafka, watermark 30.0 s", bronze)
    stream = next(a for a in shot.applications if a.stream)
    new = replace(
        stream, queries=tuple(replace(q, input_rate=None, processing_rate=None, batch_seconds=None, behind=None, watermark_delay=None) for q in stream.queries)
    )
    assert "  bronze: no batch yet" in lines(replace(shot, applications=(new,)), shot.at)


def test_it_keeps_to_the_window_and_says_what_is_left_out() -> None:
    shot = snapshot()
    whole = lines(shot, shot.at)
    assert len(lines(shot, shot.at, 4)) == 4
    assert lines(shot, shot.at, 4)[-1] == f"… {len(whole) - 3} more lines: make the window larger"
    assert lines(shot, shot.at, 0) == lines(shot, shot.at, 1)
    assert whole[1].split() == ["JOB", "STATE", "CPU", "ASKED", "LIMIT", "MEMORY", "LIMIT", "TASKS", "AGE"]
    narrow = lines(shot, shot.at, 100, 80)
    assert narrow[1].split() == ["JOB", "STATE", "CPU", "ASKED", "MEMORY", "LIMIT", "TASKS", "AGE"]
    assert max(map(len, narrow)) <= 80
    assert lines(shot, shot.at, 100, 66)[1].split() == ["JOB", "STATE", "CPU", "MEMORY", "TASKS", "AGE"]
    assert max(map(len, lines(shot, shot.at, 100, 20))) <= 20


def test_jobs_of_several_namespaces_say_theirs() -> None:
    shot = snapshot()
    first, second = shot.applications
    text = lines(replace(shot, applications=(first, replace(second, namespace="other"))), shot.at)
    assert any(line.startswith(f"other/{second.name} ") for line in text)
    assert not any("/" in line.split()[0] for line in lines(shot, shot.at))


def test_two_hundred_jobs_of_twenty_executors_are_drawn_soon() -> None:
    shot = snapshot()
    stream = next(a for a in shot.applications if a.stream)
    pods = tuple(replace(stream.pods[-1], executor=str(n)) for n in range(21))
    large = replace(shot, applications=tuple(replace(stream, name=f"job-{n}", pods=pods) for n in range(200)))
    assert len(lines(large, shot.at, 50, 120)) == 50
    assert fastest(lambda: lines(large, shot.at, 50, 120)) < 0.5


def test_problems_stand_first_and_an_empty_cluster_says_what_to_do() -> None:
    away = Snapshot(1.0, 2.0, 0.1, 1, problems=("Unable to reach Kubernetes at https://k: refused. Check the connection.",))
    assert lines(away, 2.0)[1:] == ["! Unable to reach Kubernetes at https://k: refused. Check the connection."]
    assert "lake_spark" in lines(replace(away, problems=()), 2.0)[1]
    shot = snapshot()
    silent = replace(shot, applications=(replace(shot.applications[0], problem="Unable to ask the driver:\nno answer."), *shot.applications[1:]))
    app = shot.applications[0]
    assert lines(silent, shot.at)[1] == f"! {app.namespace}/{app.name}: Unable to ask the driver: no answer."


def test_a_failed_job_says_why_and_what_the_cluster_says_does_not_steer_the_terminal() -> None:
    shot = snapshot()
    failed = replace(shot.applications[0], phase="failed", error="Unable to run it: \x1b[2Jboom.")
    text = lines(replace(shot, applications=(failed,)), shot.at)
    assert text[-1] == "  ! Unable to run it: ?[2Jboom."


def test_a_job_out_of_memory_says_so() -> None:
    shot = snapshot()
    app = shot.applications[0]
    gone = replace(app, phase="failed", churn=replace(app.churn, out_of_memory=1))
    assert any("out of memory" in line for line in lines(replace(shot, applications=(gone,)), shot.at))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    """The command on the recorded sweeps."""
    recording = Recording()
    monkeypatch.setattr(command, "collector", lambda *_, **__: Collector(recording))
    monkeypatch.setattr(command, "Clients", lambda *_: SimpleNamespace(connections=None, close=lambda: None))
    monkeypatch.setattr(command, "command_line_connections", lambda: None)
    yield recording


@pytest.mark.parametrize("options", [(), ("--once",)])
def test_without_a_terminal_it_prints_one_table_and_ends(recorded: Recording, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "top", *options)
    assert code == 0
    assert "payments-stream" in out
    assert "\x1b" not in out
    assert recorded.number == 1


def test_as_json_it_prints_one_snapshot(recorded: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "top", "--json")
    assert code == 0
    assert {a["name"] for a in json.loads(out)["applications"]} == {a.name for a in snapshot().applications}


def test_a_cluster_that_is_away_is_exit_code_1(recorded: Recording, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(recorded, "gather", lambda: Sweep(1.0, problems=("Unable to reach Kubernetes: refused.",)))
    code, out, _ = run(capsys, "top", "--once")
    assert code == 1
    assert "! Unable to reach Kubernetes: refused." in out


LIVE = """
import time
from types import SimpleNamespace
from include.adapters.metrics.collector import Collector
from include.commands import top as command
from tests.unit.test_top_command import Recording
class Slow(Recording):
    def gather(self):
        time.sleep({seconds})
        return super().gather()
command.collector = lambda *_, **__: Collector(Slow())
command.Clients = lambda *_: SimpleNamespace(connections=None, close=lambda: None)
command.command_line_connections = lambda: None
from include.cli import main
raise SystemExit(main(["top"]))
"""


class Terminal:
    """`./lake top` in a terminal of its own."""

    def __init__(self, seconds: float = 0) -> None:
        self.end, other = pty.openpty()
        self.resize(30, 120)
        self.before = termios.tcgetattr(other)
        command = [sys.executable, "-c", LIVE.format(seconds=seconds)]
        self.process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, cwd=ROOT, start_new_session=True)
        self.other, self.text = other, ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, pattern: str, seconds: float = 30) -> str:
        """What was written since the last call, up to where the pattern is found."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text, re.DOTALL)):
            assert time.monotonic() < deadline, f"{pattern!r} is not in {self.text!r}"
            if select.select([self.end], [], [], 0.1)[0]:
                self.text += os.read(self.end, 65536).decode()
        told, self.text = self.text[: found.end()], self.text[found.end() :]
        return told

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self.end)
        os.close(self.other)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


OTHER_SCREEN, BACK = r"\x1b\[\?1049h", r"\x1b\[\?1049l"


def test_it_is_live_follows_the_window_and_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    terminal.until(OTHER_SCREEN)
    assert "ASKED" in terminal.until("payments-stream.*silver: ")
    terminal.resize(6, 60)
    narrow = terminal.until("more lines")
    frame = narrow[narrow.rindex("\x1b[H") :]
    assert "ASKED" not in frame
    os.write(terminal.end, b"xq")
    terminal.until(BACK)
    assert terminal.process.wait(10) == 0
    assert termios.tcgetattr(terminal.other) == terminal.before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(terminal: Terminal, number: int, code: int) -> None:
    terminal.until("payments-stream")
    terminal.process.send_signal(number)
    terminal.until(BACK)
    assert terminal.process.wait(10) == code
    assert termios.tcgetattr(terminal.other) == terminal.before


def test_a_cluster_that_is_slow_to_answer_holds_up_no_key() -> None:
    terminal = Terminal(seconds=60)
    try:
        terminal.until("Looking at the cluster")
        os.write(terminal.end, b"q")
        terminal.until(BACK, 5)
        assert terminal.process.wait(5) == 0
    finally:
        terminal.close()
