"""Taking a lake down: what goes and in which order, what stays and why, and what must be so before anything is touched.

Data (buckets, topics, the filesystem, the disk) stay unless they are named. What Homelake did not make stays, whatever is named.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from include.lake.errors import LakeError, Refused
from include.lake.lake import AnyResource, Lake
from include.lake.resource import ensure
from include.lake.resources.account import Account
from include.lake.resources.bucket import Bucket, refuse_locked
from include.lake.resources.filesystem import Filesystem
from include.lake.resources.keypair import KeyPair
from include.lake.resources.policy import Policy
from include.lake.resources.service import REMOVING as NOTE
from include.lake.resources.service import ServiceState
from include.lake.resources.service_account import ServiceAccount
from include.lake.resources.topic import Topic
from include.lake.resources.user import User
from include.lake.resources.vm_disk import VmDisk
from include.lake.survey import Clients, Finding, Status, find


@dataclass(frozen=True)
class Scope:
    """What is asked for. `goes` stand in the order of their removal, declared absent; `covered` go with the disk they lie on."""

    goes: tuple[AnyResource, ...]
    stays: dict[str, str]
    covered: tuple[str, ...]
    wipes: bool  # the filesystem or its disk goes, with all that is in it


@dataclass(frozen=True)
class Removal:
    """What a removal would do, once looked at."""

    scope: Scope
    goes: tuple[AnyResource, ...]
    stays: dict[str, str]
    errors: tuple[Finding, ...] = ()
    store: Any = field(default=None, repr=False)  # the service as it was found; None: there is none
    noted: bool = False  # a run that was killed has left its note

    @property
    def wipes(self) -> bool:
        """Whether all that is stored goes, so that every bucket is looked through for locked objects first."""
        return self.scope.wipes and any(isinstance(r, (Filesystem, VmDisk)) for r in self.goes)


def scope(lake: Lake, data: Collection[str]) -> Scope:
    """What goes and what stays when these data are named. Raises LakeError when one of them is not this lake's."""
    known = [*(b.id for b in lake.buckets), *(t.id for t in lake.topics), lake.filesystem.id, lake.vm_disk.id]
    if unknown := sorted(set(data) - set(known)):
        raise LakeError("remove", ", ".join(unknown), "it is no data of this lake", f"Its data are {', '.join(known)}")
    disk = lake.vm_disk.id in data
    wipes = disk or lake.filesystem.id in data
    goes, stays, covered = list[AnyResource](), dict[str, str](), list[str]()
    lie_on_it = ((Bucket, Policy, User) if wipes else (), Filesystem if disk else ())
    # The stream ends first, at a batch boundary: what it reads and writes, and the keys it does that with, are still there.
    for resource in (*([lake.stream] if lake.stream else ()), *reversed(lake.resources())):
        if isinstance(resource, lie_on_it):
            covered.append(resource.id)
        elif resource.id not in data and isinstance(resource, (Bucket, Topic, Filesystem, VmDisk)):
            stays[resource.id] = f"data; --data {resource.id} would delete it"
        elif isinstance(resource, Account) and not wipes:
            stays[resource.id] = "the data belong to it"
        else:
            goes.append(replace(resource, desired=None))
    return Scope(tuple(goes), stays, tuple(covered), wipes)


def look(lake: Lake, what: Scope, clients: Clients) -> Removal:
    """Find what of it is there; reads only. What is not Homelake's stays, and with it what it needs."""
    service, disk = find(lake.minio_service, clients, ()), find(lake.vm_disk, clients, ())
    store: Any = service.observed
    if store and _half_gone(store, clients):
        store = None
    there, errors, stays = list[AnyResource](), [f for f in (service,) if f.error], dict(what.stays)
    for resource in what.goes:
        if store is None and isinstance(resource, Bucket):
            stays[resource.id] = "if it is still there, it sleeps in the data; ./lake apply brings MinIO back"
        if resource.part == "minio" and not (store and store.serving):
            there += [resource] if store else []  # there or not: `refuse` says that it cannot be known
            continue
        if isinstance(resource, Filesystem) and not disk.error and disk.observed is None:
            continue
        finding = find(replace(resource, store=store is not None) if isinstance(resource, KeyPair) else resource, clients, ())
        if finding.status is Status.UNREACHABLE:
            errors.append(finding)
        elif finding.status is Status.REFUSED:
            assert finding.error is not None
            stays[resource.id] = finding.error.cause if isinstance(finding.error, Refused) else str(finding.error)
        elif finding.plan:
            there.append(replace(resource, store=store is not None) if isinstance(resource, KeyPair) else resource)
    if lake.filesystem.id in what.covered and disk.observed is not None:  # it goes with its disk, so it is asked as well whose it is
        below = find(replace(lake.filesystem, desired=None), clients, ())
        if below.status is Status.UNREACHABLE:
            errors.append(below)
        elif below.error is not None:
            stays[below.resource_id] = below.error.cause
    for resource in lake.resources()[::-1]:  # dependants first
        if resource.id in stays and resource.id not in what.stays:
            for need in _held(lake, resource):
                stays.setdefault(need, f"{resource.id} stays, which needs it")
    return Removal(what, tuple(r for r in there if r.id not in stays), stays, tuple(errors), store, not errors and clients("host").note(NOTE) is not None)


def _half_gone(service: ServiceState, clients: Clients) -> bool:
    """Whether a removal that was killed has begun to take the service away: it was switched off first, and that is noted."""
    return not service.serving and not service.enabled and clients("host").note(NOTE) is not None


def _held(lake: Lake, resource: AnyResource) -> Iterator[str]:
    """What must stay when this one does."""
    if resource.id == lake.minio_service.id:
        yield from (r.id for r in lake.resources() if r.part in ("host", "proxmox") and r.id != resource.id)
    elif isinstance(resource, Filesystem):
        yield lake.vm_disk.id
    elif isinstance(resource, User):
        yield resource.policy
    elif isinstance(resource, (KeyPair, ServiceAccount)):
        yield from resource.needs


def refuse(lake: Lake, removal: Removal, clients: Clients) -> None:
    """Raise unless everything can be known, and no locked object would be deleted. Reads only."""
    if removal.errors:
        raise LakeError("remove", f"the lake {lake.spec.name}", "\n- ".join(["not everything of it can be seen", *(str(f.error) for f in removal.errors)]),
                        "Nothing was touched. Make it reachable, or wait, and run again")  # fmt: skip
    ids = {r.id for r in removal.goes}
    disk = lake.vm_disk
    if disk.id in ids and (held := clients("proxmox").holding(disk.node, disk.vmid, disk.slot)):
        raise Refused("delete", disk.id, f"the VM's snapshots {', '.join(held)} hold it", "Delete them in Proxmox VE (VM → Snapshots), and run again")
    stored = [r for r in removal.goes if isinstance(r, Bucket)]
    if removal.store is None:
        if removal.wipes and not _looked_through(lake, clients):
            raise Refused("delete", "the data", "MinIO is not there any more, so whether they hold locked objects cannot be known",
                          "Run ./lake apply, which brings it back on the same data, and then remove once more with --data")  # fmt: skip
        return
    if not removal.store.serving and (removal.wipes or any(r.part == "minio" for r in removal.goes)):
        raise LakeError("remove", f"the lake {lake.spec.name}", "MinIO does not serve, so what is in it cannot be seen or removed",
                        "Start it (./lake apply service/minio), and run again")  # fmt: skip
    for name in clients("minio").bucket_names() if removal.wipes else [b.name for b in stored]:
        refuse_locked(name, clients("minio"))


def _looked_through(lake: Lake, clients: Clients) -> bool:
    """Whether there is nothing to look through, or an earlier run, killed since, has done it."""
    found = find(replace(lake.filesystem, desired=None), clients, ())
    nothing = found.status is Status.OK and found.observed is None
    return nothing or clients("host").note(NOTE) == _mark(lake)


def _mark(lake: Lake) -> str:
    """What the note says once no locked object was found in any bucket of that filesystem."""
    return f"{lake.filesystem.id} {lake.mount.uuid}"


def remove(lake: Lake, removal: Removal, clients: Clients) -> Iterator[str]:
    """Take it down, one after another; yields the id of each that is gone. Killed anywhere, the next run goes on."""
    host = clients("host")
    for resource in removal.goes:
        if resource.id == lake.minio_service.id and removal.store is not None:
            # A removal that leaves the data has not looked through them: its note lets no later one delete them unseen.
            host.write_note(NOTE, _mark(lake) if removal.wipes else "begun")
        ensure(resource, clients(resource.part), force={resource.id})
        yield resource.id
    host.remove_note(NOTE)
