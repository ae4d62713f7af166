"""`./lake airflow …`: Airflow's own command, with the project's folders, connections, pools and variables."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from include.settings import ROOT, NoFacts, airflow_environment, pools_and_variables, site_facts

HELP = """usage: ./lake airflow ARGUMENT…

Runs Airflow's own command with the project's dags/, plugins/, connections (site.env, else the lab), pools and variables.

  ./lake airflow standalone                    everything, with the UI on http://127.0.0.1:8080
  ./lake airflow dags test lake_bootstrap      run a DAG here and now
  ./lake airflow dags test lake_bootstrap --conf '{"check": true}'
  ./lake airflow dags list
  ./lake airflow --help                        Airflow's own help
"""


def run_airflow(argv: list[str]) -> int:
    """Run it; the exit code is Airflow's. In this process's place, but for `standalone`."""
    if argv:
        environment = airflow_environment(_facts())
        prepare(environment)
        if argv[0] == "standalone":
            return _standalone(argv, environment)
        os.execvpe("airflow", ["airflow", *argv], environment)  # the project's own venv comes first in PATH
    print(HELP)
    return 0


def _facts() -> dict[str, str]:
    """The site's facts; without any that is said, and no error: connections may also be made in Airflow itself."""
    try:
        return site_facts()
    except NoFacts as error:
        print(f"{error}\nAirflow starts without them: its connections lead where airflow_settings.yaml says.", file=sys.stderr)
        return {}


def _standalone(argv: list[str], environment: Mapping[str, str]) -> int:
    """Until it is told to end; the exit code is Airflow's.

    Ctrl-C reaches the whole group of the terminal, and an Airflow whose every process has heard it waits for ever: only its parent is told. Airflow
    then waits for the tasks that run, however long they take; a second Ctrl-C ends them too, as its on_kill does for a task.
    """
    running = list[subprocess.Popen[bytes]]()
    told = False

    def end(*_: object) -> None:
        nonlocal told
        if not running:
            raise KeyboardInterrupt
        if told:
            end_all(running[0].pid)
        else:
            running[0].send_signal(signal.SIGINT)
            print("Airflow ends when the tasks that run have ended. Ctrl-C again ends them now.", file=sys.stderr)
        told = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)  # before it starts: one that is ignored here, as in a script's background, would be ignored there
    with subprocess.Popen(["airflow", *argv], env=dict(environment), process_group=0) as airflow:
        running.append(airflow)
        code = airflow.wait()
        return code if code >= 0 else 128 - code  # as a shell tells of a signal


def end_all(pid: int, seconds: float = 10) -> None:
    """End all processes below one, the lowest first; kill what has not ended in time, and the one with its group."""
    import psutil  # Airflow's own

    with suppress(psutil.NoSuchProcess):
        parts = psutil.Process(pid).children(recursive=True)[::-1]
        for asked in (psutil.Process.terminate, psutil.Process.kill):
            for part in parts:
                with suppress(psutil.NoSuchProcess):
                    asked(part)
            _, parts = psutil.wait_procs(parts, seconds)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def prepare(environment: Mapping[str, str]) -> None:
    """Make Airflow's database, pools and variables, once for each content of the settings and each Airflow: a new one has other tables."""
    home = Path(environment["AIRFLOW_HOME"])
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if home == ROOT / ".airflow":
        home.chmod(0o700)  # Airflow by itself makes it open to all, and its database holds connections
    pools, variables = pools_and_variables()
    mark, wanted = home / ".homelake", json.dumps([pools, variables, sys.version, version("apache-airflow")])
    if mark.exists() and mark.read_text() == wanted and (home / "airflow.db").exists():
        return
    print("Preparing Airflow's database (once)", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        _airflow(["db", "migrate"], environment)
        if pools:
            file = Path(folder) / "pools.json"
            file.write_text(json.dumps({p["name"]: {"slots": p["slots"], "description": p["description"], "include_deferred": False} for p in pools}))
            _airflow(["pools", "import", str(file)], environment)
        if variables:
            file = Path(folder) / "variables.json"
            file.write_text(json.dumps(variables))
            _airflow(["variables", "import", str(file)], environment)
    mark.write_text(wanted)


def _airflow(argv: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(["airflow", *argv], env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        from include.lake.errors import LakeError

        raise LakeError("prepare", "Airflow", (done.stderr.strip() or done.stdout.strip())[-600:], f"Try it yourself: ./lake airflow {' '.join(argv)}")
