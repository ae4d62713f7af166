"""Calls to the guest's agent."""

import base64
import json
from typing import Any

from lab.pve.errors import ApiError
from lab.pve.schema import TEXT, boolean, integer
from lab.pve.server import VM, Call, route

_AGENT = ("VM.Monitor",)


@route("POST", VM + "/agent/exec", {"command": TEXT, "input-data": TEXT}, ("command",))
async def agent_exec(call: Call) -> Any:
    """Start a program in the guest."""
    call.need(*_AGENT)
    text = call.values["command"]
    words = json.loads(text) if text.startswith("[") else [text]
    arguments: dict[str, Any] = {"path": words[0], "arg": words[1:], "capture-output": True}
    if data := call.values.get("input-data"):
        arguments["input-data"] = base64.b64encode(data.encode()).decode()
    return await call.vms.machine(call.vmid).agent("guest-exec", arguments)


@route("GET", VM + "/agent/exec-status", {"pid": integer(1)}, ("pid",))
async def agent_exec_status(call: Call) -> Any:
    """How a program in the guest ended."""
    call.need(*_AGENT)
    answer = await call.vms.machine(call.vmid).agent("guest-exec-status", {"pid": call.values["pid"]})
    for key in ("out-data", "err-data"):
        if key in answer:
            answer[key] = base64.b64decode(answer[key]).decode(errors="replace")
    return answer | {"exited": int(answer["exited"])}


@route("GET", VM + "/agent/file-read", {"file": TEXT}, ("file",))
async def agent_file_read(call: Call) -> Any:
    """Read a file of the guest (at most 16 MiB)."""
    call.need(*_AGENT)
    machine = call.vms.machine(call.vmid)
    handle = await machine.agent("guest-file-open", {"path": call.values["file"], "mode": "rb"})
    try:
        answer = await machine.agent("guest-file-read", {"handle": handle, "count": 16 << 20})
    finally:
        await machine.agent("guest-file-close", {"handle": handle})
    content = base64.b64decode(answer["buf-b64"])
    return {"content": content.decode(errors="replace"), "bytes-read": len(content)}


@route("POST", VM + "/agent/file-write", {"file": TEXT, "content": TEXT, "encode": boolean}, ("file", "content"))
async def agent_file_write(call: Call) -> Any:
    """Write a file of the guest."""
    call.need(*_AGENT)
    machine, text = call.vms.machine(call.vmid), call.values["content"]
    data = text if call.values.get("encode") == 0 else base64.b64encode(text.encode()).decode()
    handle = await machine.agent("guest-file-open", {"path": call.values["file"], "mode": "wb"})
    try:
        await machine.agent("guest-file-write", {"handle": handle, "buf-b64": data})
    finally:
        await machine.agent("guest-file-close", {"handle": handle})


_READ = {"network-get-interfaces", "get-osinfo", "get-fsinfo", "get-host-name", "get-time", "get-timezone", "get-users", "get-vcpus",
         "get-memory-blocks", "info"}  # fmt: skip
_WRITE = {"ping", "fsfreeze-freeze", "fsfreeze-thaw", "fsfreeze-status", "fstrim", "shutdown"}


async def _agent(call: Call, command: str) -> Any:
    call.need(*_AGENT, "VM.Audit") if command in _READ else call.need(*_AGENT)
    result = await call.vms.machine(call.vmid).agent(f"guest-{command}", timeout=5)
    return {"result": result}


@route("GET", VM + "/agent/{command}")
async def agent_get(call: Call) -> Any:
    """Ask the guest's agent."""
    if call.path["command"] not in _READ:
        raise ApiError(501, f"Method 'GET /nodes/{call.path['node']}/qemu/{call.vmid}/agent/{call.path['command']}' not implemented")
    return await _agent(call, call.path["command"])


@route("POST", VM + "/agent/{command}")
async def agent_post(call: Call) -> Any:
    """Tell the guest's agent."""
    if call.path["command"] not in _READ | _WRITE:
        raise ApiError(501, f"Method 'POST /nodes/{call.path['node']}/qemu/{call.vmid}/agent/{call.path['command']}' not implemented")
    return await _agent(call, call.path["command"])


@route("POST", VM + "/agent", {"command": TEXT}, ("command",))
async def agent_any(call: Call) -> Any:
    """Tell the guest's agent, the command as a parameter."""
    return await _agent(call, call.values["command"])
