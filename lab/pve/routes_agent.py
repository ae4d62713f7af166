"""Calls to the guest's agent."""

import base64
from typing import Any

from lab.pve.errors import GuestError, failed
from lab.pve.properties import agent_enabled
from lab.pve.schema import TEXT, boolean, choice, integer, string, words
from lab.pve.server import VM, VM_PATH, Call, route

AGENT, NEED = VM + "/agent", (VM_PATH, "VM.Monitor")
MOST_READ = 16 << 20  # bytes of a file
READ = ("get-fsinfo", "get-host-name", "get-memory-block-info", "get-memory-blocks", "get-osinfo", "get-time", "get-timezone", "get-users", "get-vcpus",
        "info", "network-get-interfaces")  # fmt: skip
WRITE = ("fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim", "ping", "shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram")


async def _ask(call: Call, command: str, arguments: dict[str, object] | None = None) -> Any:
    config = call.vms.files.read(call.vmid).current
    if not agent_enabled(config.get("agent", "0")):
        raise failed("No QEMU guest agent configured")
    return await call.vms.machine(call.vmid).agent(f"guest-{command}", arguments)


async def _simple(call: Call, command: str) -> dict[str, Any]:
    """A command without parameters: the guest's error is a result, not one of the call's."""
    try:
        return {"result": await _ask(call, command)}
    except GuestError as error:
        return {"result": {"error": error.error}}


@route("GET", AGENT)
async def index(call: Call) -> Any:
    """The agent's commands."""
    return [{"name": n} for n in sorted([*READ, *WRITE, "exec", "exec-status", "file-read", "file-write", "set-user-password"])]


def _declare(method: str, command: str) -> None:
    @route(method, f"{AGENT}/{command}", need=NEED)
    async def handler(call: Call) -> Any:
        return await _simple(call, command)


for _command in READ:
    _declare("GET", _command)
for _command in WRITE:
    _declare("POST", _command)


@route("POST", AGENT, {"command": choice(*sorted([*READ, *WRITE]))}, ("command",), need=NEED)
async def any_command(call: Call) -> Any:
    """Tell the guest's agent, the command as a parameter."""
    return await _simple(call, call.values["command"])


@route("POST", AGENT + "/exec", {"command": words, "input-data": string(maximum=64 << 10)}, ("command",), need=NEED)
async def execute(call: Call) -> Any:
    """Start a program in the guest: its path and arguments, one `command` each."""
    path, *rest = call.values["command"]
    arguments: dict[str, object] = {"path": path, "arg": rest, "capture-output": True}
    if (data := call.values.get("input-data")) is not None:
        arguments["input-data"] = base64.b64encode(data.encode()).decode()
    return await _ask(call, "exec", arguments)


@route("GET", AGENT + "/exec-status", {"pid": integer()}, ("pid",), need=NEED)
async def exec_status(call: Call) -> Any:
    """How a program in the guest ended."""
    answer = await _ask(call, "exec-status", {"pid": call.values["pid"]})
    for key in ("out-data", "err-data"):
        if key in answer:
            answer[key] = base64.b64decode(answer[key]).decode(errors="replace")
    return {k: int(v) if isinstance(v, bool) else v for k, v in answer.items()}


@route("GET", AGENT + "/file-read", {"file": TEXT}, ("file",), need=NEED)
async def file_read(call: Call) -> Any:
    """Read a file of the guest."""
    handle, content, ended = await _ask(call, "file-open", {"path": call.values["file"]}), b"", False
    try:
        while not ended and len(content) < MOST_READ:
            part = await _ask(call, "file-read", {"handle": handle, "count": 1 << 20})
            content, ended = content + base64.b64decode(part["buf-b64"]), part["eof"]
    finally:
        await _ask(call, "file-close", {"handle": handle})
    return {"content": content.decode(errors="replace"), "bytes-read": len(content)} | ({} if ended else {"truncated": 1})


@route("POST", AGENT + "/file-write", {"file": TEXT, "content": string(maximum=60 << 10), "encode": boolean}, ("file", "content"), need=NEED)
async def file_write(call: Call) -> Any:
    """Write a file of the guest; with `encode=0` the content is base64 already."""
    text = call.values["content"]
    data = base64.b64encode(text.encode()).decode() if call.values.get("encode", 1) else text
    handle = await _ask(call, "file-open", {"path": call.values["file"], "mode": "wb"})
    try:
        await _ask(call, "file-write", {"handle": handle, "buf-b64": data})
    finally:
        await _ask(call, "file-close", {"handle": handle})


@route("POST", AGENT + "/set-user-password", {"username": TEXT, "password": string(r"[\s\S]{5,1024}"), "crypted": boolean}, ("username", "password"),
       need=NEED)  # fmt: skip
async def set_password(call: Call) -> Any:
    """Set the password of a user of the guest."""
    password = base64.b64encode(call.values["password"].encode()).decode()
    arguments = {"username": call.values["username"], "password": password, "crypted": bool(call.values.get("crypted"))}
    return {"result": await _ask(call, "set-user-password", arguments)}
