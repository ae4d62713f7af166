"""The Kubernetes node of a lab: a process in its own namespaces that runs containerd and every part of Kubernetes."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from lab import net
from lab.errors import LabError
from lab.k8s import build
from lab.keys import write
from lab.progress import say
from lab.run import Daemon, end, sh
from lab.site import Lab

FILES = Path(__file__).parent / "files"
NODE_NAME = "lab"
CGROUPS = Path("/sys/fs/cgroup")


def folder(lab: Lab) -> Path:
    """Where the node's state is."""
    return lab.state / "k8s"


def daemon(lab: Lab) -> Daemon:
    """The node's process; ending it ends everything in it."""
    return Daemon("k8s-node", lab.state / "run", lab.logs / "k8s-node.log")


def cgroups(lab: Lab) -> list[Path]:
    """The lab's control groups: one in each hierarchy of version 1, or the one of version 2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / lab.cgroup]
    return [h / lab.cgroup for h in sorted(CGROUPS.iterdir()) if h.is_dir() and not h.is_symlink() and (h / "cgroup.procs").exists() and h.name != "unified"]


def up(lab: Lab) -> None:
    """Start the node, unless it runs, and wait until Kubernetes says it is ready."""
    if not daemon(lab).pid():
        _clean(lab)
        _prepare(lab)
        net.attach(lab, lab.node_netns, lab.node)
        root = build.node_root()
        enter: list[str | Path] = ["nsenter", f"--net=/run/netns/{lab.node_netns}", "unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child",
                 "bash", FILES / "enter.sh", root, folder(lab), NODE_NAME]  # fmt: skip
        join = "; ".join(f"echo $$ >{c / 'cgroup.procs'}" for c in cgroups(lab))
        daemon(lab).start(["bash", "-c", f'set -e; {join}; exec "$@"', "node", *enter])
    begun = time.monotonic()
    kubeconfig = folder(lab) / "kubernetes" / "admin.conf"
    _until(lab, 60, "the Kubernetes API", lambda: kubeconfig.exists() and _ready(lab))
    write(lab.kubeconfig, kubeconfig.read_text())
    _until(
        lab,
        60,
        "the Kubernetes node",
        lambda: "True" in kubectl(lab, "get", "nodes", "-o", "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"),
    )
    say(f"Kubernetes {build.KUBERNETES} answers at https://{lab.node}:6443 after {time.monotonic() - begun:.0f} s")


def _ready(lab: Lab) -> bool:
    admin = folder(lab) / "kubernetes" / "admin.conf"
    done = subprocess.run([build.kube() / "kubectl", f"--kubeconfig={admin}", "get", "--raw", "/readyz"], capture_output=True, check=False, text=True)
    return done.stdout == "ok"


def kubectl(lab: Lab, *args: str, input: str | None = None, check: bool = True) -> str:
    """Run kubectl as the lab's administrator."""
    return sh(build.kube() / "kubectl", f"--kubeconfig={lab.kubeconfig}", *args, input=input, check=check)


def _prepare(lab: Lab) -> None:
    base = folder(lab)
    files = base / "kubernetes" / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    facts = {"@ADDRESS@": lab.node, "@NODE@": NODE_NAME, "@VERSION@": build.KUBERNETES}
    for source in FILES.iterdir():
        text = source.read_text()
        for mark, value in facts.items():
            text = text.replace(mark, value)
        (files / source.name).write_text(text)
    (files / "node.env").write_text(f"ADDRESS={lab.node} NODE={NODE_NAME}\n")
    store, mine = build.image_store(), base / "containerd"
    chosen = base / "store"
    if not mine.exists() or not chosen.exists() or chosen.read_text() != store.parent.name:
        shutil.rmtree(mine, ignore_errors=True)
        # The unpacked images are never written, so links do; the databases beside them are copied.
        sh("cp", "-al" if store.stat().st_dev == base.stat().st_dev else "-a", store, mine)  # links do not cross filesystems
        for database in mine.rglob("*.db"):
            own = database.with_suffix(".own")
            shutil.copy(database, own)
            own.replace(database)
        chosen.write_text(store.parent.name)
    for group in cgroups(lab):
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # version 1 starts these empty, and an empty set takes no process
            if (group / setting).exists() and not (group / setting).read_text().strip():
                (group / setting).write_text((group.parent / setting).read_text())


def down(lab: Lab) -> None:
    """End the node and everything in it. Its state stays."""
    daemon(lab).stop(0)
    _clean(lab)
    if net.exists(lab.node_netns):
        sh("ip", "netns", "del", lab.node_netns)


def _clean(lab: Lab) -> None:
    """Remove the control groups a node left, with whatever is still in them."""
    for group in cgroups(lab):
        for child in sorted((p for p in group.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)) if group.exists() else []:
            _empty(child)
        if group.exists():
            _empty(group)


def _empty(group: Path) -> None:
    for _ in range(100):
        for pid in (group / "cgroup.procs").read_text().split():
            if int(pid) != os.getpid():
                end(int(pid), 0)
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.05)


def _until(lab: Lab, seconds: float, what: str, ready: object) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if ready():  # type: ignore[operator]
                return
        except LabError:
            pass
        if not daemon(lab).pid():
            raise LabError("start", what, f"the node's process ended. {daemon(lab).tail()}", f"Look at {folder(lab) / 'log'}")
        if time.monotonic() > deadline:
            raise LabError("start", what, f"not ready within {seconds:.0f} s", f"Look at {folder(lab) / 'log'}")
        time.sleep(0.2)
