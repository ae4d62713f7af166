"""A Kubernetes API that plays recordings back, over real HTTP on loopback: what it was asked is written down; answers can be changed, and held back."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from include.adapters.kubernetes import Kubernetes
from include.connections import Connection
from tests.unit.conftest import recorded

NAMESPACE = "/api/v1/namespaces/spark-jobs"
PODS, EVENTS = f"{NAMESPACE}/pods", f"{NAMESPACE}/events"
APPLICATIONS = "/apis/sparkoperator.k8s.io/v1beta2/namespaces/spark-jobs/sparkapplications"
SUMMARY = "/api/v1/nodes/lab/proxy/stats/summary"
STREAM, BUSY = f"{PODS}/payments-stream-driver:4040/proxy", f"{PODS}/busy-1-driver:4040/proxy"
STREAM_ID, BUSY_ID = "spark-db83e88f58134a8ebf29edb96f228404", "spark-aa48f99e709642788a4da97253023951"
EXECUTORS, STAGES = (f"{STREAM}/api/v1/applications/{STREAM_ID}/{what}" for what in ("allexecutors", "stages"))
PAGE = f"{STREAM}/metrics/prometheus/"


def status(code: int, message: str) -> tuple[int, str]:
    """The object in which Kubernetes says what is wrong."""
    return code, json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})


@dataclass
class Playback:
    """The server. `answers`: by path, the code and the text; an event in `held` keeps an answer until it is set."""

    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    held: dict[str, threading.Event] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    port: int = 0

    def play(self, which: int) -> None:
        """The first or the second recording of the stream, with a batch job whose driver is not ready."""

        def told(name: str) -> tuple[int, str]:
            return 200, recorded(f"metrics/{name}-{which}.{'txt' if name == 'prometheus' else 'json'}")

        self.answers = {PODS: told("pods"), EVENTS: told("events"), APPLICATIONS: told("sparkapplications"), SUMMARY: told("summary"), EXECUTORS: told("allexecutors"),
                        STAGES: told("stages"), PAGE: told("prometheus")}  # fmt: skip
        refused = status(503, "error trying to reach service: dial tcp 10.244.0.6:4040: connect: connection refused")
        self.answers |= {f"{BUSY}/api/v1/applications/{BUSY_ID}/allexecutors": refused}

    def paths(self) -> list[str]:
        """What was asked, without queries."""
        return [path for path, _ in self.asked]

    def cluster(self) -> Kubernetes:
        """The cluster, as the product sees it."""
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}], "users": [{"name": "u", "user": {"token": "the-kube-token"}}],
        }  # fmt: skip
        return Kubernetes(Connection("kubernetes_default", "kubernetes", extra={"kube_config": json.dumps(config)}))


@contextmanager
def playback() -> Iterator[Playback]:
    played = Playback()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: two would wait for each other's acknowledgement

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            played.asked.append((parts.path, parse_qs(parts.query)))
            if parts.path in played.held:
                played.held[parts.path].wait(20)
            code, text = played.answers.get(parts.path) or status(404, f"{parts.path} not found")
            if self.headers["Authorization"] != "Bearer the-kube-token":
                code, text = status(401, "Unauthorized")
            body = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    played.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield played
    finally:
        for event in played.held.values():
            event.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
