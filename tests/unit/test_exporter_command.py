"""`./lake exporter` as a Prometheus asks it."""

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from include import arguments
from include.adapters.metrics.collector import Collector
from include.commands import exporter as command
from include.commands.exporter import address, handler, serving
from tests.unit.test_cli import run
from tests.unit.test_top_command import Recording


@pytest.fixture
def looking() -> Collector:
    return Collector(Recording())


@pytest.fixture
def server(looking: Collector) -> Iterator[ThreadingHTTPServer]:
    with serving("127.0.0.1", 0, handler(looking)) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def url(server: ThreadingHTTPServer, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_a_scrape_gets_the_newest_sweep_and_nothing_else_is_there(looking: Collector, server: ThreadingHTTPServer) -> None:
    looking.sweep()
    with urllib.request.urlopen(url(server, "/metrics"), timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert 'homelake_spark_application_phase{application="payments-stream"' in answer.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(url(server, "/"), timeout=10)


def test_before_the_first_sweep_a_scrape_fails(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "FIRST", 0.1)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(url(server, "/metrics"), timeout=10)


def test_who_goes_before_the_answer_leaves_no_trace(looking: Collector, server: ThreadingHTTPServer, capfd: pytest.CaptureFixture[str]) -> None:
    looking.sweep()
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.server_port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # a reset, at once
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    urllib.request.urlopen(url(server, "/metrics"), timeout=10).close()
    assert capfd.readouterr().err == ""


def test_addresses() -> None:
    assert address("127.0.0.1:9109") == ("127.0.0.1", 9109)
    assert address("[::1]:0") == ("::1", 0)
    assert address("lake.example.org:80") == ("lake.example.org", 80)


@pytest.mark.parametrize("text", ["9109", ":9109", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:65536", "::1:9109", "[]:9109"])
def test_an_address_that_is_none_is_told(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "exporter", "--listen", text)
    assert code == 1
    assert err == f"Unable to listen at {text}: that is no ADDRESS:PORT. Write it as 127.0.0.1:9109, or [::1]:9109.\n"


@pytest.fixture
def served(looking: Collector, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The command, ended by Ctrl-C as soon as it serves; where it listened."""
    found: list[tuple[str, int]] = []

    def ends(server: ThreadingHTTPServer) -> None:
        found.append(server.server_address[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "collector", lambda *_, **__: looking)
    monkeypatch.setattr(command, "Clients", lambda *_: SimpleNamespace(connections=None, close=lambda: None))
    monkeypatch.setattr(command, "command_line_connections", lambda: None)
    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", ends)
    return found


def test_it_listens_where_it_is_told_and_ctrl_c_is_its_end(served: list[tuple[str, int]], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "exporter", "--listen", "127.0.0.1:0")
    ((host, port),) = served
    assert (code, host) == (0, "127.0.0.1")
    assert out == f"http://127.0.0.1:{port}/metrics  (Ctrl-C ends it)\n"


def test_without_a_word_it_listens_on_this_machine_alone() -> None:
    assert address(arguments.parser().parse_args(["exporter"]).listen) == ("127.0.0.1", 9109)


def test_a_port_that_is_taken_is_told(served: list[tuple[str, int]], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        code, _, err = run(capsys, "exporter", "--listen", where)
    assert code == 1
    assert err.startswith(f"Unable to listen at {where}: Address already in use.")
