"""`./lake exporter`: the figures of the Spark jobs for a Prometheus, without Airflow."""

import argparse
import socket
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

FIRST = 8.0  # seconds that a scrape waits for the first sweep: Prometheus itself waits for 10
SILENT = 30.0  # seconds after which a connection that asks nothing is closed


def exporter(args: argparse.Namespace) -> int:
    """Serve the figures of the Spark jobs for Prometheus at http://ADDRESS:PORT/metrics, until Ctrl-C.

    Whoever reaches the port reads them: names of jobs and pods, and numbers; no secret. So it listens on this machine alone unless told otherwise.
    """
    host, port = address(args.listen)
    clients = Clients(command_line_connections(), _say)
    looking = collector(lambda: load_lake(args.file), clients.connections, everywhere=args.all_namespaces, keeps=True)
    try:
        try:
            server = serving(host, port, handler(looking))
        except OSError as error:
            raise LakeError("listen", f"at {args.listen}", error.strerror or str(error), "Name another address: --listen") from None
        with server:
            looking.start()
            print(f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/metrics  (Ctrl-C ends it)", flush=True)
            server.serve_forever()
    except KeyboardInterrupt:  # here the way to end it, and nothing was stopped half-way
        pass
    finally:
        looking.stop(0)
        clients.close()
    return 0


def address(text: str) -> tuple[str, int]:
    """Host and port of ADDRESS:PORT, that of IPv6 in brackets. There is no short form that means every address of this machine."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare) != (bare != host) or not port.isdecimal() or int(port) > 65535:
        raise LakeError("listen", f"at {text}", "that is no ADDRESS:PORT", "Write it as 127.0.0.1:9109, or [::1]:9109")
    return bare, int(port)


def serving(host: str, port: int, scrape: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """Listens from now on; raises OSError."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Who asked has gone: no news. Whatever else it is, is told."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    return Server((host, port), scrape)


def handler(looking: Collector) -> type[BaseHTTPRequestHandler]:
    """Answers a scrape with the newest sweep."""

    class Scrape(BaseHTTPRequestHandler):
        timeout = SILENT

        def do_GET(self) -> None:
            """The page of a scrape; nothing else is here."""
            if self.path.split("?")[0] != "/metrics":
                self._answer(404, "Nothing is here but /metrics.\n")
            elif not (snapshot := looking.wait(0, FIRST)).at:
                self._answer(503, "No sweep of the cluster has ended yet.\n")
            else:
                self._answer(200, exposition(snapshot, None))

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: a scrape every few seconds is no news."""

    return Scrape


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
