"""Calls about tasks."""

from typing import Any

from lab.pve.auth import Who
from lab.pve.errors import failed
from lab.pve.schema import TEXT, Check, boolean, choice, integer, names, vm_id
from lab.pve.server import Call, route
from lab.pve.tasks import Task

TASKS = "/nodes/{node}/tasks"
_FILTERS: dict[str, Check] = {"vmid": vm_id, "start": integer(0), "limit": integer(0), "errors": boolean, "source": choice("archive", "active", "all"),
                              "typefilter": TEXT, "userfilter": TEXT, "since": integer(), "until": integer(), "statusfilter": names}  # fmt: skip


def _row(task: Task) -> dict[str, Any]:
    parts, (user, _, token) = task.upid.split(":"), task.user.partition("!")
    row: dict[str, Any] = {"upid": task.upid, "node": task.node, "pid": int(parts[2], 16), "pstart": int(parts[3], 16), "starttime": task.starttime,
                           "type": task.type, "id": task.id, "user": user}  # fmt: skip
    return row | ({"tokenid": token} if token else {})


def _own(task: Task, who: Who) -> bool:
    return who.token in (task.user, task.user.partition("!")[0])


def _kind(task: Task) -> str:
    status = task.exitstatus or "unknown"
    return {"OK": "ok", "unexpected status": "unknown", "unknown": "unknown"}.get(status, "warning" if status.startswith("WARNINGS") else "error")


def _wanted(task: Task, wanted: dict[str, Any]) -> bool:
    source = wanted.get("source", "archive")
    kinds = ("warning", "error", "unknown") if wanted.get("errors") else [k.lower() for k in wanted.get("statusfilter", ())] or (_kind(task),)
    return (source == "all" or (source == "active") == (task.exitstatus is None)) and _kind(task) in kinds \
        and wanted.get("userfilter", "").lower() in task.user.lower() and wanted.get("typefilter", task.type) == task.type \
        and str(wanted.get("vmid", task.id)) == task.id and wanted.get("since", 0) <= task.starttime <= wanted.get("until", task.starttime)  # fmt: skip


@route("GET", TASKS, _FILTERS)
async def tasks(call: Call) -> Any:
    """The finished tasks, newest first, or with `source` the running ones: the caller's own, or all for an auditor."""
    auditor = call.who.may(f"/nodes/{call.path['node']}", "Sys.Audit")
    found = [t for t in reversed(call.vms.tasks.known.values()) if (auditor or _own(t, call.who)) and _wanted(t, call.values)]
    call.total, start = len(found), call.values.get("start", 0)
    return [_row(t) | ({"status": "RUNNING"} if t.exitstatus is None else {"endtime": t.endtime, "status": t.exitstatus})
            for t in found[start : start + call.values.get("limit", 50)]]  # fmt: skip


@route("GET", "/cluster/tasks")
async def recent(call: Call) -> Any:
    """The latest tasks of the caller, or of all for an auditor."""
    auditor = call.who.may("/", "Sys.Audit")
    found = [t for t in reversed(call.vms.tasks.known.values()) if auditor or _own(t, call.who)][:25]
    return [_row(t) | ({} if t.exitstatus is None else {"endtime": t.endtime, "status": t.exitstatus}) for t in found]


def _task(call: Call, privilege: str = "Sys.Audit") -> Task:
    task = call.vms.tasks.get(call.path["upid"])
    if not _own(task, call.who):
        call.who.need(f"/nodes/{call.path['node']}", privilege)
    return task


@route("GET", TASKS + "/{upid}")
async def index(call: Call) -> Any:
    """The calls under a task."""
    return [{"name": "log"}, {"name": "status"}]


@route("GET", TASKS + "/{upid}/status")
async def status(call: Call) -> Any:
    """Whether a task runs, and how it ended."""
    task = _task(call)
    return _row(task) | ({"status": "running"} if task.exitstatus is None else {"status": "stopped", "exitstatus": task.exitstatus})


@route("GET", TASKS + "/{upid}/log", {"start": integer(0), "limit": integer(0), "download": boolean})
async def log(call: Call) -> Any:
    """What a task said, line by line."""
    if call.values.get("download"):
        raise failed("download of a task's log is not covered by this stand-in")
    lines, start, limit = _task(call).log, call.values.get("start", 0), call.values.get("limit", 50)
    call.total = len(lines)
    shown = list(enumerate(lines, 1))[start : start + limit if limit else None]
    return [{"n": n, "t": text} for n, text in shown or ([] if lines else [(1, "no content")])]


@route("DELETE", TASKS + "/{upid}")
async def stop(call: Call) -> Any:
    """End a running task."""
    call.vms.tasks.stop(_task(call, "Sys.Modify").upid)
