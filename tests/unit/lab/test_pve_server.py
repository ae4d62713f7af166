"""How the Proxmox VE stand-in reads requests."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from lab.pve import routes_vm  # noqa: F401 (it declares the calls)
from lab.pve.auth import Tokens
from lab.pve.errors import ApiError
from lab.pve.parameters import from_body, pairs
from lab.pve.server import Server
from lab.pve.vms import Vms
from tests.unit.lab.rig import make


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("a=1&b=x%20y+z", {"a": "1", "b": "x y z"}),
        ("a=1;b=2", {"a": "1", "b": "2"}),
        ("net0=virtio=BC:24:11:00:00:01,bridge=vmbr0", {"net0": "virtio"}),  # not encoded, what follows the second `=` is lost
        ("net0=virtio%3DBC%3A24%3A11", {"net0": "virtio=BC:24:11"}),
        ("scsi0=local-lvm%3A1%2Cssd%3D1%3Bx", {"scsi0": "local-lvm:1,ssd=1;x"}),
        ("a=1&a=2&a=3", {"a": ["1", "2", "3"]}),
        ("name=&tags&x=1", {"name": None, "tags": None, "x": "1"}),
        ("a==b", {"a": ""}),
        ("a=%C3%A4&b=%FF", {"a": "ä", "b": "\N{REPLACEMENT CHARACTER}"}),
    ],
)
def test_pairs_of_a_form(text: str, given: dict[str, Any]) -> None:
    assert pairs(text) == given


def test_bodies() -> None:
    assert from_body("POST", "", b"a=1") == from_body("PUT", "application/x-www-form-urlencoded; charset=UTF-8", b"a=1") == {"a": "1"}
    assert from_body("PUT", "application/json;charset=UTF-8", b'{"a": 1, "b": true, "c": null, "d": ""}') == {"a": "1", "b": True, "c": None, "d": ""}


@pytest.mark.parametrize(("method", "kind", "body", "status", "message"), [
    ("POST", "multipart/form-data; boundary=x", b"--x", 506, "upload 'Content-Type 'multipart/form-data; boundary=x' not implemented"),
    ("PUT", "text/plain", b"a=1", 506, "upload 'Content-Type 'text/plain' not implemented"),
    ("DELETE", "", b"a=1", 501, "Unexpected content for method 'DELETE'"),
    ("POST", "application/json", b"{no", 500, "malformed JSON string"),
])  # fmt: skip
def test_bodies_that_the_api_does_not_read(method: str, kind: str, body: bytes, status: int, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        from_body(method, kind, body)
    assert (caught.value.status, caught.value.message) == (status, message)


CONFIG, TOKEN = "/api2/json/nodes/pve/qemu/100/config", {"Authorization": "PVEAPIToken=root@pam!lab=s"}


@pytest.mark.parametrize(("method", "path", "headers", "body", "status", "reason"), [
    ("PUT", CONFIG + "?name=by-query", TOKEN, {"data": {"name": "by-body"}}, 200, "OK"),
    ("PUT", CONFIG + "?description=a%26b%3Dc;name=by-query", TOKEN, {}, 200, "OK"),
    ("GET", "/api2//json//nodes/pve///qemu/100//config", TOKEN, {}, 200, "OK"),
    ("PUT", CONFIG, TOKEN, {"data": b"name=x", "headers": {"Content-Type": "text/plain"}}, 506, "upload 'Content-Type 'text/plain' not implemented"),
    ("PUT", CONFIG, TOKEN, {"data": {"name": ""}}, 500, "no options specified"),
    ("PUT", CONFIG, TOKEN, {"json": {"onboot": "yes"}}, 400, "Parameter verification failed."),
    ("POST", "/api2/json/access/ticket", {}, {"data": {"username": "root@pam"}}, 501, "a login without an API token is not covered by this stand-in"),
    ("GET", "/api2/json/nothing", TOKEN, {}, 501, "Method 'GET /nothing' not implemented"),
])  # fmt: skip
def test_a_request_from_end_to_end(
    vms: Vms, tmp_path: Path, method: str, path: str, headers: dict[str, str], body: dict[str, Any], status: int, reason: str
) -> None:
    (tmp_path / "tokens").write_text(json.dumps({"root@pam!lab": {"sha256": hashlib.sha256(b"s").hexdigest(), "acl": {}}}))

    async def act() -> tuple[int, str | None]:
        await make(vms, 100, name="before")
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", Server(vms, Tokens(tmp_path / "tokens"), "192.0.2.1", tmp_path / "pve.pem").handle)
        async with TestClient(TestServer(app)) as client:
            given = body | {"headers": headers | body.get("headers", {})}
            answer = await client.request(method, URL(path, encoded=True), **given)  # type: ignore[arg-type]
            return answer.status, answer.reason

    assert asyncio.run(act()) == (status, reason)
    written = vms.files.read(100).current
    assert written["name"] == ("by-query" if "by-query" in path else "before")
    assert written.get("description") == ("a&b=c" if "description" in path else None)
