"""`./lake history`: Spark's history server on the records in the lake, for as long as it is looked at."""

import argparse
import json
import signal
import sys
import threading

from include.adapters.clients import Clients
from include.adapters.history import history_server, keep_folder
from include.lake.errors import LakeError
from include.lake.history import history_pod
from include.lake.lake import load_lake
from include.lake.s3a import s3a_profile
from include.settings import command_line_connections


def history(args: argparse.Namespace) -> int:
    """Run Spark's history server in the cluster, on the records of finished jobs in the lake, and lead this machine's loopback to it. Ctrl-C ends both."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the pod goes also when the command is ended by another program
    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    folder, where = lake.spec.spark.event_logs, lake.where
    try:
        if folder is None:
            raise LakeError(
                "show",
                "the jobs' history",
                "no records are kept: spark.event_logs is not declared",
                "Declare it, as s3a://datalake/spark-events/, and run a job",
            )
        keep_folder(clients.kubernetes, clients.minio, where, folder)
        profile = s3a_profile(clients.connections("minio_admin").host, lake.spec.minio.region)
        with history_server(clients.kubernetes, history_pod(where, folder, profile), args.port, _say) as port:
            url = f"http://127.0.0.1:{port}"
            print(json.dumps({"url": url}) if args.json else f"Spark's history: {url}  (Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    finally:
        clients.close()
    return 0


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
