"""What a site must be like before a lake can be made on it, judged from facts that others have read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.lake.errors import LakeError
from include.lake.root_credentials import WANTED, fit
from include.lake.secret import Secret
from include.lake.units import Size

VM_PRIVILEGES = ("VM.Audit", "VM.Config.Disk", "VM.Snapshot")
STORAGE_PRIVILEGES = ("Datastore.AllocateSpace", "Datastore.Audit")
BACKUP_PRIVILEGES = ("VM.Backup",)  # on the VM, beside the others; asked for only where backups are scheduled
_RESTORED = ("VM.Allocate", "VM.Audit", "VM.Config.Network", "VM.Config.Options", "VM.PowerMgmt")
HOTPLUG = "network,disk,usb"  # Proxmox VE's default, which `1` stands for
SINGLE = "virtio-scsi-single"
_THICK = ("lvm", "iscsi", "iscsidirect")  # storages that give a volume all of its space at once

# What Homelake calls in the VM, with the Debian package it comes from. Every one is in a Debian cloud image.
PROGRAMS = {
    "bash": "bash", "systemctl": "systemd", "systemd-escape": "systemd", "journalctl": "systemd", "udevadm": "udev",
    "blkid": "util-linux", "wipefs": "util-linux", "lsblk": "util-linux", "blockdev": "util-linux", "findmnt": "util-linux", "mountpoint": "util-linux",
    "unshare": "util-linux", "setpriv": "util-linux", "flock": "util-linux", "mount": "mount",
    "mkfs.ext4": "e2fsprogs", "dumpe2fs": "e2fsprogs", "e2label": "e2fsprogs", "e2fsck": "e2fsprogs", "resize2fs": "e2fsprogs",
    "lsattr": "e2fsprogs", "chattr": "e2fsprogs", "useradd": "passwd", "usermod": "passwd", "getent": "libc-bin",
    "timeout": "coreutils", "sha256sum": "coreutils", "gzip": "gzip", "sed": "sed", "grep": "grep", "diff": "diffutils", "nft": "nftables",
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what is wrong with it and what to do, or nothing. `what` says what was found."""

    what: str
    problem: str = ""
    remedy: str = ""


def _found(what: str, error: LakeError) -> Finding:
    """The finding that an error is."""
    return Finding(what, error.cause, error.remedy or "Look at the part itself")


# Proxmox VE


def privileges(token: str, path: str, needed: Sequence[str], held: Collection[str], role: str = "") -> Finding:
    """Whether a token may do at a path what Homelake does there; the remedy is the lines that give it."""
    missing = [p for p in needed if p not in held]
    return Finding(f"privileges of {token} on {path}", f"it lacks {', '.join(missing)}" if missing else "", grant(token, path, needed, role))


def grant(token: str, path: str, needed: Sequence[str], role: str = "") -> str:
    """The `pveum` lines that give a token these privileges at a path.

    The role has all that is needed there, not only what is missing: an entry at a path replaces what is inherited from
    above. User and token both get it, since a token with privilege separation has no more than its user.
    """
    role, listed = role or "Homelake" + path.split("/")[1].rstrip("s").title(), " ".join(needed)
    user = token.partition("!")[0]
    return (f"Run as root on a Proxmox VE node:\n"
            f"  pveum role add {role} --privs '{listed}' || pveum role modify {role} --privs '{listed}'\n"
            f"  pveum acl modify {path} --roles {role} --users '{user}' --tokens '{token}'")  # fmt: skip


def backups(token: str, vmid: int, storage: str, held: Mapping[str, Collection[str]], content: str, *, scheduled: bool) -> list[Finding]:
    """Whether the token may back the VM up, and the storage takes backups; no problem where none are scheduled. `held`: privileges by path."""
    vm, place = f"/vms/{vmid}", f"/storage/{storage}"
    found = [privileges(token, vm, (*VM_PRIVILEGES, *BACKUP_PRIVILEGES), held[vm]), privileges(token, place, STORAGE_PRIVILEGES, held[place])]
    if not any(f.problem for f in found):
        takes = "backup" in content.split(",")
        return [Finding(f"backups to storage {storage}", "" if takes else "it does not take backups",
                        f"Run on the node: pvesm set {storage} --content {content},backup\n  Or set backup.storage in include/lake.yaml to another")]  # fmt: skip
    if scheduled:
        return [f for f in found if f.problem]
    lacking = "; ".join(f"on {place}: {f.problem}" for f, place in zip(found, (vm, place), strict=True) if f.problem)
    return [Finding(f"backups: none are scheduled; the token may not make any ({lacking})")]


def restore_privileges(vmid: int, storage: str, archived: Mapping[str, str], version: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """What a restore needs, by path: the role's name and the privileges. Before Proxmox VE 9 the guest's agent was the monitor's."""
    agent = "VM.GuestAgent.Unrestricted" if int(version.split(".")[0]) >= 9 else "VM.Monitor"
    bridges = {part.partition("=")[2] for key, value in archived.items() if key.startswith("net") for part in value.split(",") if part.startswith("bridge=")}
    return {f"/vms/{vmid}": ("HomelakeRestored", (*_RESTORED, agent)), f"/storage/{storage}": ("", STORAGE_PRIVILEGES)} | {
        f"/sdn/zones/localnetwork/{bridge}": ("HomelakeBridge", ("SDN.Use",)) for bridge in sorted(bridges)}  # fmt: skip


def node(name: str, rows: Sequence[Mapping[str, Any]]) -> Finding:
    """Whether the declared node is one of the cluster's, and online."""
    row = next((r for r in rows if r.get("node") == name), None)
    if row is None:
        return Finding(
            f"node {name}", "the cluster has no such node", f"Set vm.node in include/lake.yaml to one of {', '.join(sorted(str(r['node']) for r in rows))}"
        )
    return Finding(
        f"node {name}", "" if row.get("status", "online") == "online" else f"it is {row['status']}", "Start the node, and look at pvecm status there"
    )


def machine(where: str, vmid: int, row: Mapping[str, Any] | None, seen: Collection[int]) -> Finding:
    """Whether the declared VM is there, on the declared node, and runs. `row`: the cluster's line on it; `seen`: all guests that the token sees."""
    what = f"VM {vmid}"
    if row is None:
        return Finding(what, f"the token sees no VM of that number (it sees {', '.join(map(str, sorted(seen))) or 'none'})",
                       "Make the VM (docs/how-to/real-site.md), set vm.vmid in include/lake.yaml, or give the token VM.Audit on it")  # fmt: skip
    if row.get("type", "qemu") != "qemu" or row.get("template"):
        kind = "a template" if row.get("template") else "a container"
        return Finding(what, f"it is {kind}, not a virtual machine", "Set vm.vmid in include/lake.yaml to a virtual machine's")
    if row.get("node") != where:
        return Finding(what, f"it is on the node {row.get('node')}, and {where} is declared", f"Set vm.node in include/lake.yaml to {row.get('node')}")
    running = row.get("status") == "running"
    return Finding(f"{what} on {where}", "" if running else f"it is {row.get('status')}", f"Run on {where}: qm start {vmid}")


def controller(vmid: int, scsihw: str, iothread: bool | None) -> Finding:
    """Whether the VM's SCSI controller carries what is declared for the disk."""
    return Finding(f"SCSI controller of VM {vmid}: {scsihw}", f"iothread is declared, which needs {SINGLE}" if iothread and scsihw != SINGLE else "",
                   f"Run on its node: qm set {vmid} --scsihw {SINGLE} && qm shutdown {vmid} && qm start {vmid}\n"
                   "  Or take iothread out of include/lake.yaml")  # fmt: skip


def hotplug(vmid: int, features: str) -> Finding:
    """Whether a disk can be added while the VM runs."""
    now = HOTPLUG if features in ("", "1") else "" if features == "0" else features
    return Finding(f"hotplug of VM {vmid}: {now or 'off'}", "" if "disk" in now.split(",") else "a disk added to the running VM would not show until it is restarted",
                   f"Run on its node: qm set {vmid} --hotplug {','.join([*(now.split(',') if now else []), 'disk'])}")  # fmt: skip


def storage(name: str, status: Mapping[str, Any], size: Size, present: Size) -> Finding:
    """Whether a storage can hold the declared disk. `present`: what is allocated of it already."""
    free, total, kind = int(status.get("avail", 0)), int(status.get("total", 0)), str(status.get("type", "?"))
    what = f"storage {name} ({kind}): {free / 2**30:.0f} GiB free of {total / 2**30:.0f} GiB"
    if not int(status.get("active", 1)) or not int(status.get("enabled", 1)):
        return Finding(what, "it is not active", f"Run on the node: pvesm set {name} --disable 0 && pvesm status")
    if "images" not in str(status.get("content", "images")).split(","):
        return Finding(
            what,
            "it does not take VM disks",
            f"Run on the node: pvesm set {name} --content {status.get('content')},images\n  Or set vm.disk.storage to another",
        )
    need = size - present
    if kind in _THICK and free < need:
        return Finding(what, f"the disk needs {need / 2**30:.0f} GiB of it at once", "Free some, or declare a smaller vm.disk.size or another vm.disk.storage")
    tight = f"; {size} declared, taken as the lake fills: watch it" if need > free else f"; {size} declared"
    return Finding(what + tight)


# The VM


def sudo(login: str, host: str, cause: str = "") -> Finding:
    """Whether commands run as root. `cause`: what sudo says against it."""
    return Finding(f"root in the VM{'' if login == 'root' else f' (sudo, as {login})'}", cause,
                   f"Run (sudo asks for the password once more):\n"
                   f"  ssh -t {login}@{host} \"echo '{login} ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/homelake && sudo chmod 440 /etc/sudoers.d/homelake\"")  # fmt: skip


def programs(login: str, host: str, missing: Collection[str]) -> Finding:
    """Whether the VM has every program that Homelake calls there."""
    packages = " ".join(sorted({PROGRAMS[p] for p in missing}))
    return Finding(f"programs in the VM ({len(PROGRAMS)} looked for)", f"missing: {', '.join(sorted(missing))}" if missing else "",
                   f"On Debian or Ubuntu: ssh {login}@{host} 'sudo apt-get update && sudo apt-get install -y {packages}'")  # fmt: skip


def init(comm: str) -> Finding:
    """Whether systemd runs the VM."""
    return Finding(
        "systemd in the VM", "" if comm == "systemd" else f"its first process is {comm or 'unknown'}, not systemd", "Take a VM whose system boots with systemd"
    )


# MinIO


def credentials(given: Secret) -> Finding:
    """Whether MinIO would run with these root credentials (`user:password`)."""
    return Finding("root credentials of MinIO", "" if fit(given) else WANTED,
                   "Set login and password of the connection 'minio_admin' (S3_ROOT_USER, S3_ROOT_PASSWORD in site.env)")  # fmt: skip


def store(url: str, error: LakeError | None, installed: bool | None) -> Finding:
    """How MinIO answers. Before the first bootstrap it is not there: `installed` says whether the VM has its service (None: unknown)."""
    if error is None:
        return Finding(f"minio_admin: MinIO at {url}")
    # Silence is right before a bootstrap; a name that leads nowhere, or another server's answer, never is.
    silent = any(sign in error.cause.lower() for sign in ("refused", "timed out", "no route", "unreachable"))
    if silent and not installed:
        doubt = " (whether the VM has its service is not known)" if installed is None else ""
        return Finding(f"minio_admin: MinIO at {url} does not answer yet, as is right before the first lake_bootstrap{doubt}")
    return _found(f"minio_admin: MinIO at {url}", error)


def endpoints(minio: tuple[str, str], s3: tuple[str, str], region: str, port: int, declared: int) -> Finding:
    """Whether the connections `minio_admin` and `lake_s3` (each: endpoint, region) lead to the declared store, for pods as well. `port`: minio_admin's."""
    what = "minio_admin and lake_s3 lead to one store"
    host = minio[0].partition("//")[2].partition(":")[0].rstrip("/")
    if host in ("localhost", "::1", "[") or host.startswith("127."):
        return Finding(
            what, f"{minio[0]} is this machine itself, wherever it is asked: a Spark pod would ask its own pod", "Set host of 'minio_admin' to the VM's address"
        )
    if s3[0].rstrip("/") != minio[0].rstrip("/"):
        return Finding(what, f"'lake_s3' leads to {s3[0] or 'Amazon'}, 'minio_admin' to {minio[0]}", f"Set endpoint_url of 'lake_s3' to {minio[0]}")
    if port != declared:
        return Finding(what, f"they lead to port {port}, and minio.port {declared} is declared: the bootstrap lets MinIO listen there",
                       f"Set the port of both to {declared} (S3_ENDPOINT in site.env), or declare minio.port: {port}")  # fmt: skip
    wrong = {name: given for name, given in (("minio_admin", minio[1]), ("lake_s3", s3[1])) if given != region}
    return Finding(what, f"the region of {' and '.join(wrong)} is {next(iter(wrong.values())) or 'not set'}, and {region} is declared: S3 would answer 400" if wrong else "",
                   f"Set region of 'minio_admin' and region_name of 'lake_s3' to {region}")  # fmt: skip


def way(host: str, port: int, said: str, *, serving: bool, vm: tuple[str, int]) -> Finding:
    """What a pod said of its way to MinIO. `serving`: MinIO answers the bastion, so it must answer the pod as well."""
    where = f"{host}:{port}"
    if said == "open":
        return Finding(f"a pod reaches MinIO at {where}")
    if said == "refused" and not serving:
        return Finding(f"a pod reaches {host}; nothing listens on {port} yet, as is right before the first lake_bootstrap")
    if said == "unresolved":
        return Finding("a pod on its way to MinIO", f"the cluster's DNS does not know {host}",
                       "Set host of 'minio_admin' and endpoint_url of 'lake_s3' to the VM's IP address, or teach the name to the cluster's DNS")  # fmt: skip
    cause = (
        f"{where} refuses a pod and answers this machine"
        if said == "refused"
        else f"{where} does not answer a pod ({said.partition(' ')[2] or said or 'no word from it'})"
    )
    return Finding("a pod on its way to MinIO", cause,
                   "Let the cluster's nodes in. Where Proxmox VE's firewall is on for the VM, run on a node:\n"
                   f"  pvesh create /nodes/{vm[0]}/qemu/{vm[1]}/firewall/rules --type in --action ACCEPT --proto tcp --dport {port} --enable 1")  # fmt: skip
