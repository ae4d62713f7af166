"""`./lake usage`: how full the lake is."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from include.adapters.clients import Clients
from include.lake.errors import LakeError
from include.lake.figures import Report, report, thresholds
from include.lake.forecast import HISTORY, History, from_json
from include.lake.lake import load_lake
from include.lake.usage import measure
from include.settings import ROOT, airflow_environment, command_line_connections
from include.usage_table import lines, verdicts


def usage(args: argparse.Namespace) -> int:
    """Say how full buckets and volume are. Reads only, and as quickly whatever is in them. Exits 0 below warn_at, 2 from warn_at on, 1 from fail_at on."""
    lake = load_lake(args.file)
    spec, clients = lake.spec, Clients(command_line_connections(), lambda text: print(f"  … {text}", file=sys.stderr, flush=True))
    try:
        found = measure((b.name for b in spec.buckets), spec.filesystem.mount_point, clients)
    finally:
        clients.close()
    figures = report(found, _history() if args.forecast else None, thresholds(spec), datetime.now(UTC))
    if args.json:
        print(json.dumps(figures.as_dict(), indent=2, ensure_ascii=False))
    else:
        print(*lines(figures, spec.minio.scanner.round), *verdicts(figures), sep="\n")
    return exit_code(figures)


def exit_code(figures: Report) -> int:
    """1: over fail_at, or not all could be found out. 2: a warning."""
    return 1 if figures.failures or figures.errors else 2 if figures.warnings else 0


def _history() -> History:
    """What lake_governance keeps in Airflow. It is asked by Airflow's own command: importing Airflow here would cost every command seconds."""
    environment = airflow_environment({}, os.environ)
    done = None
    if _has_database(environment):  # else Airflow would make one, and this command only reads
        done = subprocess.run([sys.executable, "-m", "airflow", "variables", "get", HISTORY], cwd=ROOT, capture_output=True, text=True, check=False,
                              env=environment)  # fmt: skip
    if done is None or done.returncode:
        raise LakeError(
            "read", f"Airflow's variable {HISTORY}", "Airflow has none here", "Let lake_governance run, with the same AIRFLOW_HOME; or leave --forecast out"
        )
    try:
        return from_json(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise LakeError("read", f"Airflow's variable {HISTORY}", str(error), "Remove it (Admin → Variables): lake_governance begins another") from None


def _has_database(environment: Mapping[str, str]) -> bool:
    """Whether Airflow has a database already, or has been told of one elsewhere."""
    home = Path(environment["AIRFLOW_HOME"]).expanduser()
    told = "AIRFLOW_CONFIG" in environment or any(k.startswith("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN") for k in environment)
    return told or any((home / name).exists() for name in ("airflow.db", "airflow.cfg"))
