"""The HTTPS server: finds the call, knows the caller, checks the parameters, words the errors."""

import asyncio
import json
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.pve.auth import Tokens, Who
from lab.pve.errors import ApiError, bad_parameters
from lab.pve.schema import Check, verify
from lab.pve.tasks import Task
from lab.pve.vms import Vms

VM = "/nodes/{node}/qemu/{vmid}"


@dataclass
class Call:
    """One call: who made it, what the path holds, the checked parameters."""

    vms: Vms
    who: Who
    path: dict[str, str]
    values: dict[str, Any]

    @property
    def vmid(self) -> int:
        """The VM the path names."""
        return int(self.path["vmid"])

    def need(self, *privileges: str) -> None:
        """Raise unless the caller has one of the privileges on the VM, and there is such a VM."""
        self.who.need(f"/vms/{self.vmid}", *privileges)
        self.vms.files.read(self.vmid)

    def task(self, kind: str, work: Callable[[Task], Awaitable[None]], vmid: int | None = None) -> str:
        """Run `work` as a task that has the VM for itself; returns its UPID."""
        vmid = vmid or self.vmid

        async def locked(task: Task) -> None:
            async with self.vms.lock(vmid):
                await work(task)

        return self.vms.tasks.start(kind, vmid, self.who.token, locked)


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Route:
    """A call of the API."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    parameters: dict[str, Check]
    required: tuple[str, ...]
    config: bool


ROUTES: list[Route] = []


def route(method: str, path: str, parameters: dict[str, Check] | None = None, required: tuple[str, ...] = (), *,
          config: bool = False) -> Callable[[Handler], Handler]:  # fmt: skip
    """Declare a call. In `path`, `{name}` is a part of it; with `config` it takes a VM's configuration parameters too."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))

    def add(handler: Handler) -> Handler:
        ROUTES.append(Route(method, pattern, handler, parameters or {}, required, config))
        return handler

    return add


class Server:
    """Serves `/api2/json` (and `/api2/extjs`) for one node."""

    def __init__(self, vms: Vms, tokens: Tokens, access_log: Path) -> None:
        self.vms, self.tokens, self.access_log = vms, tokens, access_log

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request, and write a line about it: time, token, method, path, status."""
        token, status, began = "-", 200, time.monotonic()
        body: dict[str, Any] = {}
        reason = "OK"
        try:
            path = request.path
            for prefix in ("/api2/json", "/api2/extjs"):
                path = path.removeprefix(prefix)
            if not request.path.startswith("/api2/"):
                raise ApiError(501, f"no such file '{request.path}'")
            who = self.tokens.who(request.headers.get("Authorization"))
            token = who.token
            body["data"] = await self.dispatch(request, path.rstrip("/") or "/", who)
        except ApiError as error:
            status, reason = error.status, re.sub(r"\s+", " ", error.message)
            body = {"data": None, "message": f"{error.message}\n"} | ({"errors": error.errors} if error.errors else {})
            if status == 401:
                await asyncio.sleep(3)  # as the real one, against guessing
        with open(self.access_log, "a") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {token} {request.method} {request.path} {status} {time.monotonic() - began:.3f}\n")
        return web.Response(status=status, reason=reason[:500], text=json.dumps(body), content_type="application/json", charset="UTF-8")

    async def dispatch(self, request: web.Request, path: str, who: Who) -> Any:
        """Find the call and run it."""
        for known in ROUTES:
            if known.method == request.method and (match := known.pattern.fullmatch(path)):
                given = await _parameters(request)
                parts = match.groupdict()
                if "node" in parts and parts["node"] not in (self.vms.settings.node, "localhost"):
                    raise ApiError(500, f"hostname lookup '{parts['node']}' failed - failed to get address info for: {parts['node']}: "
                                        "Name or service not known")  # fmt: skip
                if "vmid" in parts and not re.fullmatch(r"[1-9]\d{2,8}", parts["vmid"]):
                    raise bad_parameters({"vmid": f"type check ('integer') failed - got '{parts['vmid']}'"})
                values = verify(given, known.parameters, known.required, config=known.config)
                return await known.handler(Call(self.vms, who, parts, values))
        raise ApiError(501, f"Method '{request.method} {path}' not implemented")


async def _parameters(request: web.Request) -> dict[str, str]:
    given = {k: str(v) for k, v in request.query.items()}
    if request.method in ("POST", "PUT", "DELETE") and request.can_read_body:
        if request.content_type == "application/json":
            try:
                content = json.loads(await request.text() or "{}")
            except ValueError:
                raise ApiError(400, "Bad Request: the body is not JSON") from None
            if not isinstance(content, dict):
                raise ApiError(400, "Bad Request: the body is not an object")
            for key, value in content.items():
                given[key] = str(int(value)) if isinstance(value, bool) else json.dumps(value) if isinstance(value, (list, dict)) else str(value)
        else:
            form = await request.post()
            for key in form:
                found = [str(v) for v in form.getall(key)]
                given[key] = found[0] if len(found) == 1 else json.dumps(found)
    return given


async def serve(vms: Vms, tokens: Tokens, host: str, port: int, cert: Path, key: Path) -> None:
    """Serve until cancelled."""
    from lab.pve import routes_agent, routes_cluster, routes_copies, routes_power, routes_snapshot, routes_storage, routes_vm  # noqa: F401 (they declare the calls)

    server = Server(vms, tokens, vms.settings.state / "access.log")
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{tail:.*}", server.handle)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=context).start()
    print(f"serving https://{host}:{port}/api2/json", flush=True)
    await asyncio.Event().wait()
