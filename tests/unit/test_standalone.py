"""How `./lake airflow standalone` ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from include.settings import ROOT

AIRFLOW = """#!/bin/sh
sh -c 'trap "echo heard >> {folder}/child" INT; while :; do sleep 0.1; done' & child=$!
trap 'kill -9 $child; exit 7' INT
touch {folder}/runs
while :; do sleep 0.1; done
"""
RUN = "import sys, os; from include.run_airflow import _standalone; sys.exit(_standalone(['standalone'], os.environ))"


def test_ctrl_c_reaches_its_parent_and_only_it(tmp_path: Path) -> None:
    """Also where a script has begun it in the background, and so with SIGINT ignored."""
    program = tmp_path / "airflow"
    program.write_text(AIRFLOW.format(folder=tmp_path))
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", RUN], env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 20
        while not (tmp_path / "runs").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == 7
    finally:
        process.kill()
    assert not (tmp_path / "child").exists()
