"""Backups of the lake's VM and VMs restored from them, through the Proxmox VE API; and the restored MinIO at its address."""

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from include.adapters.agent import PAUSE, Agent, until
from include.adapters.minio.versions import VersionStore
from include.adapters.proxmox import Proxmox
from include.connections import Connections
from include.lake.backup import Backup, parse_settings
from include.lake.errors import LakeError, Unreachable
from include.lake.units import Size

LINES = 500  # of a task's log at once
STORE_TIMEOUT = 600  # seconds


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
        upid = self._proxmox.call(method, path, **params)
        if not str(upid).startswith("UPID:"):
            raise self._proxmox.other()
        return str(upid)

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
        return self._task("post", f"nodes/{node}/vzdump", **wanted)

    def remove_backup(self, node: str, volid: str) -> None:
        """Remove a backup."""
        self.follow(node, self._task("delete", f"nodes/{node}/storage/{volid.partition(':')[0]}/content/{volid}"), lambda line: None)

    def follow(self, node: str, upid: str, say: Callable[[str], None]) -> None:
        """Tell what a task says until its end, however long that is. Raises LakeError with its own error."""
        path, told, over = f"nodes/{node}/tasks/{upid}", 0, False
        while True:
            status = self._proxmox.call("get", f"{path}/status")
            if not isinstance(status, dict) or "status" not in status:
                raise self._proxmox.other()
            over = status["status"] != "running"
            while lines := [r for r in self._list(f"{path}/log", start=told, limit=LINES) if r.get("t") != "no content"]:
                for line in lines:
                    say(str(line.get("t", "")))
                told += len(lines)
            if over:
                break
            time.sleep(PAUSE)
        if not str(status.get("exitstatus", "")).startswith(("OK", "WARNINGS")):
            cause = next((str(r["t"]) for r in self._list(f"{path}/log", start=0, limit=told + 1) if str(r.get("t", "")).startswith("ERROR:")), "")
            raise LakeError("run", f"the Proxmox task {upid.split(':')[5]}", cause.removeprefix("ERROR: ") or str(status.get("exitstatus")),
                            f"See the task's log in Proxmox VE: {upid}")  # fmt: skip

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
            raise LakeError(
                "change", f"VM {vmid}", f"{', '.join(sorted(late))} waits for its next start", f"Allow it: qm set {vmid} --hotplug network,disk,usb"
            )

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
        hosts = {self._connections("lake_host").host, urlsplit(self._url()).hostname or ""}
        try:
            return frozenset(str(found[4][0]) for host in filter(None, hosts) for found in socket.getaddrinfo(host, None, socket.AF_INET))
        except OSError as error:
            raise Unreachable("the lake's own address", str(error), "Check the names in the connections 'lake_host' and 'minio_admin'") from None

    def occupied(self, address: str) -> bool:
        """Whether anything answers at an address: it takes a connection for SSH or MinIO, or refuses it."""
        for port in (22, urlsplit(self._url()).port or 9000):
            try:
                socket.create_connection((address, port), timeout=3).close()
            except ConnectionRefusedError:
                return True
            except OSError:
                continue
            return True
        return False

    def store(self, address: str = "") -> VersionStore:
        """The lake's MinIO, or the restored one at an address: it has the same root credentials."""
        connection, url = self._connections("minio_admin"), urlsplit(self._url())
        return VersionStore(replace(connection, host=f"{url.scheme}://{address}:{url.port or connection.port or 9000}") if address else connection)

    def serving(self, address: str) -> bool:
        """Whether MinIO answers at an address."""
        try:
            self.store(address).bucket_names()
        except Unreachable:
            return False
        return True

    def wait_store(self, address: str) -> None:
        """Wait until MinIO answers at an address and lets root in."""
        store = self.store(address)
        until(lambda: store.bucket_names() is not None, STORE_TIMEOUT, f"MinIO at {address}")

    def _url(self) -> str:
        host = self._connections("minio_admin").host
        return host if "//" in host else f"http://{host}"
