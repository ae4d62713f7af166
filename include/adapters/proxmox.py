"""The Proxmox VE API, through proxmoxer."""

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import proxmoxer
import requests

from include.adapters.network import network_cause
from include.connections import Connection, address, without_login
from include.lake.errors import LakeError, Refused, Unreachable
from include.lake.resources.vm_disk import FLAGS, SlotFacts, VmDiskState
from include.lake.units import Size

TIMEOUT = 30  # seconds for one call; proxmoxer's own 5 are too few for a busy node
TASK_TIMEOUT = 600  # seconds for a task, as allocating a disk that is not sparse
_OTHER = "what answers there does not answer as Proxmox VE does"
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Proxmox:
    """A Proxmox VE node, as one API token sees it. Connects at the first call."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def api(self) -> Any:
        """proxmoxer's API object. `extra.ca` names the file of the CA that signed the node's certificate."""
        c = self._connection
        user, _, token = c.login.partition("!")
        if not c.host or not user or not token:
            raise LakeError("reach", "Proxmox VE", f"the connection {c.id!r} has no host, or its login is not a token id such as homelake@pve!bootstrap",
                            "Set host to https://NODE:8006 and login to USER@REALM!TOKEN")  # fmt: skip
        if not re.fullmatch(r"[!-~]*", f"{c.login}{c.password.reveal()}"):  # it goes into a header, whose own error would quote it
            raise LakeError("log in to", "Proxmox VE", f"the token of the connection {c.id!r} holds a character that no token has, as a space, a line break or an umlaut",
                            "Write its id and its secret as pveum printed them")  # fmt: skip
        _, host, port = address(c, c.host, "https")
        return proxmoxer.ProxmoxAPI(host, port=port or c.port or 8006, user=user, token_name=token, token_value=c.password.reveal(),
                                    verify_ssl=c.option("ca") or c.option("verify", "true").lower() != "false", timeout=TIMEOUT)  # fmt: skip

    def call(self, method: str, path: str, /, **params: Any) -> Any:
        """One API call; errors become LakeErrors that name their cause."""
        try:
            answer = getattr(self.api(path), method)(**params)
        except proxmoxer.ResourceException as error:
            raise _explained(error, f"{method.upper()} {path}") from None
        except proxmoxer.AuthenticationError as error:
            raise LakeError("log in to", "Proxmox VE", str(error)) from None
        except ValueError:  # never its text: that of a header that cannot be sent quotes the token
            raise self._unreachable("the connection's values cannot be put into a request") from None
        except (requests.RequestException, OSError) as error:
            raise self._unreachable(_network_cause(error)) from None
        except (LookupError, TypeError, AttributeError):  # proxmoxer takes any JSON for an answer of the API
            raise self._unreachable(_OTHER) from None
        if isinstance(answer, dict) and isinstance(answer.get("errors"), bytes):  # how proxmoxer hands on what is no JSON
            raise self._unreachable(_OTHER)
        return answer

    def _unreachable(self, cause: str) -> Unreachable:
        return Unreachable("Proxmox VE", cause, f"Check the connection {self._connection.id!r} ({without_login(self._connection.host)})")

    def other(self) -> Unreachable:
        """The error of an answer that Proxmox VE would not give."""
        return self._unreachable(_OTHER)

    def task(self, node: str, upid: str | None) -> None:
        """Wait until a task is done. Raises LakeError with the task's own error."""
        deadline, pause = time.monotonic() + TASK_TIMEOUT, 0.05
        while upid:
            status = self.call("get", f"nodes/{node}/tasks/{upid}/status")
            if status["status"] != "running":
                if not str(status.get("exitstatus", "")).startswith(("OK", "WARNINGS")):
                    raise LakeError("run", f"the Proxmox task {upid.split(':')[5]}", str(status.get("exitstatus")), f"See the task's log in Proxmox VE: {upid}")
                return
            if time.monotonic() > deadline:
                raise Unreachable(f"the end of the Proxmox task {upid}", f"it still runs after {TASK_TIMEOUT} s")
            time.sleep(pause)
            pause = min(pause * 2, 2)

    def config(self, node: str, vmid: int) -> dict[str, Any]:
        """The VM's configuration as it runs (pending values left out)."""
        config = self.call("get", f"nodes/{node}/qemu/{vmid}/config", current=1)
        if not isinstance(config, dict) or "digest" not in config:
            raise self._unreachable(_OTHER)
        return config

    def slot(self, node: str, vmid: int, slot: str) -> SlotFacts | None:
        """The disk in a slot; None when it is empty. Raises Refused when a disk waits to be put there or to be taken off, which the next start does."""
        text, row = self.config(node, vmid).get(slot), self._row(node, vmid, slot)
        if text is None:
            if "pending" in row:
                raise _waits(vmid, slot, row["pending"])
            return None
        facts = parse_slot(text, vmid)
        if facts is None:
            raise Refused("use", f"slot {slot} of VM {vmid}", f"it holds {text.split(',')[0]}, which is not a disk of this VM",
                          "Declare another slot in lake.yaml: vm.disk.slot")  # fmt: skip
        if row.get("delete"):
            raise Refused("use", f"slot {slot} of VM {vmid}", f"its disk {facts.volume} is to be taken off, with all that is on it, as soon as the VM stops",
                          f"Keep it: qm set {vmid} --revert {slot}; or let it go: stop the VM and start it")  # fmt: skip
        waiting = parse_slot(row["pending"], vmid) if row.get("pending") else None
        flags = {f: getattr(waiting.state, f) for f in FLAGS} if waiting else {}
        return SlotFacts(facts.volume, facts.state, flags)

    def _row(self, node: str, vmid: int, slot: str) -> dict[str, Any]:
        """What is (`value`) and what waits (`pending`, `delete`) in a slot."""
        return next((dict(e) for e in self.call("get", f"nodes/{node}/qemu/{vmid}/pending") if e["key"] == slot), {})

    def scsihw(self, node: str, vmid: int) -> str:
        """The VM's SCSI controller; Proxmox leaves the default out."""
        return str(self.config(node, vmid).get("scsihw", "lsi"))

    def add_disk(self, node: str, vmid: int, slot: str, state: VmDiskState) -> None:
        """Allocate a volume and attach it."""
        self._set(node, vmid, slot, f"{state.storage}:{state.size // 2**30}", {f: getattr(state, f) for f in FLAGS}, create=True)

    def set_flags(self, node: str, vmid: int, slot: str, flags: Mapping[str, bool]) -> None:
        """Change flags of the attached disk, and leave every other option of it as it is."""
        pending = self._row(node, vmid, slot)
        if "value" not in pending:
            raise LakeError("change", f"the disk in slot {slot} of VM {vmid}", "the slot is empty", "Run again")
        volume, *options = (pending.get("pending") or pending["value"]).split(",")
        kept = [o for o in options if o.split("=")[0] not in flags and not o.startswith("size=")]
        self._set(node, vmid, slot, ",".join([volume, *kept]), flags, create=False)

    def _set(self, node: str, vmid: int, slot: str, start: str, flags: Mapping[str, bool | None], *, create: bool) -> None:
        config = self.config(node, vmid)
        if create and slot in config:
            raise Refused("add", f"a disk in slot {slot} of VM {vmid}", "the slot was taken in the meantime", "Run again")
        if create and (waiting := self._row(node, vmid, slot).get("pending")):  # Proxmox would put that volume aside and allocate another
            raise _waits(vmid, slot, waiting)
        options = [f"{f}={'on' if f == 'discard' and on else 'ignore' if f == 'discard' else int(on)}" for f, on in sorted(flags.items()) if on is not None]
        # The digest makes Proxmox refuse the change when someone else changed the VM after we looked.
        path = f"nodes/{node}/qemu/{vmid}/config"
        self.task(node, self.call("post", path, digest=config["digest"], **{slot: ",".join([start, *options])}))

    def grow(self, node: str, vmid: int, slot: str, size: Size) -> None:
        """Make the volume larger, online."""
        self.task(node, self.call("put", f"nodes/{node}/qemu/{vmid}/resize", disk=slot, size=f"{size // 2**30}G"))
        if "pending" in self._row(node, vmid, slot):
            self.set_flags(node, vmid, slot, {})  # what waits holds the old size, which the next start would put back

    def remove_disk(self, node: str, vmid: int, slot: str) -> None:
        """Detach the disk and delete its volume. A disk that the VM does not let go, or that a snapshot holds, is an error, and stays."""
        if slot not in self.config(node, vmid):
            return
        try:
            self.call("put", f"nodes/{node}/qemu/{vmid}/unlink", idlist=slot, force=1)
        except LakeError:
            with suppress(LakeError):
                self._keep(node, vmid, slot)
            raise
        if slot in self.config(node, vmid):
            self._keep(node, vmid, slot)
            raise LakeError("remove", f"the disk in slot {slot} of VM {vmid}", "the VM does not let it go while it runs, so it stays",
                            f"Allow it: {hotplug(vmid)}; look at the VM's tasks in Proxmox VE, and run again")  # fmt: skip

    def _keep(self, node: str, vmid: int, slot: str) -> None:
        """Take back a deletion that Proxmox could not carry out: it would wait, and take the disk at the VM's next stop, whatever it holds by then."""
        if self._row(node, vmid, slot).get("delete"):
            self.call("put", f"nodes/{node}/qemu/{vmid}/config", revert=slot)

    def take_snapshot(self, node: str, vmid: int, name: str, description: str) -> None:
        """Take a snapshot of all of the VM's disks, as of one moment, without its memory."""
        upid = self.call("post", f"nodes/{node}/qemu/{vmid}/snapshot", snapname=name, description=description)
        if not str(upid).startswith("UPID:"):
            raise self._unreachable(_OTHER)
        self.task(node, upid)

    def snapshots(self, node: str, vmid: int) -> list[str]:
        """The names of the VM's snapshots."""
        rows = self.call("get", f"nodes/{node}/qemu/{vmid}/snapshot")
        if not isinstance(rows, list) or not all(isinstance(r, dict) and "name" in r for r in rows) or not rows:  # `current` is always among them
            raise self._unreachable(_OTHER)
        return [str(r["name"]) for r in rows if r["name"] != "current"]

    def holding(self, node: str, vmid: int, slot: str) -> list[str]:
        """The names of the snapshots that hold the disk of a slot, which is not deleted while there are any."""
        path = f"nodes/{node}/qemu/{vmid}/snapshot"
        return [name for name in self.snapshots(node, vmid) if slot in (self.call("get", f"{path}/{name}/config") or {})]


def parse_slot(text: str, vmid: int) -> SlotFacts | None:
    """A slot's line, as `local-lvm:vm-100-disk-1,backup=1,size=500G`. None when it is not a disk of that VM.

    Flags that are left out have Proxmox's defaults: backed up, no discard, no SSD emulation, no IO thread.
    """
    volume, *pairs = text.split(",")
    options = dict(p.split("=", 1) for p in pairs if "=" in p)
    storage, _, name = volume.partition(":")
    if options.get("media") == "cdrom" or f"vm-{vmid}-" not in name:
        return None
    size = options.get("size", "0")
    number, unit = (size[:-1], _UNITS[size[-1]]) if size[-1:] in _UNITS else (size, 1)
    on = {k: options.get(k, default) in ("1", "on") for k, default in (("ssd", "0"), ("discard", "ignore"), ("backup", "1"), ("iothread", "0"))}
    return SlotFacts(volume, VmDiskState(storage, Size(int(float(number) * unit)), **on), {})


def hotplug(vmid: int) -> str:
    """The command that lets a VM take on, and let go, cards and disks while it runs."""
    return f"qm set {vmid} --hotplug network,disk,usb"


def _waits(vmid: int, slot: str, text: str) -> Refused:
    return Refused("use", f"slot {slot} of VM {vmid}", f"the disk {text.split(',')[0]} waits there until the VM is stopped and started",
                   f"Stop the VM and start it, and run again. So that it takes on a disk while it runs: {hotplug(vmid)}")  # fmt: skip


def _explained(error: proxmoxer.ResourceException, call: str) -> LakeError:
    cause = str(error.content or error.status_message or error.status_code).strip()  # content is the reason phrase, which carries the message
    if said := ", ".join(f"{k}: {v}" for k, v in dict(error.errors or {}).items() if isinstance(v, str)):  # bytes: an answer that is no JSON
        cause += f" {said}"
    if error.status_code == 401:
        return LakeError("log in to", "Proxmox VE", f"{cause} (the token id or its secret is wrong)", "Check the connection 'proxmox'; ./lake doctor tries it")
    if error.status_code == 403:
        return LakeError("use", "Proxmox VE", cause, "Give the token that privilege: ./lake doctor prints the pveum lines")
    if error.status_code in (595, 596, 599, 502, 503, 504):
        return Unreachable("the Proxmox VE node", cause, "Check that the node runs, and vm.node in lake.yaml")
    no_json = isinstance(error.errors, dict) and isinstance(error.errors.get("errors"), bytes)
    return LakeError("use", f"Proxmox VE ({call})", cause, "Check the connection 'proxmox': is it Proxmox VE that answers there?" if no_json else "")


def _network_cause(error: Exception) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "its certificate is not signed by a CA known here (set extra.ca of the connection to the CA's file)"
    return network_cause(error)
