"""Third-party clients of the lab's Proxmox VE API, and a second VM on which everything may be tried."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import proxmoxer
import pytest
import requests

from tests.conftest import TestLab

Task = Callable[[str | None], dict[str, Any]]
TINY = {"memory": 64, "cores": 1, "scsihw": "virtio-scsi-single", "scsi0": "local-lvm:1,discard=on", "net0": "virtio,bridge=vmbr0"}


def client(lab: TestLab, which: str = "PVE") -> proxmoxer.ProxmoxAPI:
    """proxmoxer, with the token `PVE_…`, `PVE_BOOTSTRAP_…` or `PVE_NOPRIV_…` of the lab."""
    user, _, name = lab[f"{which}_TOKEN_ID"].partition("!")
    host = lab["PVE_URL"].removeprefix("https://").partition(":")
    return proxmoxer.ProxmoxAPI(host[0], port=int(host[2]), user=user, token_name=name, token_value=lab[f"{which}_TOKEN_SECRET"],
                                verify_ssl=lab["PVE_CA"], timeout=30)  # fmt: skip


@pytest.fixture(scope="session")
def api(lab: TestLab) -> proxmoxer.ProxmoxAPI:
    """The API as the administrator's token."""
    return client(lab)


@pytest.fixture(scope="session")
def node(lab: TestLab, api: proxmoxer.ProxmoxAPI) -> Any:
    """The node's part of the API."""
    return api.nodes(lab["PVE_NODE"])


@pytest.fixture(scope="session")
def http(lab: TestLab) -> requests.Session:
    """Plain HTTP as the administrator's token: `http.get(lab["PVE_URL"] + "/api2/json/version")`."""
    session = requests.Session()
    session.trust_env, session.verify = False, lab["PVE_CA"]
    session.headers["Authorization"] = f"PVEAPIToken={lab['PVE_TOKEN_ID']}={lab['PVE_TOKEN_SECRET']}"
    return session


@pytest.fixture(scope="session")
def ended(node: Any) -> Task:
    """Wait for a task's end and return its status; `ended(upid)["exitstatus"]`."""

    def wait(upid: str | None) -> dict[str, Any]:
        assert upid is not None and upid.startswith(f"UPID:{node.status.get() and 'pve'}:"), upid
        deadline = time.monotonic() + 120
        while (status := node.tasks(upid).status.get())["status"] == "running":
            assert time.monotonic() < deadline, f"{upid} still runs"
            time.sleep(0.05)
        return dict(status)

    return wait


@pytest.fixture(scope="session")
def done(ended: Task) -> Task:
    """Wait for a task that must succeed."""

    def wait(upid: str | None) -> dict[str, Any]:
        status = ended(upid)
        assert status["exitstatus"] == "OK", status
        return status

    return wait


@pytest.fixture
def free_id(api: proxmoxer.ProxmoxAPI) -> int:
    """A VM id that nobody has."""
    return int(api.cluster.nextid.get())


def remove(node: Any, done: Task, vmid: int) -> None:
    """Remove a VM, whatever it is doing."""
    if vmid in {v["vmid"] for v in node.qemu.get()}:
        node.qemu(vmid).config.set(protection=0)
        done(node.qemu(vmid).status.stop.post())
        done(node.qemu(vmid).delete(**{"destroy-unreferenced-disks": 1}))


@pytest.fixture(scope="package")
def _tiny(api: proxmoxer.ProxmoxAPI, node: Any, done: Task) -> Iterator[int]:
    for left in sorted((v["vmid"] for v in node.qemu.get() if v["vmid"] != 100), reverse=True):  # by a run that was killed
        remove(node, done, left)
    vmid = int(api.cluster.nextid.get())
    done(node.qemu.post(vmid=vmid, name="tiny", **TINY))
    yield vmid
    remove(node, done, vmid)


@pytest.fixture
def tiny(_tiny: int, node: Any, done: Task) -> Any:
    """A stopped VM without an operating system, one disk of 1 GiB: `tiny.config.get()`. What a test leaves on it, the next one does not find."""
    vm = node.qemu(_tiny)
    done(vm.status.stop.post())
    for snapshot in [s["name"] for s in vm.snapshot.get() if s["name"] != "current"]:
        done(vm.snapshot(snapshot).delete())
    for _ in range(2):  # disks first become unused
        keep = {"scsi0", "net0", "scsihw", "memory", "cores", "name", "boot", "smbios1", "vmgenid", "meta", "digest", "parent"}
        if extra := [k for k in vm.config.get() if k not in keep]:
            vm.config.set(delete=",".join(extra))
    vm.config.set(**{k: v for k, v in TINY.items() if k not in ("scsi0", "net0")}, name="tiny", boot="order=scsi0;net0")
    return vm


@pytest.fixture
def vmid(_tiny: int) -> int:
    """The tiny VM's id."""
    return _tiny
