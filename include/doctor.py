"""`./lake doctor`: a real site before a bootstrap. It reads only, and says of everything that is wrong what to paste to mend it."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

from include.adapters import cluster
from include.adapters.clients import Clients
from include.adapters.host.ssh import NotRoot
from include.adapters.preflight import account_problems, operator_problems
from include.adapters.probe import Probe, reach
from include.connections import secret_of, store_at, without_login
from include.doctor_bastion import program
from include.doctor_kafka import Step, kafka
from include.lake import rights, site
from include.lake.errors import LakeError
from include.lake.lake import ROOT, SERVICE, Lake
from include.lake.site import Finding
from include.lake.spec import LakeSpec
from include.lake.units import Size

_PROGRAMS = """
for p in "$@"; do command -v "$p" >/dev/null || echo "missing=$p"; done; echo "init=$(cat /proc/1/comm)"
"""
NOT_TRIED = Finding("whether a pod reaches MinIO: not tried, since it starts one (./lake doctor --probe-pod)")


def examine(lake: Lake, clients: Clients, *, probe_pod: bool = False) -> Iterator[Finding]:
    """Look at all parts of the site, side by side; the findings come in a fixed order. With `probe_pod` a pod is started, and removed.

    A part that cannot be reached hides nothing of the others.
    """
    vm = (*machine(clients), *program(lake, clients), *store(lake.spec, clients))
    parts = (proxmox(lake, clients), vm, kubernetes(lake.spec, clients, probe_pod=probe_pod), kafka(lake, clients))
    with ThreadPoolExecutor(len(parts)) as pool:
        yield from chain.from_iterable(pool.map(look, parts))


def look(steps: Iterable[Step]) -> list[Finding]:
    """Take the steps in turn. After one that is named for a connection fails, those that need that connection are left out."""
    findings: list[Finding] = []
    down = ""
    for name, step in steps:
        part = name.partition("/")[0]
        if part == down:
            continue
        try:
            findings += step()
        except LakeError as error:
            more = "; nothing more of it was looked at" if name == part else ""
            findings.append(Finding(name.rpartition("/")[2], error.cause + more, error.remedy or f"Look at it there, and at the connection {part!r}"))
        except Exception as error:  # something is there, and does not answer as that part would: the others are looked at all the same
            findings.append(Finding(name.rpartition("/")[2], f"its answer makes no sense ({type(error).__name__}: {str(error)[:200]})",
                                    f"Check where the connection {part!r} leads"))  # fmt: skip
        else:
            continue
        down = part if name == part else down
    return findings


def proxmox(lake: Lake, clients: Clients) -> Iterator[Step]:
    """The Proxmox VE API, what the token may do, the node, the VM and the storage."""
    vm, disk = lake.spec.vm, lake.spec.vm.disk

    def get(path: str, /, **params: Any) -> Any:
        return clients.proxmox.call("get", path, **params)

    def connection() -> Iterator[Finding]:
        c = clients.connections("proxmox")
        yield Finding(f"proxmox: Proxmox VE {get('version')['version']} at {without_login(c.host)}")

    def privileges() -> Iterator[Finding]:
        token = clients.connections("proxmox").login
        for path, needed in ((f"/vms/{vm.vmid}", site.VM_PRIVILEGES), (f"/storage/{disk.storage}", site.STORAGE_PRIVILEGES)):
            yield site.privileges(token, path, needed, set(get("access/permissions", path=path).get(path) or ()))

    def guest() -> Iterator[Finding]:
        yield site.node(vm.node, get("nodes"))
        rows = {int(r["vmid"]): r for r in get("cluster/resources", type="vm") if "vmid" in r}
        row = rows.get(vm.vmid)
        yield site.machine(vm.node, vm.vmid, row, rows.keys())
        if row and row.get("node") == vm.node and row.get("type", "qemu") == "qemu":
            config = clients.proxmox.config(vm.node, vm.vmid)
            yield site.controller(vm.vmid, str(config.get("scsihw", "lsi")), disk.iothread)
            yield site.hotplug(vm.vmid, str(config.get("hotplug", "")))

    def storage() -> Iterator[Finding]:
        try:
            status = get(f"nodes/{vm.node}/storage/{disk.storage}/status")
        except LakeError as error:
            if "Permission check failed" in error.cause:
                return  # the privileges have said so, with their remedy
            raise
        yield site.storage(disk.storage, status, disk.size, _allocated(lake, clients))

    def backups() -> Iterator[Finding]:
        token, place = clients.connections("proxmox").login, lake.spec.backup.storage
        held = {path: set(get("access/permissions", path=path).get(path) or ()) for path in (f"/vms/{vm.vmid}", f"/storage/{place}")}
        content = ""
        if held[f"/storage/{place}"].intersection(site.STORAGE_PRIVILEGES):
            content = str(get(f"nodes/{vm.node}/storage/{place}/status").get("content", ""))
        yield from site.backups(token, vm.vmid, place, held, content, scheduled=lake.spec.backup.schedule is not None)

    yield "proxmox", connection
    yield "proxmox/privileges of the token", privileges
    yield f"proxmox/VM {vm.vmid}", guest
    yield f"proxmox/storage {disk.storage}", storage
    yield "proxmox/backups", backups


def _allocated(lake: Lake, clients: Clients) -> Size:
    """What the disk has of its storage already."""
    try:
        there = lake.vm_disk.observe(clients.proxmox)
    except LakeError:  # a foreign volume in the slot: plan tells
        return Size(0)
    return there.size if there else Size(0)


def machine(clients: Clients) -> Iterator[Step]:
    """The VM by SSH: the log-in, root, the programs."""

    def connection() -> Iterator[Finding]:
        c = clients.connections("lake_host")
        refused = ""
        try:
            clients.host.run("true")
        except NotRoot as error:
            refused = error.cause
        yield Finding(f"lake_host: {c.login}@{c.host}:{c.port or 22}")
        yield site.sudo(c.login, c.host, refused)

    def programs() -> Iterator[Finding]:
        c = clients.connections("lake_host")
        try:
            lines = clients.host.run(_PROGRAMS, *site.PROGRAMS).out.splitlines()
        except NotRoot:
            return  # sudo has said so
        facts = [line.partition("=") for line in lines]
        yield site.programs(c.login, c.host, [value for key, _, value in facts if key == "missing"])
        yield site.init(next((value for key, _, value in facts if key == "init"), ""))

    yield "lake_host", connection
    yield "lake_host/programs in the VM", programs


def store(spec: LakeSpec, clients: Clients) -> Iterator[Step]:
    """MinIO, as far as it is there, and the two connections that lead to it."""

    def connection() -> Iterator[Finding]:
        c, s3 = clients.connections("minio_admin"), clients.connections("lake_s3")
        login = site.credentials(secret_of(clients.connections, ROOT))
        yield login
        leads = (without_login(c.host), c.option("region")), (without_login(s3.option("endpoint_url")), s3.option("region_name"))
        yield site.endpoints(*leads, spec.minio.region, store_at(c)[2], spec.minio.port)
        if login.problem:
            return
        error: LakeError | None = None
        try:
            clients.minio.bucket_names()
        except LakeError as said:
            error = said
        yield site.store(without_login(c.host), error, _installed(spec, clients) if error else True)

    yield "minio_admin", connection


def _installed(spec: LakeSpec, clients: Clients) -> bool | None:
    """Whether the VM has MinIO's service; None when that cannot be found out."""
    try:
        return clients.host.service(SERVICE, spec.minio.port) is not None
    except LakeError:
        return None


def kubernetes(spec: LakeSpec, clients: Clients, *, probe_pod: bool) -> Iterator[Step]:
    """The cluster, what the account may do, the spark-operator, and with `probe_pod` the way from a pod to MinIO."""
    k8s, name = spec.kubernetes, "kubernetes_default"

    def connection() -> Iterator[Finding]:
        yield Finding(f"{name}: Kubernetes {cluster.version(clients.kubernetes)} at {clients.kubernetes.api.configuration.host}")

    def allowed() -> Iterator[Finding]:
        asked = (*rights.BASE, *rights.DRIVER, *rights.ESCALATE, rights.MAKE_NAMESPACE)
        denied = list(cluster.denied(clients.kubernetes, k8s.namespace, asked))
        yield rights.rights(cluster.user(clients.kubernetes) or "the account", k8s.namespace, there=_namespace(spec, clients), denied=denied)

    def operator() -> Iterator[Finding]:
        what = "the spark-operator's CRD and webhook"
        yield from _as_far_as_allowed(what, lambda: _findings(what, operator_problems(clients.kubernetes, k8s.namespace)))

    def watches() -> Iterator[Finding]:
        yield from _as_far_as_allowed("what the spark-operator watches", lambda: rights.operators(k8s.namespace, cluster.operators(clients.kubernetes)))

    def account() -> Iterator[Finding]:
        what = f"service account {k8s.namespace}/{k8s.service_account}"
        try:
            there = clients.kubernetes.service_account(k8s.namespace, k8s.service_account)
        except LakeError as error:
            if "forbidden" in error.cause:
                return  # the rights have said so
            raise
        if there is None:
            yield Finding(f"{what}: not there yet; lake_bootstrap makes it")
        else:
            yield from _findings(what, account_problems(clients.kubernetes, k8s.namespace, k8s.service_account))

    def pod() -> Iterator[Finding]:
        yield _reached(spec, clients) if probe_pod else NOT_TRIED

    yield name, connection
    for what, step in (("rights", allowed), ("the spark-operator", operator), ("what the spark-operator watches", watches),
                       ("the service account of the jobs", account), ("a pod on its way to MinIO", pod)):  # fmt: skip
        yield f"{name}/{what}", step


def _findings(what: str, problems: Iterable[str]) -> list[Finding]:
    """Preflight's sentences, each a cause and then its remedy, as findings; without any, the one that all is well."""
    return [Finding(what, *text.split(". ", 1)) for text in problems] or [Finding(what)]


def _as_far_as_allowed(what: str, judge: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Who may not look at cluster-wide objects is not kept from running jobs: that is said, and is no problem."""
    try:
        return list(judge())
    except LakeError as error:
        if "forbidden" not in str(error):
            raise
        return [Finding(f"{what}: not known, since the account may not look at it; jobs run all the same")]


def _namespace(spec: LakeSpec, clients: Clients) -> bool:
    try:
        return clients.kubernetes.namespace(spec.kubernetes.namespace) is not None
    except LakeError:  # the rights tell that it may not be looked at
        return False


def _reached(spec: LakeSpec, clients: Clients) -> Finding:
    _, host, port = store_at(clients.connections("minio_admin"))
    namespace = spec.kubernetes.namespace if _namespace(spec, clients) else "default"
    said = reach(clients.kubernetes, Probe(namespace, spec.spark.image, spec.spark.image_pull_secret), host, port, clients.say)
    try:
        clients.minio.bucket_names()
    except LakeError as error:
        return site.way(host, port, said, serving=not error.retry, vm=(spec.vm.node, spec.vm.vmid))
    return site.way(host, port, said, serving=True, vm=(spec.vm.node, spec.vm.vmid))
