"""The Proxmox host and the lake's VM: the stand-in is started, VM 100 is made through its API, as anyone would."""

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

import requests

from lab import keys, net
from lab.errors import LabError
from lab.image import BOOT_ARGS, build
from lab.image.probe import accelerator
from lab.progress import say
from lab.run import Daemon, end, start_time
from lab.site import BRIDGE, NODE, ROOT, STORAGE, VMID, Lab

SSH_USER = "debian"
CLOCK_OFF = 5  # seconds


class Api:
    """The stand-in's API with the lab's own token."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.base = lab, f"https://{lab.pve}:8006/api2/json"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(lab.secrets / "ca.pem")
        self.session.headers["Authorization"] = f"PVEAPIToken={keys.ROOT_TOKEN}={keys.token(lab, keys.ROOT_TOKEN)}"

    def call(self, method: str, path: str, **data: Any) -> Any:
        """One call; raises LabError with the API's own words."""
        try:
            answer = self.session.request(method, self.base + path, data=data or None, timeout=30)
        except requests.RequestException as error:
            raise LabError("call", f"the lab's Proxmox stand-in at {self.lab.pve}:8006", str(error.__class__.__name__),
                           f"Look at {self.lab.logs / 'pve.log'}") from None  # fmt: skip
        if answer.status_code != 200:
            raise LabError("call", f"{method} {path}", f"{answer.status_code} {answer.reason} {answer.json().get('errors', '')}")
        return answer.json()["data"]

    def task(self, method: str, path: str, **data: Any) -> None:
        """A call that makes a task, to its end."""
        upid = self.call(method, path, **data)
        while upid:
            status = self.call("GET", f"/nodes/{NODE}/tasks/{urllib.parse.quote(upid, safe='')}/status")
            if status["status"] == "stopped":
                if status["exitstatus"] != "OK":
                    raise LabError("run", f"{method} {path}", status["exitstatus"])
                return
            time.sleep(0.1)


def daemon(lab: Lab) -> Daemon:
    """The stand-in's process."""
    return Daemon("pve", lab.state / "run", lab.logs / "pve.log")


def start_pve(lab: Lab) -> None:
    """Start the Proxmox stand-in in the lab's namespace and wait until it answers."""
    image = build()
    config = {"node": NODE, "host": lab.pve, "port": 8006, "cert": str(lab.secrets / "pve.pem"), "key": str(lab.secrets / "pve.key"),
              "state": str(lab.state / "pve"), "tokens": str(lab.secrets / "tokens.json"), "bridge": BRIDGE, "images": [str(image.disk)],
              "accelerator": accelerator(image)}  # fmt: skip
    keys.write(lab.state / "pve.json", json.dumps(config))
    process = daemon(lab)
    process.start(["ip", "netns", "exec", lab.netns, sys.executable, "-m", "lab.pve", "--config", lab.state / "pve.json"], cwd=ROOT)
    _until(lambda: _open(lab.pve, 8006), 20, "the Proxmox stand-in", process.tail)


def up(lab: Lab, *, snapshot: bool = False) -> None:
    """Make VM 100 if it is not there, start it, and wait until SSH answers. With `snapshot` a new one is kept as `fresh`, for `reset`."""
    start_pve(lab)
    api, path = Api(lab), f"/nodes/{NODE}/qemu/{VMID}"
    if VMID not in {v["vmid"] for v in api.call("GET", f"/nodes/{NODE}/qemu")}:
        _create(lab, api)
    begun = time.monotonic()
    status = api.call("GET", path + "/status/current")
    if status["status"] != "running":
        api.task("POST", path + "/status/start")
    elif status["qmpstatus"] == "paused":
        api.task("POST", path + "/status/resume")
    console = lab.state / "pve" / "run" / str(VMID) / "console.log"
    _until(lambda: ssh_answers(lab), 420, "the VM's SSH", lambda: console.read_text(errors="replace")[-300:] if console.exists() else "")
    say(f"VM {VMID} (datalake) answers SSH at {lab.vm} after {time.monotonic() - begun:.0f} s")
    if snapshot and not _fresh(api):
        _take_fresh(lab, api)
    _untouched(lab).unlink(missing_ok=True)


def _untouched(lab: Lab) -> Path:
    return lab.state / "untouched"  # there from the making of the VM to the end of its first `up`


def _create(lab: Lab, api: Api) -> None:
    say(f"making VM {VMID} (datalake)")
    _untouched(lab).touch()
    credential = lab.secrets / "host-key.credential"
    host_key = base64.b64encode((lab.secrets / "host_ed25519").read_bytes()).decode()
    keys.write(credential, f"io.systemd.credential.binary:ssh.hostkey={host_key}")
    image = build()
    kernel, initrd = (_own(lab, file) for file in (image.kernel, image.initrd))
    args = f"-kernel {kernel} -initrd {initrd} -append '{BOOT_ARGS}' -smbios type=11,path={credential}"
    api.task("POST", f"/nodes/{NODE}/qemu", vmid=VMID, name="datalake", memory=2048, cores=2, cpu="x86-64-v3", scsihw="virtio-scsi-single",
             hotplug="disk,network", agent="1", ostype="l26", net0=f"virtio=BC:24:11:00:{lab.subnet:02X}:10,bridge={BRIDGE}",
             scsi0=f"{STORAGE}:0,import-from=local:import/{image.disk.name},discard=on,iothread=1,ssd=1", boot="order=scsi0",
             ipconfig0=f"ip={lab.vm}/24,gw={lab.pve}", ciuser=SSH_USER, args=args, onboot=1,
             sshkeys=urllib.parse.quote((lab.secrets / "id_ed25519.pub").read_text().strip(), safe=""))  # fmt: skip


def _own(lab: Lab, file: Path) -> Path:
    """A file of the build cache as the lab's own: the cache lets it go when the image changes, and the VM still boots from it."""
    mine = lab.state / "boot" / file.name
    mine.parent.mkdir(mode=0o700, exist_ok=True)
    mine.unlink(missing_ok=True)
    try:
        mine.hardlink_to(file)
    except OSError:  # the cache is on another disk
        shutil.copy(file, mine)
    return mine


def ssh_command(lab: Lab) -> list[str]:
    """The command line that goes into the VM; the host's key is known and checked."""
    return ["ssh", "-F", "none", "-i", str(lab.secrets / "id_ed25519"), "-o", f"UserKnownHostsFile={lab.secrets / 'known_hosts'}", "-o", "StrictHostKeyChecking=yes",
            "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", f"{SSH_USER}@{lab.vm}"]  # fmt: skip


def ssh_answers(lab: Lab) -> bool:
    """Whether the VM's SSH server greets."""
    try:
        with socket.create_connection((lab.vm, 22), timeout=2) as wire:
            wire.settimeout(5)
            return wire.recv(4) == b"SSH-"
    except OSError:
        return False


def down(lab: Lab) -> None:
    """Shut the VMs down, the guests first asked, then stop the stand-in."""
    if net.exists(lab.netns) and (daemon(lab).pid() or machines(lab)):
        start_pve(lab)
        api = Api(lab)
        try:
            for row in api.call("GET", f"/nodes/{NODE}/qemu"):
                if row["status"] == "running":
                    api.task("POST", f"/nodes/{NODE}/qemu/{row['vmid']}/status/shutdown", timeout=90, forceStop=1)
        except LabError as error:
            say(str(error))
    daemon(lab).stop()
    kill_machines(lab)


def machines(lab: Lab) -> list[int]:
    """The process ids of the lab's running VMs."""
    known = [json.loads(file.read_text()) for file in (lab.state / "pve" / "run").glob("*/qemu.pid")]
    return [k["pid"] for k in known if start_time(k["pid"]) == k["start"]]


def kill_machines(lab: Lab) -> None:
    """End every QEMU process of the lab."""
    for pid in machines(lab):
        end(pid, 2)


def _fresh(api: Api) -> bool:
    return any(s["name"] == "fresh" for s in api.call("GET", f"/nodes/{NODE}/qemu/{VMID}/snapshot"))


def _take_fresh(lab: Lab, api: Api) -> None:
    if not _untouched(lab).exists():
        raise LabError("take", f"the snapshot 'fresh' of the lab {lab.name!r}", "its VM is not new any more",
                       f"Start over: ./lake lab destroy --name {lab.name}, then lab up --snapshot")  # fmt: skip
    # SSH answers before the last services have started: what they do would be done again after each reset.
    subprocess.run([*ssh_command(lab), "systemctl", "is-system-running", "--wait"], capture_output=True, timeout=240, check=False)
    api.task("POST", f"/nodes/{NODE}/qemu/{VMID}/snapshot", snapname="fresh", vmstate=1)


def reset(lab: Lab) -> None:
    """Take the VM back to its snapshot `fresh`: running, its disks as they were, the clock right, other disks removed."""
    api, path = Api(lab), f"/nodes/{NODE}/qemu/{VMID}"
    if not _fresh(api):
        raise LabError("reset", f"the lab {lab.name!r}", "it has no snapshot 'fresh'",
                       f"Start over: ./lake lab destroy --name {lab.name}, then lab up --snapshot")  # fmt: skip
    api.task("POST", f"{path}/snapshot/fresh/rollback")
    # What a rollback leaves as it is: disks added since, now unused, and the description.
    if left := [key for key in api.call("GET", f"{path}/config") if key.startswith("unused") or key == "description"]:
        api.call("PUT", f"{path}/config", delete=",".join(left))
    _until(lambda: ssh_answers(lab), 60, "the VM's SSH", str)
    off = api.call("GET", f"{path}/agent/get-time")["result"] / 1e9 - time.time()
    if abs(off) > CLOCK_OFF:
        raise LabError("reset", f"the lab {lab.name!r}", f"the VM's clock is {off:+.1f} s off, so that S3 would refuse signatures", "Run it again")


def _open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _until(ready: Any, seconds: float, what: str, evidence: Any) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise LabError("start", what, f"no answer within {seconds:.0f} s. {evidence()}", "Look at the logs: ./lake lab status")
        time.sleep(0.1)
