"""Failed connections, told in a few words, from the errors that the libraries really raise."""

import socket
from collections.abc import Callable

import paramiko
import pytest
import requests
import urllib3

from include.adapters.network import network_cause


@pytest.fixture
def nobody() -> int:
    """A port of loopback where nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def by_ssh(port: int) -> object:
    client = paramiko.SSHClient()
    return client.connect("127.0.0.1", port, username="x", timeout=5, allow_agent=False, look_for_keys=False)


@pytest.mark.parametrize(
    "call",
    [
        lambda port: requests.get(f"http://127.0.0.1:{port}/", timeout=5),
        lambda port: urllib3.PoolManager(retries=False).request("GET", f"http://127.0.0.1:{port}/"),
        by_ssh,
        lambda port: socket.create_connection(("127.0.0.1", port)),
    ],
    ids=["requests", "urllib3", "paramiko", "socket"],
)
def test_nobody_there(nobody: int, call: Callable[[int], object]) -> None:
    with pytest.raises(Exception) as caught:
        call(nobody)
    assert network_cause(caught.value) == "connection refused"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (requests.ConnectTimeout("HTTPConnectionPool(…): Max retries exceeded (Caused by ConnectTimeoutError(…, 'Connection to h timed out'))"), "timed out"),
        (OSError(113, "No route to host"), "no route to host"),
        (ValueError("first\nsecond"), "first"),
        (ValueError(), "ValueError"),
        (ValueError("x" * 999), "x" * 200),
    ],
)
def test_others(error: Exception, cause: str) -> None:
    assert network_cause(error) == cause
