"""Backups of the lake's VM and VMs restored from them, through the Proxmox VE API; and the restored MinIO at its address."""

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from include.adapters.agent import PAUSE, Agent, until
from include.adapters.minio.versions import VersionStore
from include.adapters.proxmox import Proxmox, hotplug
from include.connections import Connections, store_at
from include.lake.backup import Backup, parse_settings
from include.lake.errors import LakeError, Unreachable
from include.lake.lake import ENVIRONMENT_FILE
from include.lake.resources.keypair import Pair
from include.lake.secret import Secret
from include.lake.units import Size

LINES = 500  # of a task's log at once
STORE_TIMEOUT = 600  # seconds
PATIENCE = 300  # seconds that Proxmox VE may not answer while a task of it is followed; a node's restart of pveproxy takes a minute


class Backups(Agent):
    """A Proxmox VE node, as far as backups and restored VMs go. Waiting for a task, it tells what the task says."""

    def __init__(self, proxmox: Proxmox, connections: Connections) -> None:
        super().__init__(proxmox)
        self._connections = connections

    def _list(self, path: str, /, **params: Any) -> list[dict[str, Any]]:
        rows = self._proxmox.call("get", path, **params)
        if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            raise self._proxmox.other()
        return rows

    def _task(self, method: str, path: str, /, **params: Any) -> str:
        return self._upid(self._proxmox.call(method, path, **params))

    def _upid(self, answer: object) -> str:
        if not str(answer).startswith("UPID:"):
            raise self._proxmox.other()
        return str(answer)

    # Backups

    def backups(self, node: str, storage: str, vmid: int) -> list[Backup]:
        """All backups of a VM on a storage, whoever made them."""
        rows = self._list(f"nodes/{node}/storage/{storage}/content", content="backup", vmid=vmid)
        return [Backup(r["volid"], int(r["vmid"]), int(r["ctime"]), Size(r.get("size", 0)), str(r.get("notes", "")).strip(), bool(r.get("protected")))
                for r in rows if r.get("vmid") is not None and "ctime" in r]  # fmt: skip

    def running(self, node: str, vmid: int, kind: str) -> str | None:
        """The UPID of a task of the token's own that runs on a VM."""
        rows = self._list(f"nodes/{node}/tasks", vmid=vmid, source="active", typefilter=kind)
        return next((str(r["upid"]) for r in rows if "endtime" not in r), None)

    def start_backup(self, node: str, vmid: int, storage: str, mode: str, notes: str) -> str:
        """Start a backup that prunes nothing; returns the UPID."""
        wanted = {"vmid": vmid, "storage": storage, "mode": mode, "compress": "zstd", "remove": 0, "notes-template": notes}
        upid = self._proxmox.call("post", f"nodes/{node}/vzdump", **wanted)
        if upid == "OK":  # without a task: Proxmox VE leaves out, silently, what runs on other nodes
            raise LakeError("back up", f"VM {vmid}", f"it is not on the node {node}", "Set vm.node in lake.yaml to the node it is on, and run again")
        return self._upid(upid)

    def remove_backup(self, node: str, volid: str) -> None:
        """Remove a backup."""
        self.follow(node, self._task("delete", f"nodes/{node}/storage/{volid.partition(':')[0]}/content/{volid}"), lambda line: None)

    def follow(self, node: str, upid: str, say: Callable[[str], None]) -> None:
        """Tell what a task says until its end, however long that is. Raises LakeError with its own error.

        A node that does not answer for a while is asked again: the task goes on meanwhile, and whoever gave it up would begin a second one.
        """
        told, unheard, name = 0, 0.0, upid.split(":")[5]
        while True:
            try:
                (end, lines), unheard = self._heard(node, upid, told), 0.0
            except Unreachable as error:
                end, lines = None, list[str]()
                if not unheard:
                    unheard = time.monotonic()
                    say(f"Proxmox VE does not answer ({error.cause}). The task goes on; it is asked for again for {PATIENCE} s")
                elif time.monotonic() - unheard > PATIENCE:
                    raise Unreachable(
                        f"the Proxmox task {name}", f"{error.cause}, for {PATIENCE} s", f"It may still be at work; run again, which follows it: {upid}"
                    ) from None
            for line in lines:
                say(line)
            told += len(lines)
            if end is not None:
                break
            time.sleep(PAUSE)
        if not end.startswith(("OK", "WARNINGS")):
            raise LakeError("run", f"the Proxmox task {name}", self._cause(node, upid, told) or end, f"See the task's log in Proxmox VE: {upid}")

    def _heard(self, node: str, upid: str, told: int) -> tuple[str | None, list[str]]:
        """How a task ended, None when it has not; and its lines after the first `told`."""
        path, lines = f"nodes/{node}/tasks/{upid}", list[str]()
        status = self._proxmox.call("get", f"{path}/status")
        if not isinstance(status, dict) or "status" not in status:
            raise self._proxmox.other()
        while page := [r for r in self._list(f"{path}/log", start=told + len(lines), limit=LINES) if r.get("t") != "no content"]:
            lines += [str(row.get("t", "")) for row in page]
        return None if status["status"] == "running" else str(status.get("exitstatus", "")), lines

    def _cause(self, node: str, upid: str, lines: int) -> str:
        """What a failed task's log says of it; empty when it says nothing, or cannot be read any more."""
        with suppress(Unreachable):
            rows = self._list(f"nodes/{node}/tasks/{upid}/log", start=0, limit=lines + 1)
            return next((str(r["t"]).removeprefix("ERROR: ") for r in rows if str(r.get("t", "")).startswith("ERROR:")), "")
        return ""

    # VMs

    def taken(self, vmid: int) -> bool:
        """Whether any guest of the cluster has that number, seen by the token or not."""
        try:
            free = self._proxmox.call("get", "cluster/nextid", vmid=vmid)
        except LakeError as error:
            if "already exists" in error.cause:
                return True
            raise
        if str(free) != str(vmid):
            raise self._proxmox.other()
        return False

    def settings(self, node: str, vmid: int) -> Mapping[str, str] | None:
        """The VM's configuration as it will be, and None when the token sees no such VM."""
        seen = {int(r["vmid"]): r for r in self._list("cluster/resources", type="vm") if "vmid" in r}
        if vmid not in seen:
            return None
        if seen[vmid].get("node") != node or seen[vmid].get("type") != "qemu":
            raise LakeError("use", f"VM {vmid}", f"it is a {seen[vmid].get('type')} on the node {seen[vmid].get('node')}", "Choose a VMID that is free")
        config = self._proxmox.call("get", f"nodes/{node}/qemu/{vmid}/config")
        if not isinstance(config, dict) or "digest" not in config:
            raise self._proxmox.other()
        return {k: str(v) for k, v in config.items()}

    def archived(self, node: str, volid: str) -> Mapping[str, str]:
        """The configuration in a backup."""
        settings = parse_settings(str(self._proxmox.call("get", f"nodes/{node}/vzdump/extractconfig", volume=volid)))
        if not settings:
            raise self._proxmox.other()
        return settings

    def start_restore(self, node: str, vmid: int, volid: str, storage: str, settings: Mapping[str, str]) -> str:
        """Start restoring a backup to a new VM, its cards with new MACs; `settings` win. Returns the UPID."""
        return self._task("post", f"nodes/{node}/qemu", vmid=vmid, archive=volid, storage=storage, unique=1, **settings)

    def change(self, node: str, vmid: int, settings: Mapping[str, str]) -> None:
        """Set settings of a VM, at once. Raises when one has to wait for a restart."""
        self._proxmox.call("put", f"nodes/{node}/qemu/{vmid}/config", **settings)
        waiting = {r["key"] for r in self._list(f"nodes/{node}/qemu/{vmid}/pending") if "pending" in r}
        if late := waiting.intersection(settings):
            raise LakeError("change", f"VM {vmid}", f"{', '.join(sorted(late))} waits for its next start", f"Allow it: {hotplug(vmid)}")

    def power_on(self, node: str, vmid: int) -> bool:
        """Start a VM unless it runs; whether it was started."""
        status = self._proxmox.call("get", f"nodes/{node}/qemu/{vmid}/status/current")
        if not isinstance(status, dict) or "status" not in status:
            raise self._proxmox.other()
        if status["status"] == "running":
            return False
        self._proxmox.task(node, self._task("post", f"nodes/{node}/qemu/{vmid}/status/start"))
        return True

    # The network, as the bastion sees it

    def own_addresses(self) -> frozenset[str]:
        """The addresses at which the lake itself answers: SSH and MinIO."""
        hosts = {self._connections("lake_host").host, self._store()[1]}
        try:
            return frozenset(str(found[4][0]) for host in filter(None, hosts) for found in socket.getaddrinfo(host, None, socket.AF_INET))
        except (OSError, UnicodeError) as error:
            raise Unreachable("the lake's own address", str(error), "Check the names in the connections 'lake_host' and 'minio_admin'") from None

    def occupied(self, address: str) -> bool:
        """Whether anything answers at an address: it takes a connection for SSH or MinIO, or refuses it."""
        for port in (22, self._store()[2]):
            try:
                socket.create_connection((address, port), timeout=3).close()
            except ConnectionRefusedError:
                return True
            except OSError:
                continue
            return True
        return False

    def store(self, address: str = "", root: Pair | None = None) -> VersionStore:
        """The lake's MinIO, or the one at an address, with root's credentials of the connection, or others."""
        connection, (scheme, _, port) = self._connections("minio_admin"), self._store()
        connection = replace(connection, host=f"{scheme}://{address}:{port}") if address else connection
        return VersionStore(replace(connection, login=root.access_key, password=root.secret_key) if root else connection)

    def copy(self, vmid: int, address: str) -> VersionStore:
        """The MinIO of a restored VM. Root's password may have been changed since the backup: then with its own credentials, from its own settings."""
        store = self.store(address)
        if store.lets_in():
            return store
        own = self._own_root(vmid)
        if own and (store := self.store(address, own)).lets_in():
            return store
        raise LakeError("log in to", f"the restored MinIO at {address}",
                        f"it takes neither root's credentials of the connection 'minio_admin' nor those in its {ENVIRONMENT_FILE}",
                        f"It has those of its backup's time: see its service at the console of VM {vmid} (journalctl -u minio). Leave the connection as it is: the original needs it")  # fmt: skip

    def _own_root(self, vmid: int) -> Pair | None:
        """Root's credentials in a restored VM's own settings, through its agent; None when they are not there."""
        node = next((str(r["node"]) for r in self._list("cluster/resources", type="vm") if r.get("vmid") == vmid), None)
        lines = (line.partition("=") for line in self.read(node, vmid, ENVIRONMENT_FILE).splitlines()) if node else ()
        given = {key.strip(): value.strip().strip("\"'") for key, _, value in lines}
        user, password = given.get("MINIO_ROOT_USER"), given.get("MINIO_ROOT_PASSWORD")
        return Pair(user, Secret(password)) if user and password else None

    def serving(self, vmid: int, address: str) -> bool:
        """Whether a restored VM's MinIO answers at an address. Raises LakeError when it lets root in with no credentials that are known."""
        try:
            self.copy(vmid, address)
        except Unreachable:
            return False
        return True

    def wait_store(self, vmid: int, address: str) -> None:
        """Wait until a restored VM's MinIO answers at an address and lets root in."""
        until(lambda: self.serving(vmid, address), STORE_TIMEOUT, f"MinIO at {address}")

    def _store(self) -> tuple[str, str, int]:
        return store_at(self._connections("minio_admin"))
