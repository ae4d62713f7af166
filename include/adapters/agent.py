"""A VM's guest, through its agent and the Proxmox VE API."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from include.adapters.proxmox import Proxmox
from include.lake.errors import LakeError, Unreachable

T = TypeVar("T")
PAUSE = 1.0  # seconds between two looks
AGENT_TIMEOUT, NETWORK_TIMEOUT, RUN_TIMEOUT = 900, 180, 180  # seconds; an emulated VM takes a minute or two to boot
_LOCAL = ("127.", "169.254.")


class Agent:
    """The agents in the VMs of a Proxmox VE node."""

    def __init__(self, proxmox: Proxmox) -> None:
        self._proxmox = proxmox

    def _ask(self, method: str, path: str, key: str, /, **params: Any) -> Any:
        """A call whose answer is an object that has this key; returns its value."""
        answer = self._proxmox.call(method, path, **params)
        if not isinstance(answer, dict) or key not in answer:
            raise self._proxmox.other()
        return answer[key]

    def wait_agent(self, node: str, vmid: int) -> None:
        """Wait until the guest's agent answers."""

        def answers() -> bool:
            try:
                self._proxmox.call("post", f"nodes/{node}/qemu/{vmid}/agent/ping")
            except LakeError as error:
                if error.retry or "not running" in error.cause or "got timeout" in error.cause:  # slow, as while it boots
                    return False
                raise
            return True

        until(answers, AGENT_TIMEOUT, f"the agent in VM {vmid}")

    def run(self, node: str, vmid: int, script: str, *args: str) -> str:
        """What a shell script, run as root, prints. Raises LakeError when it fails."""
        pid = self._ask("post", f"nodes/{node}/qemu/{vmid}/agent/exec", "pid", command=["/bin/sh", "-c", script, "homelake", *args])

        def ended() -> dict[str, Any] | None:
            status = self._proxmox.call("get", f"nodes/{node}/qemu/{vmid}/agent/exec-status", pid=pid)
            return status if isinstance(status, dict) and status.get("exited") else None

        status = until(ended, RUN_TIMEOUT, f"the end of a command in VM {vmid}")
        if status.get("exitcode", 0) or "signal" in status:
            said = str(status.get("err-data") or status.get("out-data") or f"exit code {status.get('exitcode')}").strip().splitlines()[-1]
            raise LakeError("run a command in", f"VM {vmid}", said, "Look at it at its console")
        return str(status.get("out-data", ""))

    def read(self, node: str, vmid: int, path: str) -> str:
        """A file's text."""
        return str(self._ask("get", f"nodes/{node}/qemu/{vmid}/agent/file-read", "content", file=path))

    def write(self, node: str, vmid: int, path: str, text: str) -> None:
        """Write a file."""
        self._proxmox.call("post", f"nodes/{node}/qemu/{vmid}/agent/file-write", file=path, content=text)

    def wait_addresses(self, node: str, vmid: int, mac: str, wanted: str) -> list[str]:
        """Wait until the card of that MAC has the address, or (empty) any; returns all IPv4 addresses of the guest, that card's first."""

        def found() -> list[str]:
            cards = self._ask("get", f"nodes/{node}/qemu/{vmid}/agent/network-get-interfaces", "result")
            by_mac = {str(c.get("hardware-address", "")).lower(): [a["ip-address"] for a in c.get("ip-addresses", ()) if a.get("ip-address-type") == "ipv4"]
                      for c in cards if c.get("name") != "lo"}  # fmt: skip
            own = [a for a in by_mac.get(mac, []) if not a.startswith(_LOCAL)]
            others = [a for m, addresses in by_mac.items() if m != mac for a in addresses]
            return own + others if own and wanted in ("", *own) else []

        return until(found, NETWORK_TIMEOUT, f"the address {wanted or 'of a DHCP server'} in VM {vmid}")


def until(look: Callable[[], T | None], seconds: float, what: str) -> T:
    """What `look` finds, once it finds something. A part that does not answer for a while is asked again. Raises Unreachable."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(Unreachable):
            if answer := look():
                return answer
        if time.monotonic() > deadline:
            raise Unreachable(what, f"nothing within {seconds:.0f} s", "Look at the VM at its console, and run again")
        time.sleep(PAUSE)
