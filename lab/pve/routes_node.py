"""Calls about the node: its version, figures, clock and network."""

import hashlib
import os
import shutil
import ssl
import time
from pathlib import Path
from typing import Any

from lab.pve.errors import bad_parameters
from lab.pve.schema import choice
from lab.pve.server import Call, route

VERSION = {"release": "8.4", "version": "8.4.1", "repoid": "2a5fa54a8503f96d"}


def _amounts(total: int, free: int) -> dict[str, int]:
    return {"total": total, "free": free, "used": total - free}


def _memory() -> dict[str, int]:
    rows = {k: int(v.split()[0]) * 1024 for k, v in (line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())}
    return {f"{kind}_{k}": v for kind, total, free in (("memory", "MemTotal", "MemAvailable"), ("swap", "SwapTotal", "SwapFree"))
            for k, v in _amounts(rows[total], rows[free]).items()}  # fmt: skip


def _cpu() -> dict[str, Any]:
    facts = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines() if ":" in line)
    known = {k.strip(): v.strip() for k, v in facts.items()}
    count = os.cpu_count() or 1
    return {"cpus": count, "cores": count, "sockets": 1, "model": known.get("model name", "unknown"), "mhz": known.get("cpu MHz", "0"), "user_hz": 100,
            "hvm": "0", "flags": known.get("flags", "")}  # fmt: skip


def _load() -> float:
    return min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _uptime() -> int:
    return int(float(Path("/proc/uptime").read_text().split()[0]))


def node_row(call: Call) -> dict[str, Any]:
    """The node in a list; its figures only for who may see them."""
    node = call.vms.settings.node
    row: dict[str, Any] = {"node": node, "type": "node", "id": f"node/{node}", "status": "online", "level": ""}
    if call.who.may(f"/nodes/{node}", "Sys.Audit"):
        memory, disk = _memory(), shutil.disk_usage("/")
        row |= {"maxcpu": os.cpu_count(), "cpu": _load(), "mem": memory["memory_used"], "maxmem": memory["memory_total"], "uptime": _uptime(),
                "disk": disk.used, "maxdisk": disk.total}  # fmt: skip
    return row


def _fingerprint(pem: Path) -> str:
    certificate = pem.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


@route("GET", "/version")
async def version(call: Call) -> Any:
    """The version of the API."""
    return VERSION


@route("GET", "/nodes")
async def nodes(call: Call) -> Any:
    """The nodes."""
    return [node_row(call) | {"ssl_fingerprint": _fingerprint(call.server.cert)}]


@route("GET", "/nodes/{node}")
async def index(call: Call) -> Any:
    """The calls under a node."""
    return [{"name": n} for n in ("network", "qemu", "status", "storage", "tasks", "time", "version")]


@route("GET", "/nodes/{node}/status", need=("/nodes/{node}", "Sys.Audit"))
async def status(call: Call) -> Any:
    """The node's figures."""
    memory, disk, system = _memory(), shutil.disk_usage("/"), os.uname()
    return {
        "memory": {k.removeprefix("memory_"): v for k, v in memory.items() if k.startswith("memory_")},
        "swap": {k.removeprefix("swap_"): v for k, v in memory.items() if k.startswith("swap_")},
        "rootfs": _amounts(disk.total, disk.total - disk.used) | {"avail": disk.free}, "uptime": _uptime(), "idle": 0, "cpu": _load(), "wait": 0,
        "loadavg": [f"{x:.2f}" for x in os.getloadavg()], "cpuinfo": _cpu(), "ksm": {"shared": 0}, "boot-info": {"mode": "legacy-bios"},
        "pveversion": f"pve-manager/{VERSION['version']}/{VERSION['repoid']}", "kversion": f"{system.sysname} {system.release} {system.version}",
        "current-kernel": {"sysname": system.sysname, "release": system.release, "version": system.version, "machine": system.machine},
    }  # fmt: skip


@route("GET", "/nodes/{node}/version")
async def node_version(call: Call) -> Any:
    """The node's version."""
    return VERSION


@route("GET", "/nodes/{node}/time", need=("/nodes/{node}", "Sys.Audit"))
async def node_time(call: Call) -> Any:
    """The node's clock."""
    return {"time": int(time.time()), "localtime": int(time.time()), "timezone": "UTC"}


def _bridge(call: Call) -> dict[str, Any]:
    host, bridge = call.server.host, call.vms.settings.bridge
    return {"iface": bridge, "type": "bridge", "method": "static", "method6": "manual", "families": ["inet"], "address": host, "netmask": "24",
            "cidr": f"{host}/24", "active": 1, "autostart": 1, "bridge_ports": "", "bridge_stp": "off", "bridge_fd": "0", "priority": 1}  # fmt: skip


@route("GET", "/nodes/{node}/network", {"type": choice("any_bridge", "any_local_bridge", "bridge", "bond", "eth", "vlan", "vnet")})
async def network(call: Call) -> Any:
    """The node's networks: the bridge that the VMs are on."""
    return [_bridge(call)] if "bridge" in call.values.get("type", "bridge") else []


@route("GET", "/nodes/{node}/network/{iface}", need=("/nodes/{node}", "Sys.Audit"))
async def interface(call: Call) -> Any:
    """One of the node's networks."""
    if call.path["iface"] != call.vms.settings.bridge:
        raise bad_parameters({"iface": "interface does not exist"})
    return {k: v for k, v in _bridge(call).items() if k != "iface"}
