"""Calls about the cluster, which is one node, and about access."""

from typing import Any

from lab.pve.errors import bad_parameters, failed
from lab.pve.routes_node import node_row
from lab.pve.schema import TEXT, choice, string, vm_id
from lab.pve.server import Call, route
from lab.pve.storage import CONTENT

HIGHEST = 1_000_000  # nextid looks no further


@route("GET", "/")
async def root(call: Call) -> Any:
    """The top of the API."""
    return [{"subdir": d} for d in ("version", "cluster", "nodes", "storage", "access")]


@route("GET", "/cluster")
async def index(call: Call) -> Any:
    """The calls about the cluster."""
    return [{"name": n} for n in ("nextid", "resources", "status", "tasks")]


@route("GET", "/cluster/resources", {"type": choice("vm", "storage", "node", "sdn")})
async def resources(call: Call) -> Any:
    """Everything the caller may see, in one list."""
    kind = call.values.get("type")
    rows: list[dict[str, Any]] = []
    if kind in (None, "vm"):
        rows += [await _guest(call, i) for i in call.vms.files.ids() if call.who.may(f"/vms/{i}", "VM.Audit")]
    if kind in (None, "node"):
        rows.append(node_row(call))
    if kind in (None, "storage"):
        rows += [_storage(call, name) for name in CONTENT if call.who.may(f"/storage/{name}", "Datastore.Audit")]
    return rows


async def _guest(call: Call, vmid: int) -> dict[str, Any]:
    status = await call.vms.status(vmid)
    kept = ("vmid", "name", "status", "uptime", "cpu", "mem", "maxmem", "disk", "maxdisk", "netin", "netout", "diskread", "diskwrite", "lock", "tags")
    return {"id": f"qemu/{vmid}", "type": "qemu", "node": call.vms.settings.node, "template": status.get("template", 0), "maxcpu": status["cpus"],
            **{k: status[k] for k in kept if k in status}}  # fmt: skip


def _storage(call: Call, name: str) -> dict[str, Any]:
    status, node = call.vms.storages.status(name), call.vms.settings.node
    return {"id": f"storage/{node}/{name}", "type": "storage", "storage": name, "node": node, "status": "available", "shared": 0,
            "plugintype": status["type"], "content": status["content"], "disk": status["used"], "maxdisk": status["total"]}  # fmt: skip


@route("GET", "/cluster/nextid", {"vmid": vm_id})
async def nextid(call: Call) -> Any:
    """The first free VM id, or whether one is free."""
    taken = call.vms.files.ids()
    if (wanted := call.values.get("vmid")) is not None:
        if wanted in taken:
            raise bad_parameters({"vmid": f"VM {wanted} already exists"})
        return str(wanted)
    free = next((n for n in range(100, HIGHEST) if n not in taken), None)
    if free is None:
        raise failed(f"unable to get any free VMID in range [100, {HIGHEST}]")
    return str(free)


@route("GET", "/cluster/status", need=("/", "Sys.Audit"))
async def status(call: Call) -> Any:
    """The cluster's nodes."""
    node = call.vms.settings.node
    return [{"id": f"node/{node}", "name": node, "type": "node", "online": 1, "local": 1, "nodeid": 0, "ip": call.server.host, "level": ""}]


@route("GET", "/access")
async def access(call: Call) -> Any:
    """The calls about access."""
    return [{"subdir": "permissions"}]


@route("GET", "/access/permissions", {"path": string(r"/[\w./-]*"), "userid": TEXT})
async def permissions(call: Call) -> Any:
    """What the caller may do, by path; or another token, for an auditor of access."""
    who = call.who
    if (other := call.values.get("userid")) not in (None, who.token):
        who.need("/access", "Sys.Audit")
        known = call.server.tokens.get(other)
        if known is None:
            return {}
        who = known
    if path := call.values.get("path"):
        return {path: dict.fromkeys(sorted(who.privileges(path)), 1)}
    return who.permissions()
