"""The Proxmox VE stand-in and a guest's agent, which here is a socket that answers as one does."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.pve import machine as machines
from lab.pve import routes_agent
from lab.pve.auth import Who
from lab.pve.config import VmConfig
from lab.pve.errors import ApiError, GuestError
from lab.pve.machine import Machine
from lab.pve.server import Call
from lab.pve.vms import Vms

ERROR = {"class": "GenericError", "desc": "no filesystem can be trimmed"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """VM 100, which runs."""
    found = Machine(100, tmp_path, "vmbr0")
    monkeypatch.setattr(found, "pid", lambda: 4242)
    return found


async def guest(machine: Machine, act: Callable[[], Awaitable[Any]], answers: dict[str, Any], *, deaf: bool = False) -> Any:
    """Do something while an agent listens. A command it has no answer to takes too long; what it is asked of first was left unread before."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"return": "unread"}\n')
        while not deaf and (line := await reader.readline()):
            asked = json.loads(line)
            answer = {"return": asked["arguments"]["id"]} if asked["execute"] == "guest-sync" else answers.get(asked["execute"])
            if answer:
                writer.write(b"\xff" + json.dumps(answer).encode() + b"\n")
        await asyncio.sleep(5 if deaf else 0)
        writer.close()

    async with await asyncio.start_unix_server(serve, machine.folder / "agent"):
        return await act()


def test_the_agents_answer_and_its_error(machine: Machine) -> None:
    answers = {"guest-get-time": {"return": 7}, "guest-fstrim": {"error": ERROR}}
    assert asyncio.run(guest(machine, lambda: machine.agent("guest-get-time"), answers)) == 7
    assert asyncio.run(guest(machine, lambda: machine.agent("guest-shutdown"), answers)) == {}, "it gets no answer"
    with pytest.raises(GuestError, match="Agent error: no filesystem can be trimmed") as caught:
        asyncio.run(guest(machine, lambda: machine.agent("guest-fstrim"), answers))
    assert caught.value.error == ERROR


@pytest.mark.parametrize(("deaf", "cause"), [(True, "QEMU guest agent is not running"), (False, "VM 100 qmp command 'guest-fstrim' failed - got timeout")])
def test_a_guest_that_is_slow_and_one_that_is_not_there(machine: Machine, monkeypatch: pytest.MonkeyPatch, deaf: bool, cause: str) -> None:
    monkeypatch.setattr(machines, "PATIENCE", 0.1)
    monkeypatch.setattr(machines, "SLOW", {"guest-fstrim": 0.2})
    with pytest.raises(ApiError) as caught:
        asyncio.run(guest(machine, lambda: machine.agent("guest-fstrim"), {}, deaf=deaf))
    assert caught.value.message == cause


def test_an_agent_that_is_busy_is_not_waited_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "PATIENCE", 0.1)

    async def act() -> None:
        async with machine.agent_lock:
            await machine.agent("guest-ping")

    with pytest.raises(ApiError, match="QEMU guest agent is not running"):
        asyncio.run(guest(machine, act, {}))


def test_a_guests_error_is_a_result_of_a_command_without_parameters_only(machine: Machine, vms: Vms, monkeypatch: pytest.MonkeyPatch) -> None:
    vms.files.write(100, VmConfig({"agent": "1"}))
    monkeypatch.setattr(vms, "machine", lambda vmid: machine)
    call = Call(SimpleNamespace(vms=vms), Who("root@pam!lab"), {"vmid": "100"}, {"command": "fstrim", "pid": 9})  # type: ignore[arg-type]
    answers = {"guest-fstrim": {"error": ERROR}, "guest-exec-status": {"error": ERROR}}
    assert asyncio.run(guest(machine, lambda: routes_agent.any_command(call), answers)) == {"result": {"error": ERROR}}
    with pytest.raises(ApiError, match="Agent error"):
        asyncio.run(guest(machine, lambda: routes_agent.exec_status(call), answers))
