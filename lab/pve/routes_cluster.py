"""Calls about the node, the cluster, access and tasks."""

import os
import time
from typing import Any

from lab.pve.errors import ApiError, denied
from lab.pve.schema import TEXT, boolean, integer, string
from lab.pve.server import Call, route
from lab.pve.tasks import Task

VERSION = {"release": "8.4", "version": "8.4.1", "repoid": "2a5fa54a8503f96d"}


def _memory() -> dict[str, int]:
    with open("/proc/meminfo") as file:
        rows = {k: int(v.split()[0]) * 1024 for k, v in (line.split(":") for line in file)}
    return {"total": rows["MemTotal"], "free": rows["MemAvailable"], "used": rows["MemTotal"] - rows["MemAvailable"]}


def _uptime() -> int:
    with open("/proc/uptime") as file:
        return int(float(file.read().split()[0]))


@route("GET", "/version")
async def version(call: Call) -> Any:
    """The version of the API."""
    return VERSION


@route("GET", "/nodes")
async def nodes(call: Call) -> Any:
    """The nodes; figures only for who may see them."""
    node = call.vms.settings.node
    row: dict[str, Any] = {"node": node, "type": "node", "id": f"node/{node}", "status": "online", "ssl_fingerprint": "", "level": ""}
    if call.who.may(f"/nodes/{node}", "Sys.Audit"):
        memory = _memory()
        row |= {"maxcpu": os.cpu_count(), "cpu": os.getloadavg()[0] / (os.cpu_count() or 1), "mem": memory["used"], "maxmem": memory["total"],
                "uptime": _uptime()}  # fmt: skip
    return [row]


@route("GET", "/nodes/{node}/status")
async def node_status(call: Call) -> Any:
    """The node's figures."""
    call.who.need(f"/nodes/{call.path['node']}", "Sys.Audit")
    return {"memory": _memory(), "uptime": _uptime(), "loadavg": [f"{x:.2f}" for x in os.getloadavg()], "pveversion": "pve-manager/8.4.1/2a5fa54a8503f96d",
            "cpuinfo": {"cpus": os.cpu_count()}, "kversion": " ".join(os.uname()[i] for i in (0, 2))}  # fmt: skip


@route("GET", "/nodes/{node}/version")
async def node_version(call: Call) -> Any:
    """The node's version."""
    return VERSION


@route("GET", "/cluster/resources", {"type": TEXT})
async def resources(call: Call) -> Any:
    """Everything the caller may see, in one list."""
    node, kind = call.vms.settings.node, call.values.get("type")
    rows: list[dict[str, Any]] = []
    if kind in (None, "vm"):
        for vmid in call.vms.files.ids():
            if call.who.may(f"/vms/{vmid}", "VM.Audit"):
                status = await call.vms.status(vmid)
                rows.append(status | {"id": f"qemu/{vmid}", "type": "qemu", "node": node, "template": status.get("template", 0)})
    if kind in (None, "node"):
        rows += [r | {"node": node} for r in await nodes(call)]
    if kind in (None, "storage"):
        for name in ("local", "local-lvm"):
            if call.who.may(f"/storage/{name}", "Datastore.Audit", "Datastore.AllocateSpace"):
                status = call.vms.storages.status(name)
                rows.append({"id": f"storage/{node}/{name}", "type": "storage", "storage": name, "node": node, "status": "available", "shared": 0,
                             "plugintype": status["type"], "content": status["content"], "disk": status["used"], "maxdisk": status["total"]})  # fmt: skip
    return rows


@route("GET", "/cluster/nextid", {"vmid": integer(100, 999_999_999)})
async def nextid(call: Call) -> Any:
    """The first free VM id, or whether one is free."""
    taken = call.vms.files.ids()
    if (wanted := call.values.get("vmid")) is not None:
        if wanted in taken:
            raise ApiError(400, "Parameter verification failed.", {"vmid": f"VM {wanted} already exists"})
        return str(wanted)
    return str(next(n for n in range(100, 1_000_000_000) if n not in taken))


@route("GET", "/cluster/status")
async def cluster_status(call: Call) -> Any:
    """The cluster, which is this node."""
    call.who.need("/", "Sys.Audit")
    node = call.vms.settings.node
    return [{"id": f"node/{node}", "name": node, "type": "node", "online": 1, "local": 1, "nodeid": 0, "level": ""}]


@route("GET", "/access/permissions", {"path": string(r"/.*"), "userid": TEXT})
async def permissions(call: Call) -> Any:
    """What the caller may do, by path."""
    if path := call.values.get("path"):
        return {path: dict.fromkeys(sorted(call.who.privileges(path)), 1)}
    return {path: dict.fromkeys(privileges, 1) for path, privileges in call.who.acl.items() if privileges}


def _row(task: Task) -> dict[str, Any]:
    parts = task.upid.split(":")
    row: dict[str, Any] = {"upid": task.upid, "node": task.node, "pid": int(parts[2], 16), "pstart": int(parts[3], 16),
                           "starttime": task.starttime, "type": task.type, "id": task.id, "user": task.user.partition("!")[0]}  # fmt: skip
    if "!" in task.user:
        row["tokenid"] = task.user.partition("!")[2]
    return row


@route("GET", "/nodes/{node}/tasks", {"vmid": integer(100), "start": integer(0), "limit": integer(0), "errors": boolean, "source": TEXT,
                                      "typefilter": TEXT, "userfilter": TEXT, "since": integer(), "until": integer(), "statusfilter": TEXT})  # fmt: skip
async def tasks(call: Call) -> Any:
    """The tasks, newest first: the caller's own, or all for an auditor."""
    auditor = call.who.may(f"/nodes/{call.path['node']}", "Sys.Audit")
    rows = []
    for task in sorted(call.vms.tasks.known.values(), key=lambda t: t.starttime, reverse=True):
        if not auditor and task.user.partition("!")[0] != call.who.user:
            continue
        if (vmid := call.values.get("vmid")) and task.id != str(vmid):
            continue
        if (kind := call.values.get("typefilter")) and task.type != kind:
            continue
        row = _row(task)
        if task.exitstatus is not None:
            row |= {"endtime": task.endtime, "status": task.exitstatus}
        if call.values.get("errors") and row.get("status") in (None, "OK"):
            continue
        if call.values.get("source") == "active" and "endtime" in row:
            continue
        rows.append(row)
    start = call.values.get("start", 0)
    return rows[start : start + call.values.get("limit", 50)]


def _task(call: Call) -> Task:
    task = call.vms.tasks.get(call.path["upid"])
    if task.user.partition("!")[0] != call.who.user and not call.who.may(f"/nodes/{call.path['node']}", "Sys.Audit"):
        raise denied(f"/nodes/{call.path['node']}", "Sys.Audit")
    return task


@route("GET", "/nodes/{node}/tasks/{upid}/status")
async def task_status(call: Call) -> Any:
    """Whether a task runs, and how it ended."""
    task = _task(call)
    row = _row(task) | {"status": "running" if task.exitstatus is None else "stopped"}
    return row if task.exitstatus is None else row | {"exitstatus": task.exitstatus}


@route("GET", "/nodes/{node}/tasks/{upid}/log", {"start": integer(0), "limit": integer(0), "download": boolean})
async def task_log(call: Call) -> Any:
    """What a task said, line by line."""
    lines = _task(call).log or ["no content"]
    start, limit = call.values.get("start", 0), call.values.get("limit", 50)
    return [{"n": n + 1, "t": text} for n, text in list(enumerate(lines))[start : start + limit if limit else None]]


@route("DELETE", "/nodes/{node}/tasks/{upid}")
async def task_stop(call: Call) -> Any:
    """End a running task."""
    call.vms.tasks.stop(_task(call).upid)


@route("GET", "/nodes/{node}/time")
async def node_time(call: Call) -> Any:
    """The node's clock."""
    return {"time": int(time.time()), "localtime": int(time.time()), "timezone": "UTC"}
