"""How `./lake airflow standalone` ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from include.settings import ROOT

RUN = "import sys, os; from include.run_airflow import _standalone; sys.exit(_standalone(['standalone'], os.environ))"

# Its child would note an interrupt; it ends its child and itself at the first.
ENDS = """#!/bin/sh
sh -c 'trap "echo heard >> {folder}/child" INT; while :; do sleep 0.1; done' & child=$!
trap 'kill -9 $child; exit 7' INT
touch {folder}/runs
while :; do sleep 0.1; done
"""

# A task in a group of its own, as Airflow's are, with something to clear away; its parent waits for it, and ends for nothing else.
WAITS = """#!/bin/sh
trap "" INT
setsid sh -c 'trap "echo cleared > {folder}/child; exit" TERM; touch {folder}/runs; while :; do sleep 0.1; done' & task=$!
wait $task
sleep 600
"""


@contextmanager
def standalone(folder: Path, airflow: str) -> Iterator[subprocess.Popen[str]]:
    """It runs, begun by a script in the background, and so with SIGINT ignored."""
    program = folder / "airflow"
    program.write_text(airflow.format(folder=folder))
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", RUN], env=environment, start_new_session=True,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    try:
        until((folder / "runs").exists)
        yield process
    finally:
        process.kill()


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_reaches_its_parent_and_only_it(tmp_path: Path) -> None:
    with standalone(tmp_path, ENDS) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == 7
    assert not (tmp_path / "child").exists()


def test_a_second_ctrl_c_does_not_wait_for_tasks_and_lets_them_clear_away(tmp_path: Path) -> None:
    with standalone(tmp_path, WAITS) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        assert "Ctrl-C again" in process.stderr.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(15) > 0
    assert (tmp_path / "child").read_text() == "cleared\n"
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
