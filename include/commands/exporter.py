"""`./lake exporter`: the figures of the Spark jobs for a Prometheus, without Airflow."""

import argparse
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from include.adapters.clients import Clients
from include.adapters.metrics.collector import Collector
from include.adapters.metrics.of_lake import collector
from include.lake.errors import LakeError
from include.lake.lake import load_lake
from include.lake.metrics.exposition import exposition
from include.settings import command_line_connections

FIRST = 30.0  # seconds that the first scrape waits for the first sweep


def exporter(args: argparse.Namespace) -> int:
    """Serve the figures of the Spark jobs for Prometheus at http://ADDRESS:PORT/metrics, until Ctrl-C.

    Whoever reaches the port reads them: names of jobs and pods, and numbers; no secret. So it listens on this machine alone unless told otherwise.
    """
    host, _, port = args.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise LakeError("listen", f"at {args.listen}", "that is no ADDRESS:PORT", "Write it as 127.0.0.1:9109")
    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    looking = collector(lake, clients.connections, everywhere=args.all_namespaces)
    try:
        server = ThreadingHTTPServer((host, int(port)), handler(looking))
    except OSError as error:
        raise LakeError("listen", f"at {args.listen}", error.strerror or str(error), "Name another address: --listen") from None
    looking.start()
    print(f"http://{host}:{server.server_port}/metrics  (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()
        looking.stop()
        clients.close()
    return 0


def handler(looking: Collector) -> type[BaseHTTPRequestHandler]:
    """Answers a scrape with the newest sweep."""

    class Scrape(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """The page of a scrape; nothing else is here."""
            found = self.path.split("?")[0] == "/metrics"
            snapshot = looking.wait(0, FIRST) if found else None
            body = (
                exposition(snapshot, None).encode()
                if snapshot and snapshot.at
                else b"Nothing is here but /metrics.\n"
                if not found
                else b"No sweep has ended yet.\n"
            )
            self.send_response(200 if snapshot and snapshot.at else 503 if found else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: a scrape every few seconds is no news."""

    return Scrape


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
