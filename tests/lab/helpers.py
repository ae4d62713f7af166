"""What several of the lab's tests ask of the API."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import proxmoxer
import pytest

from tests.conftest import ROOT, TestLab

KEYS = ("PVE_URL PVE_TOKEN_ID PVE_TOKEN_SECRET PVE_NOPRIV_TOKEN_ID PVE_NOPRIV_TOKEN_SECRET PVE_STORAGE PVE_NODE PVE_VMID PVE_CA SSH_HOST SSH_PORT "
        "SSH_USER SSH_KEY SSH_KNOWN_HOSTS S3_ENDPOINT S3_REGION S3_ROOT_USER S3_ROOT_PASSWORD S3_CA KUBECONFIG").split()  # fmt: skip
OURS = ["KAFKA_BOOTSTRAP", "PVE_BOOTSTRAP_TOKEN_ID", "PVE_BOOTSTRAP_TOKEN_SECRET"]


def refused(call: Any, *args: Any, **params: Any) -> proxmoxer.ResourceException:
    """Make a call that must be refused, and return the error."""
    with pytest.raises(proxmoxer.ResourceException) as caught:
        call(*args, **params)
    return caught.value


def slot(vm: Any, name: str = "scsi1") -> dict[str, str]:
    """A drive's setting as it is now: its options, and the volume as `file`."""
    volume, *options = vm.config.get(current=1)[name].split(",")
    return dict([o.split("=", 1) for o in options], file=volume)


def waiting(vm: Any) -> dict[str, Any]:
    """What waits for the next start: setting → value, or the number that says it is to be deleted."""
    return {r["key"]: r.get("pending", r.get("delete")) for r in vm.pending.get() if "pending" in r or "delete" in r}


def until_running(vm: Any) -> None:
    """Wait for a VM that another task starts. Before QEMU answers it counts as running too, without the figures that QEMU gives."""
    deadline = time.monotonic() + 60
    while (now := vm.status.current.get())["qmpstatus"] != "running" or "blockstat" not in now:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def volumes(node: Any, vmid: int) -> set[str]:
    """The ids of a VM's volumes."""
    return {v["volid"] for v in node.storage("local-lvm").content.get(vmid=vmid)}


def running(lab: TestLab) -> dict[str, int]:
    """The process ids of the stand-in and of VM 100."""
    files = {"pve": lab.state / "run" / "pve.pid", "vm": lab.state / "pve" / "run" / "100" / "qemu.pid"}
    return {name: int(json.loads(file.read_text())["pid"]) for name, file in files.items()}


def command(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m lab ARGS`."""
    return subprocess.run([sys.executable, "-m", "lab", *args], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def only(folder: Path, *programs: str) -> Path:
    """A folder for PATH in which there are only these programs."""
    for program in programs:
        (folder / program).symlink_to(subprocess.run(["which", program], capture_output=True, text=True, check=True).stdout.strip())
    return folder
