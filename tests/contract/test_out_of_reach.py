"""Whatever answers in a part's place, or nobody: every call ends with an error of ours that names cause and remedy, and nothing is ever taken for absent.

No lab is needed: what stands at the address is made here.
"""

import datetime
import http.server
import ipaddress
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from include.adapters.backups import Backups
from include.adapters.host import Host
from include.adapters.kafka import Kafka
from include.adapters.kubernetes import Kubernetes
from include.adapters.minio import MinioServer
from include.adapters.minio.versions import VersionStore
from include.adapters.proxmox import Proxmox
from include.connections import Connection
from include.lake.secret import Secret
from tests.contract.calls import READING, WRITING, told

PAGE = b"<!DOCTYPE html><html><body>Please log in to the network</body></html>"
KINDS = {  # what answers: status, type of content, content; or what it does instead
    "a web page": (200, "text/html", PAGE),
    "an empty object": (200, "application/json", b"{}"),
    "a list": (200, "application/json", b"[]"),
    "data that is null": (200, "application/json", b'{"data": null}'),
    "a page that is not there": (404, "text/plain", b"404 page not found\n"),
    "a web page that is not there": (404, "text/html", PAGE),
    "a gateway": (502, "text/html", PAGE),
    "hangs up": None,
    "says nothing": None,
    "nobody": None,
}


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody signed, with its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elsewhere")])
    now = datetime.datetime.now(datetime.UTC)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
            .sign(key, hashes.SHA256()))  # fmt: skip
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers everything with what its server has to say."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, kind, content = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass


class Silent(socketserver.BaseRequestHandler):
    """Takes a connection, and ends it at once or waits for the other to give up."""

    def handle(self) -> None:
        if self.server.answer == "says nothing":  # type: ignore[attr-defined]
            while self.request.recv(65536):
                pass


class Place(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Something at an address."""

    daemon_threads, block_on_close = True, False
    answer: Any


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def place(request: pytest.FixtureRequest, tls: Path) -> Iterator[int]:
    """The port at which something of that kind stands; with TLS for Proxmox VE, which has nothing else."""
    part, kind = request.param
    if kind == "nobody":
        with closing(socket.socket()) as taken:
            taken.bind(("127.0.0.1", 0))  # taken, and nobody listens
            yield taken.getsockname()[1]
        return
    with Place(("127.0.0.1", 0), Handler if KINDS[kind] else Silent) as server:
        server.answer = KINDS[kind] or kind
        if part in ("proxmox", "backups") and KINDS[kind]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def client(part: str, port: int) -> Any:
    """A part's real client, on whatever stands at the port."""
    address, secret = f"127.0.0.1:{port}", Secret("a-secret-of-enough")
    if part in ("proxmox", "backups"):
        proxmox = Proxmox(Connection("proxmox", "proxmox", f"https://{address}", "homelake@pve!bootstrap", secret, None, {"verify": "false"}))
        return proxmox if part == "proxmox" else Backups(proxmox, lambda name: Connection(name, name))
    if part in ("minio", "versions"):
        return (MinioServer if part == "minio" else VersionStore)(Connection("minio_admin", "minio", f"http://{address}", "root", secret))
    if part == "kafka":
        return Kafka(Connection("kafka_default", "kafka", "127.0.0.1", port=port))
    if part == "host":
        return Host(lambda _: Connection("lake_host", "ssh", "127.0.0.1", "debian", secret, port, {"host_key": "AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43}))
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
              "clusters": [{"name": "c", "cluster": {"server": f"http://{address}"}}], "users": [{"name": "u", "user": {"token": "t"}}]}  # fmt: skip
    return Kubernetes(Connection("kubernetes_default", "kubernetes", extra={"kube_config": json.dumps(config)}))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time limits of a fraction of a second."""
    monkeypatch.setattr("include.adapters.proxmox.TIMEOUT", 0.3)
    monkeypatch.setattr("include.adapters.agent.RUN_TIMEOUT", 0.3)
    monkeypatch.setattr("include.adapters.backups.PATIENCE", 0)
    monkeypatch.setattr("include.adapters.minio.server.TIMEOUT", urllib3.Timeout(connect=0.3, read=0.3))
    monkeypatch.setattr("include.adapters.kubernetes.TIMEOUT", (0.3, 0.3))
    monkeypatch.setattr("include.adapters.kafka.TIMEOUT", 0.3)
    monkeypatch.setattr("include.adapters.host.ssh.CONNECT_TIMEOUT", 0.3)


GONE = ("nobody", "hangs up", "says nothing", "a gateway")
CASES = [(part, kind) for part in READING for kind in KINDS if part != "host" or kind not in ("a list", "an empty object", "data that is null")]


@pytest.mark.parametrize("place", CASES, indirect=True, ids=lambda case: f"{case[0]}-{case[1]}")
@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_whatever_answers_nothing_is_absent(place: int, request: pytest.FixtureRequest) -> None:
    part, kind = request.node.callspec.params["place"]
    made = client(part, place)
    calls = list(READING[part].values())
    if kind == "says nothing":  # each takes its time
        calls = calls[:1]
    elif (KINDS[kind] or (0,))[0] != 200:  # who says yes to everything has taken a write; the second look shows that it was none
        calls += WRITING[part].values()
    for call in calls:
        told(partial(call, made), retry=True if kind in GONE else None)
