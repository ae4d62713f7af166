"""A run that changes nothing, against what it must cost at least.

The lake on the lab that HOMELAKE_LAB names (demo, unless set) must be as declared: `./lake apply` makes it so. In turn, after a warm-up:

  round trips   the same reads with bare clients, each once, one connection a part (bench/reads.py); no process is started
  ./lake apply  as anyone runs it: from the start of the process to its end
  lake_bootstrap  ./lake airflow dags test lake_bootstrap, likewise
  empty DAG     airflow dags test of a DAG with as many tasks and edges, whose tasks do nothing
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from bench.reads import timed_reads
from bench.report import ROOT, Aim, circumstances, compare, options, say, versions
from include.connections import from_environment
from include.lake.lake import load_lake
from include.run_airflow import prepare
from include.settings import airflow_environment, site_facts

TRIPS, APPLY, DAG, EMPTY = "round trips", "./lake apply", "lake_bootstrap", "empty DAG"
FLOOR = "empty DAG and round trips"


def main(argv: list[str]) -> None:
    """Run it and print its tables."""
    args = options(__doc__ or "", 5).parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="homelake-bench-") as folder:
        # Airflow's own command is found as ./lake finds it: beside this Python.
        mine = {"AIRFLOW_HOME": os.environ.get("AIRFLOW_HOME") or f"{folder}/airflow", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        environment = airflow_environment(site_facts(), os.environ | mine)
        prepare(environment)
        empty = empty_environment(environment, Path(folder))
        lake, connections = load_lake(), from_environment(environment)
        commands = {
            APPLY: (["./lake", "apply", "--yes"], environment, "Applied: 0 changed"),
            DAG: (["./lake", "airflow", "dags", "test", "lake_bootstrap"], environment, ""),
            EMPTY: (["airflow", "dags", "test", "empty"], empty, ""),
        }
        found: dict[str, list[float]] = defaultdict(list)
        for turn in range(args.runs + 1):
            figures = {(TRIPS if k == "sum" else k): v for k, v in timed_reads(lake, connections).items()}
            for name, (command, env, wanted) in commands.items():
                figures[name] = seconds_of(command, env, wanted)
            for name, value in figures.items():
                if turn:
                    found[name].append(value)
            say(f"{f'run {turn} of {args.runs}' if turn else 'warm-up'}: " + ", ".join(f"{k} {v:.1f} s" for k, v in figures.items()))
    print(f"\nSeconds of a run without changes, {args.runs} runs of each in turn after one warm-up\n")
    print(compare({"command": {k: found[k] for k in (TRIPS, APPLY)}}, TRIPS, {("command", APPLY): Aim(most=1.5)}))
    print()
    print(compare({"DAG": {k: found[k] for k in (EMPTY, DAG)}}, EMPTY, {("DAG", DAG): Aim(most=1.2)}))
    both = [t + e for t, e in zip(found[TRIPS], found[EMPTY], strict=True)]  # what a DAG that reads the lake must cost at least
    print()
    print(compare({"DAG": {FLOOR: both, DAG: found[DAG]}}, FLOOR, {("DAG", DAG): Aim(most=1.2)}))
    print("\nThe round trips by part\n")
    print(compare({"part": {k: v for k, v in found.items() if k not in (*commands, TRIPS)} | {TRIPS: found[TRIPS]}}, TRIPS))
    print("\nHow it was measured\n")
    print(circumstances(f"lab {os.environ.get('HOMELAKE_LAB', 'demo')}", versions("apache-airflow", "paramiko", "minio", "kubernetes", "proxmoxer")))


def seconds_of(command: list[str], environment: Mapping[str, str], wanted: str = "") -> float:
    """How long a command takes from its start to its end. It must succeed, and print what is wanted."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode or wanted not in done.stdout:
        raise SystemExit(f"Unable to measure {' '.join(command)}: exit code {done.returncode}, {done.stdout[-400:]}{done.stderr[-600:]}")
    return seconds


def empty_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The same Airflow with one DAG in a folder of its own: the shape of lake_bootstrap, and nothing in it."""
    dags, plugins = folder / "dags", folder / "plugins"
    dags.mkdir()
    plugins.mkdir()
    shape = "from dags.lake_bootstrap import dag; print({t.task_id: sorted(t.downstream_task_ids) for t in dag.tasks})"
    done = subprocess.run([sys.executable, "-c", shape], cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=True)
    (dags / "empty.py").write_text(empty_dag(done.stdout.splitlines()[-1]))
    return {**environment, "AIRFLOW__CORE__DAGS_FOLDER": str(dags), "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins)}


def empty_dag(shape: str) -> str:
    """The text of a DAG whose tasks and edges are those of `shape`, a literal of task ids with what follows each."""
    return f"""
from datetime import datetime

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def nothing():
    return []


with DAG(dag_id="empty", schedule=None, start_date=datetime(2026, 1, 1), catchup=False) as dag:
    shape = {shape}
    tasks = {{name: PythonOperator(task_id=name.replace(".", "_"), python_callable=nothing) for name in shape}}
    for name, following in shape.items():
        tasks[name] >> [tasks[n] for n in following]
"""
