"""The HTTPS server: finds the call, knows the caller, checks the parameters, words the errors."""

import asyncio
import json
import re
import ssl
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.pve.auth import Tokens, Who
from lab.pve.errors import ApiError, bad_parameters, not_covered
from lab.pve.options import option_check
from lab.pve.parameters import parameters
from lab.pve.schema import Check, verify, vm_id
from lab.pve.tasks import Task
from lab.pve.vms import Vms

VM, VM_PATH = "/nodes/{node}/qemu/{vmid}", "/vms/{vmid}"
FORMATS = ("json", "extjs")  # extjs: always 200, and `success` says how it went
LOGIN = {("POST", "/access/ticket"), ("GET", "/access/domains")}  # what the real one answers to whoever has no token


@dataclass
class Call:
    """One call: who made it, what the path holds, the checked parameters. `total`: of how many rows the answer is a part."""

    server: "Server"
    who: Who
    path: dict[str, str]
    values: dict[str, Any]
    total: int | None = None

    @property
    def vms(self) -> Vms:
        """The node's VMs."""
        return self.server.vms

    @property
    def vmid(self) -> int:
        """The VM the path names."""
        return int(self.path["vmid"])

    def task(self, kind: str, work: Callable[[Task], Awaitable[None]], subject: object = None) -> str:
        """Run `work` as a task in the caller's name; returns its UPID."""
        return self.vms.tasks.start(kind, self.vmid if subject is None else subject, self.who.token, work)


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Route:
    """A call of the API; `path` is as it was declared. `need`: a path and the privileges of which the caller must have one there; checked before anything else."""

    method: str
    path: str
    pattern: re.Pattern[str]
    handler: Handler
    parameters: dict[str, Check]
    required: tuple[str, ...]
    need: tuple[str, ...]
    config: bool


ROUTES: list[Route] = []


def route(method: str, path: str, parameters: dict[str, Check] | None = None, required: tuple[str, ...] = (), *,
          need: tuple[str, ...] = (), config: bool = False) -> Callable[[Handler], Handler]:  # fmt: skip
    """Declare a call. In `path`, `{name}` is a part of it; with `config` it takes a VM's settings too."""
    slashes = path.replace("/", "/+")  # doubled ones are one, but for those inside a volume's id
    pattern = re.compile(re.sub(r"\{(\w+)\}", lambda m: f"(?P<{m[1]}>{'.+' if m[1] == 'volume' else '[^/]+'})", slashes))

    def add(handler: Handler) -> Handler:
        ROUTES.append(Route(method, path, pattern, handler, parameters or {}, required, need, config))
        return handler

    return add


class Server:
    """Serves `/api2/json` and `/api2/extjs` for one node, at `host` with the certificate `cert`."""

    def __init__(self, vms: Vms, tokens: Tokens, host: str, cert: Path) -> None:
        self.vms, self.tokens, self.host, self.cert = vms, tokens, host, cert
        self.access_log = vms.settings.state / "access.log"

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request, and write a line about it: time, token, method, path, status, seconds."""
        began, token = time.monotonic(), "-"
        form, _, rest = request.path.removeprefix("/api2/").lstrip("/").partition("/")
        body: dict[str, Any] | None = None
        status, reason = 200, "OK"
        try:
            if not request.path.startswith("/api2/"):
                raise ApiError(501, f"no such file '{request.path}'")
            if form not in FORMATS:
                raise ApiError(501, f"no formatter for uri /{rest}, {form}")
            if (request.method, f"/{rest}") in LOGIN:
                body = {"data": None}
                raise not_covered("a login without an API token")
            who = self.tokens.who(request.headers.get("Authorization"))
            token = who.token
            body = {"data": None}
            body = await self.call(request.method, "/" + rest.rstrip("/"), who, lambda: parameters(request))
        except ApiError as error:
            status, reason = error.status, error.message
            if body is not None:
                body |= {"message": f"{error.message}\n"} | ({"errors": error.errors} if error.errors else {})
            if status == 401:
                await asyncio.sleep(3)  # as the real one, against guessing
        except Exception as error:  # a fault of the stand-in's own: its log has where
            traceback.print_exc()
            status, reason = 500, f"{type(error).__name__}: {error}"
            body = {"data": None, "message": f"{reason}\n"}
        self.record(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {token} {request.method} {request.path} {status} {time.monotonic() - began:.3f}\n")
        if form == "extjs" and body is not None:
            body |= {"success": int(status == 200)} | ({"status": status} if status != 200 else {})
            status, reason = 200, "OK"
        reason = re.sub(r"\s+", " ", reason).strip()[:500].encode("ascii", "replace").decode()
        headers = {"Server": "pve-api-daemon/3.0", "Cache-Control": "max-age=0", "Pragma": "no-cache"}
        if body is None:
            return web.Response(status=status, reason=reason, headers=headers)
        return web.Response(status=status, reason=reason, headers=headers, text=json.dumps(body), content_type="application/json", charset="UTF-8")

    def record(self, line: str) -> None:
        """Add a line to the access log."""
        with open(self.access_log, "a") as log:
            log.write(line)

    async def call(self, method: str, path: str, who: Who, read: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Find the call and run it; `read` gives its parameters."""
        for known in ROUTES:
            if known.method == method and (match := known.pattern.fullmatch(path)):
                parts = match.groupdict()
                given = await read()
                for name in given.keys() & parts.keys():
                    if str(given.pop(name)) != parts[name]:
                        raise bad_parameters({name: "duplicate parameter (already defined in URI) with conflicting values!"})
                if known.need:
                    who.need(known.need[0].format(**parts), *known.need[1:])
                self._check_node(parts.get("node"))
                path_checks: dict[str, Check] = {"vmid": vm_id} if "vmid" in parts else {}
                given |= {name: parts[name] for name in path_checks}
                further = option_check if known.config else lambda name: None
                values = verify(given, known.parameters | path_checks, known.required, further)
                for name in path_checks:
                    values.pop(name)
                call = Call(self, who, parts, values)
                data = await known.handler(call)
                return {"data": data} | ({} if call.total is None else {"total": call.total})
        raise ApiError(501, f"Method '{method} {path}' not implemented")

    def _check_node(self, node: str | None) -> None:
        if node not in (None, "localhost", self.vms.settings.node):
            raise ApiError(500, f"hostname lookup '{node}' failed - failed to get address info for: {node}: Name or service not known")


async def serve(vms: Vms, tokens: Tokens, host: str, port: int, cert: Path, key: Path) -> None:
    """Serve until cancelled."""
    from lab.pve import (  # noqa: F401 (they declare the calls)
        routes_agent,
        routes_backup,
        routes_cluster,
        routes_copies,
        routes_node,
        routes_power,
        routes_snapshot,
        routes_storage,
        routes_tasks,
        routes_vm,
    )

    server = Server(vms, tokens, host, cert)
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{tail:.*}", server.handle)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=context).start()
    print(f"serving https://{host}:{port}/api2/json", flush=True)
    await asyncio.Event().wait()
