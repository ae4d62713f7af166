"""`./lake doctor`: how it judges what it is told, and that no part hides another."""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from include import doctor
from include.adapters import host
from include.adapters.binaries import Binaries
from include.adapters.host.ssh import NotRoot, Result
from include.commands import lake as commands
from include.connections import Connection
from include.lake import rights, site
from include.lake.errors import LakeError, Unreachable
from include.lake.lake import load_lake
from include.lake.resources.binary import Source
from include.lake.resources.namespace import NamespaceState
from include.lake.resources.service import minio_unit
from include.lake.resources.service_account import DRIVER_RULES, ServiceAccountState
from include.lake.rights import Operator, Right
from include.lake.secret import Secret
from include.lake.spec import LAKE_FILE
from include.lake.units import Size
from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.proxmox import FakeProxmox

LAKE = load_lake()
GIB = 2**30
TOKEN, SECRETS = "homelake@pve!bootstrap", ("token-secret", "root-password")


# What it is told, judged


def test_missing_privileges_come_with_the_lines_that_give_them() -> None:
    assert not site.privileges(TOKEN, "/vms/100", site.VM_PRIVILEGES, {"VM.Audit", "VM.Config.Disk", "VM.Console", "VM.Snapshot"}).problem
    found = site.privileges(TOKEN, "/vms/100", site.VM_PRIVILEGES, {"VM.Audit", "VM.Snapshot"})
    assert found.problem == "it lacks VM.Config.Disk"
    # The role has all that is needed there: an entry at a path replaces what comes from above.
    assert "pveum role add HomelakeVm --privs 'VM.Audit VM.Config.Disk VM.Snapshot'" in found.remedy
    assert "pveum acl modify /vms/100 --roles HomelakeVm --users 'homelake@pve' --tokens 'homelake@pve!bootstrap'" in found.remedy
    assert "pveum acl modify /storage/fast --roles HomelakeStorage " in site.grant(TOKEN, "/storage/fast", site.STORAGE_PRIVILEGES)


@pytest.mark.parametrize(("row", "problem", "remedy"), [
    ({"node": "pve", "status": "running"}, "", ""),
    ({"node": "pve", "status": "stopped"}, "it is stopped", "qm start 100"),
    ({"node": "other", "status": "running"}, "it is on the node other, and pve is declared", "vm.node in include/lake.yaml to other"),
    ({"node": "pve", "status": "running", "type": "lxc"}, "it is a container", "virtual machine's"),
    ({"node": "pve", "status": "stopped", "template": 1}, "it is a template", "virtual machine's"),
    (None, "sees no VM of that number (it sees 7, 101)", "VM.Audit"),
])  # fmt: skip
def test_the_vm(row: dict[str, Any] | None, problem: str, remedy: str) -> None:
    found = site.machine("pve", 100, row, {101, 7})
    assert problem in found.problem
    assert bool(found.problem) == bool(problem)
    assert remedy in found.remedy


def test_the_node() -> None:
    assert not site.node("pve", [{"node": "pve", "status": "online"}]).problem
    assert site.node("pve", [{"node": "pve", "status": "offline"}]).problem == "it is offline"
    assert "one of a, b" in site.node("pve", [{"node": "b"}, {"node": "a"}]).remedy


def test_the_controller_matters_only_for_an_iothread() -> None:
    assert not site.controller(100, "virtio-scsi-single", True).problem
    assert not site.controller(100, "lsi", None).problem
    assert "qm set 100 --scsihw virtio-scsi-single && qm shutdown 100 && qm start 100" in site.controller(100, "lsi", True).remedy


@pytest.mark.parametrize(("features", "command"), [
    ("", ""), ("1", ""), ("network,disk", ""), ("0", "--hotplug disk"), ("network,usb", "--hotplug network,usb,disk"),
])  # fmt: skip
def test_hotplug(features: str, command: str) -> None:
    found = site.hotplug(100, features)
    assert bool(found.problem) == bool(command)
    assert command in found.remedy


@pytest.mark.parametrize(("status", "present", "problem", "what"), [
    ({"type": "lvmthin", "avail": 100 * GIB}, 0, "", "watch it"),
    ({"type": "lvmthin", "avail": 900 * GIB}, 0, "", "500 GiB declared"),
    ({"type": "lvm", "avail": 100 * GIB}, 0, "needs 500 GiB of it at once", ""),
    ({"type": "lvm", "avail": 100 * GIB}, 450, "", ""),
    ({"type": "dir", "avail": 900 * GIB, "active": 0}, 0, "not active", ""),
    ({"type": "dir", "avail": 900 * GIB, "content": "iso,vztmpl"}, 0, "does not take VM disks", ""),
])  # fmt: skip
def test_the_storage(status: dict[str, Any], present: int, problem: str, what: str) -> None:
    found = site.storage("big", status, Size(500 * GIB), Size(present * GIB))
    assert problem in found.problem
    assert bool(found.problem) == bool(problem)
    assert what in found.what


VM, PLACE = "/vms/100", "/storage/local"
ALL = {VM: {*site.VM_PRIVILEGES, "VM.Backup"}, PLACE: set(site.STORAGE_PRIVILEGES)}


@pytest.mark.parametrize(("held", "content", "scheduled", "problem", "text"), [
    (ALL, "backup,iso", True, "", "backups to storage local"),
    (ALL, "backup,iso", False, "", "backups to storage local"),
    (ALL, "iso", False, "it does not take backups", "pvesm set local --content iso,backup"),
    (ALL | {VM: set(site.VM_PRIVILEGES)}, "backup", False, "", "none are scheduled; the token may not make any (on /vms/100: it lacks VM.Backup)"),
    (ALL | {VM: set(site.VM_PRIVILEGES)}, "backup", True, "it lacks VM.Backup", f"--privs '{' '.join(site.VM_PRIVILEGES)} VM.Backup'"),
    (ALL | {PLACE: {"Datastore.Audit"}}, "backup", True, "it lacks Datastore.AllocateSpace", "pveum acl modify /storage/local "),
])  # fmt: skip
def test_backups_are_asked_for_only_where_they_are_scheduled(held: dict[str, set[str]], content: str, scheduled: bool, problem: str, text: str) -> None:
    (found,) = site.backups(TOKEN, 100, "local", held, content, scheduled=scheduled)
    assert found.problem == problem
    assert text in f"{found.what} {found.remedy}"


def test_what_a_restore_needs_depends_on_the_version_and_has_roles_of_its_own() -> None:
    archived = {"net0": "virtio=BC:24:11:00:00:10,bridge=vmbr7,firewall=1", "name": "bridge=no"}
    needed = site.restore_privileges(110, "local-lvm", archived, "8.4.1")
    assert set(needed) == {"/vms/110", "/storage/local-lvm", "/sdn/zones/localnetwork/vmbr7"}
    role, privileges = needed["/vms/110"]
    assert {"VM.Allocate", "VM.Config.Network", "VM.Monitor"} < set(privileges)
    assert role == "HomelakeRestored", "the role on the lake's own VM is another"
    assert "VM.GuestAgent.Unrestricted" in site.restore_privileges(110, "local-lvm", archived, "9.0.3")["/vms/110"][1]
    assert "pveum role add HomelakeRestored " in site.privileges(TOKEN, "/vms/110", privileges, (), role).remedy


def test_a_missing_program_comes_with_its_package() -> None:
    found = site.programs("debian", "vm", ["wipefs", "lsattr", "blkid"])
    assert found.problem == "missing: blkid, lsattr, wipefs"
    assert found.remedy.endswith("install -y e2fsprogs util-linux'")


def test_every_program_looked_for_is_one_that_homelake_calls() -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in Path(host.__file__).parent.glob("*.py"))
    unit = minio_unit("minio", "/data", "/bin/minio", "/etc/default/minio", 9000)
    assert [p for p in site.PROGRAMS if p not in scripts + unit] == []


def test_systemd_must_run_the_vm() -> None:
    assert not site.init("systemd").problem
    assert site.init("init").problem


@pytest.mark.parametrize(("cause", "installed", "problem"), [
    ("[Errno 111] Connection refused", False, ""),
    ("[Errno 111] Connection refused", None, ""),
    ("Connection to 192.0.2.1 timed out. (connect timeout=10)", False, ""),
    ("[Errno 111] Connection refused", True, "refused"),
    ("Failed to resolve 'datalake.example.org' ([Errno -2] Name or service not known", False, "resolve"),
    ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", False, "SSL"),
    ("non-XML response from server; Response code: 400, Body: Client sent an HTTP request to an HTTPS server.", False, "HTTPS"),
])  # fmt: skip
def test_silence_of_minio_is_right_only_before_a_bootstrap(cause: str, installed: bool | None, problem: str) -> None:
    found = site.store("http://vm:9000", Unreachable("MinIO", cause), installed)
    assert problem in found.problem
    assert bool(found.problem) == bool(problem)
    assert problem or "as is right before the first lake_bootstrap" in found.what


def test_wrong_root_credentials_are_never_right() -> None:
    assert site.store("http://vm:9000", LakeError("log in to", "MinIO", "InvalidAccessKeyId"), False).problem
    for wrong in (":", "root:", "root:1234567", "root:back\\slash", "root:with space"):
        assert site.credentials(Secret(wrong)).problem
    assert not site.credentials(Secret("root:12345678")).problem


@pytest.mark.parametrize(("minio", "s3", "problem"), [
    (("http://vm:9000", "eu-north-1"), ("http://vm:9000/", "eu-north-1"), ""),
    (("http://vm:9000", "eu-north-1"), ("http://other:9000", "eu-north-1"), "'lake_s3' leads to http://other:9000"),
    (("http://vm:9000", "eu-north-1"), ("http://vm:9000", ""), "region of lake_s3 is not set"),
    (("http://127.0.0.1:9000", "eu-north-1"), ("http://127.0.0.1:9000", "eu-north-1"), "this machine itself"),
    (("http://localhost:9000", "eu-north-1"), ("http://localhost:9000", "eu-north-1"), "this machine itself"),
])  # fmt: skip
def test_both_connections_lead_to_one_store(minio: tuple[str, str], s3: tuple[str, str], problem: str) -> None:
    found = site.endpoints(minio, s3, "eu-north-1", 9000, 9000)
    assert problem in found.problem
    assert bool(found.problem) == bool(problem)


def test_another_port_than_the_declared_one_is_told() -> None:
    leads = ("http://vm:9000", "eu-north-1")
    found = site.endpoints(leads, leads, "eu-north-1", 9000, 9100)
    assert found.problem == "they lead to port 9000, and minio.port 9100 is declared: the bootstrap lets MinIO listen there"
    assert found.remedy.startswith("Set the port of both to 9100")


@pytest.mark.parametrize(("said", "serving", "problem"), [
    ("open", True, ""), ("refused", False, ""), ("refused", True, "refuses a pod and answers this machine"),
    ("unresolved", False, "DNS does not know vm"), ("silent timed out", True, "does not answer a pod (timed out)"), ("", True, "no word from it"),
])  # fmt: skip
def test_a_pods_way_to_minio(said: str, serving: bool, problem: str) -> None:
    found = site.way("vm", 9000, said, serving=serving, vm=("pve", 100))
    assert problem in found.problem
    assert bool(found.problem) == bool(problem)


# Rights in Kubernetes


def test_all_kinds_that_a_bootstrap_touches_are_asked_for() -> None:
    kinds = {r.resource for r in rights.BASE}
    assert {"namespaces", "secrets", "serviceaccounts", "roles", "rolebindings", "sparkapplications", "pods/log"} <= kinds


def test_the_namespace_need_not_be_made_when_it_is_there() -> None:
    denied = [rights.MAKE_NAMESPACE, *rights.ESCALATE]
    assert not rights.rights("me", "jobs", there=True, denied=denied).problem
    assert rights.rights("me", "jobs", there=False, denied=denied).problem == "it lacks namespaces: create"


def test_who_gives_the_drivers_role_must_have_it_or_may_escalate() -> None:
    denied = [Right("create", "services")]
    assert not rights.rights("me", "jobs", there=True, denied=denied).problem
    assert rights.rights("me", "jobs", there=True, denied=[*denied, Right("bind", "roles", rights.RBAC)]).problem == "it lacks services: create"


@pytest.mark.parametrize(("user", "subject"), [
    ("anna", {"kind": "User", "name": "anna", "apiGroup": rights.RBAC}),
    ("system:serviceaccount:ci:lake", {"kind": "ServiceAccount", "name": "lake", "namespace": "ci"}),
])  # fmt: skip
def test_the_role_to_paste_gives_every_right(user: str, subject: dict[str, str]) -> None:
    lines = rights.role_lines(user, "jobs").splitlines()
    assert lines[1].startswith("kubectl apply -f - <<'EOF'")
    assert lines[-1] == "EOF"
    namespace, role, binding = yaml.safe_load_all("\n".join(lines[2:-1]))
    assert namespace["metadata"]["name"] == role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "jobs"
    given = {Right(verb, kind, group) for rule in role["rules"] for group in rule["apiGroups"] for kind in rule["resources"] for verb in rule["verbs"]}
    assert given == {*rights.BASE, *rights.DRIVER}
    assert binding["subjects"] == [subject]


@pytest.mark.parametrize(("arguments", "watches"), [
    (("controller", "start"), ()), (('--namespaces=""',), ()), (("--namespaces=",), ()), (("--namespaces=default,jobs",), ("default", "jobs")),
])  # fmt: skip
def test_which_namespaces_the_operator_watches(arguments: tuple[str, ...], watches: tuple[str, ...]) -> None:
    assert Operator("so", "controller", True, arguments).watches() == watches


def test_an_operator_that_looks_elsewhere_or_does_not_run() -> None:
    elsewhere = Operator("so", "controller", True, ("--namespaces=default",), release="spark", chart="spark-operator-2.5.0")
    (found,) = rights.operators("jobs", [elsewhere])
    assert (
        found.remedy
        == "helm upgrade spark spark-operator/spark-operator --namespace so --reuse-values --version 2.5.0 --set 'spark.jobNamespaces={default,jobs}'"
    )
    (found,) = rights.operators("jobs", [Operator("so", "controller", False, ())])
    assert found.problem == "no replica of it is ready"
    (found,) = rights.operators("jobs", [Operator("so", "controller", True, ("--namespaces=default", "--namespace-selector=lake"))])
    assert not found.problem
    assert "not known" in found.what
    assert [f.problem for f in rights.operators("jobs", [])] == [""]


# The whole of it, against parts in memory


class Proxmox(FakeProxmox):
    """The API's answers by path; a LakeError among them is raised."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Any] = {
            "version": {"version": "9.0.3"}, "nodes": [{"node": "pve", "status": "online"}],
            "/vms/100": dict.fromkeys(site.VM_PRIVILEGES, 1), "/storage/local-lvm": dict.fromkeys(site.STORAGE_PRIVILEGES, 1),
            "cluster/resources": [{"vmid": 100, "node": "pve", "type": "qemu", "status": "running"}],
            "nodes/pve/storage/local-lvm/status": {"type": "lvmthin", "avail": 900 * GIB, "total": 1000 * GIB},
            "/storage/local": {}, "nodes/pve/storage/local/status": {"type": "dir", "content": "backup,iso"},
        }  # fmt: skip
        self.machine = {"scsihw": "virtio-scsi-single"}

    def call(self, method: str, where: str, /, **params: Any) -> Any:
        assert method == "get", "the doctor reads only"
        path = params.get("path")
        answer = {path: self.answers[path]} if path else self.answers[where]
        if isinstance(answer, LakeError):
            raise answer
        return answer

    def config(self, node: str, vmid: int) -> dict[str, Any]:
        return self.machine


class Guest:
    """Answers the doctor's own script, and whether MinIO's service is there."""

    def __init__(self) -> None:
        self.error: LakeError | None = None
        self.missing: list[str] = []
        self.minio = False
        self.made = False
        self.known: str | None = "the digest of a program that was built before"

    def run(self, script: str, *args: str) -> Result:
        if self.error:
            raise self.error
        assert script == "true" or set(args) == set(site.PROGRAMS)
        return Result(0, "".join(f"missing={p}\n" for p in self.missing) + "init=systemd\n", "")

    def machine(self) -> str:
        if self.error:
            raise self.error
        return "x86_64"

    def digest(self, source: Source, machine: str) -> str | None:
        return self.known

    def made_from(self, name: str, source: Source) -> str | None:
        return "the digest of a program that was built elsewhere" if self.made else None

    def ready(self, source: Source) -> str:
        return Binaries(print).ready(source)

    def service(self, name: str, port: int) -> object | None:
        if self.error:
            raise self.error
        return object() if self.minio else None


class Cluster(FakeKubernetes):
    """Answers the calls of the official client by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.api = SimpleNamespace(configuration=SimpleNamespace(host="https://k8s:6443"))
        self.called: list[str] = []
        self.no: set[tuple[str, str]] = set()
        webhook = SimpleNamespace(name="mutate--v1-pod.sparkoperator.k8s.io", client_config=SimpleNamespace(ca_bundle="x"))
        self.answers: dict[str, Any] = {
            "get_code": SimpleNamespace(git_version="v1.34.2"),
            "create_self_subject_review": SimpleNamespace(status=SimpleNamespace(user_info=SimpleNamespace(username="anna"))),
            "read_custom_resource_definition": object(),
            "list_mutating_webhook_configuration": SimpleNamespace(items=[SimpleNamespace(metadata=SimpleNamespace(name="so"), webhooks=[webhook])]),
            "list_deployment_for_all_namespaces": SimpleNamespace(items=[_deployment()]),
            "read_namespaced_service_account": object(),
            "create_namespaced_local_subject_access_review": _allowed(True),
        }

    @property
    def core(self) -> Any:
        from kubernetes.client import CoreV1Api

        return CoreV1Api(self.api)

    def call(self, what: str, function: Callable[..., Any], *args: Any, absent: tuple[int, ...] = (), **options: Any) -> Any:
        name = function.__name__
        self.called.append(name)
        if name == "create_self_subject_access_review":
            asked = args[0]["spec"]["resourceAttributes"]
            return _allowed((asked["verb"], "/".join(filter(None, (asked["resource"], asked["subresource"])))) not in self.no)
        answer = self.answers[name]
        if isinstance(answer, LakeError):
            raise answer
        return answer


def _allowed(yes: bool) -> Any:
    return SimpleNamespace(status=SimpleNamespace(allowed=yes))


def _deployment() -> Any:
    container = SimpleNamespace(command=None, args=["controller", "start", '--namespaces=""'])
    spec = SimpleNamespace(template=SimpleNamespace(spec=SimpleNamespace(containers=[container])))
    return SimpleNamespace(metadata=SimpleNamespace(name="controller", namespace="so", labels={}), spec=spec, status=SimpleNamespace(ready_replicas=1))


class Minio:
    """Buckets, or an error."""

    def __init__(self) -> None:
        self.error: LakeError | None = Unreachable("MinIO", "[Errno 111] Connection refused")

    def bucket_names(self) -> list[str]:
        if self.error:
            raise self.error
        return ["datalake"]


class Parts:
    """The clients of a site before its bootstrap, where all is as it should be."""

    def __init__(self) -> None:
        self.proxmox, self.host, self.minio, self.kubernetes = Proxmox(), Guest(), Minio(), Cluster()
        region = LAKE.spec.minio.region
        self.known = {
            "proxmox": Connection("proxmox", "proxmox", "https://pve:8006", TOKEN, Secret(SECRETS[0])),
            "lake_host": Connection("lake_host", "ssh", "vm", "debian"),
            "minio_admin": Connection("minio_admin", "minio", "http://vm:9000", "lakeroot", Secret(SECRETS[1]), None, {"region": region}),
            "lake_s3": Connection("lake_s3", "aws", extra={"endpoint_url": "http://vm:9000", "region_name": region}),
        }
        self.said: list[str] = []
        self.closed = False

    def connections(self, name: str) -> Connection:
        return self.known[name]

    def say(self, text: str) -> None:
        self.said.append(text)

    def close(self) -> None:
        self.closed = True


def problems(parts: Parts, **options: Any) -> dict[str, str]:
    """What is wrong, and that neither a secret nor an empty remedy is among it."""
    findings = list(doctor.examine(LAKE, parts, **options))  # type: ignore[arg-type]
    text = " ".join(f"{f.what} {f.problem} {f.remedy}" for f in findings)
    assert not [s for s in SECRETS if s in text]
    assert not [f for f in findings if f.problem and not f.remedy]
    return {f.what: f.problem for f in findings if f.problem}


def test_a_site_that_is_ready() -> None:
    parts = Parts()
    findings = list(doctor.examine(LAKE, parts))  # type: ignore[arg-type]
    assert [f.what for f in findings if f.problem] == []
    assert findings[0].what.startswith("proxmox: Proxmox VE 9.0.3")
    assert findings[-1] == doctor.NOT_TRIED
    assert not parts.kubernetes.writes
    # Reviews are questions; nothing else is created.
    assert {n for n in parts.kubernetes.called if not n.startswith(("read", "list", "get"))} <= {
        "create_self_subject_review",
        "create_self_subject_access_review",
    }


def test_every_part_that_cannot_be_reached_is_told_and_hides_no_other() -> None:
    parts = Parts()
    parts.proxmox.answers["version"] = Unreachable("Proxmox VE", "no route to host")
    parts.host.error = Unreachable("the VM", "it does not answer in time")
    parts.kubernetes.answers["get_code"] = Unreachable("Kubernetes", "connection refused")
    found = problems(parts)
    assert set(found) == {"proxmox", "lake_host", "kubernetes_default"}
    assert all("nothing more of it was looked at" in p for p in found.values())
    parts = Parts()
    parts.proxmox.answers["version"] = Unreachable("Proxmox VE", "no route to host")
    assert set(problems(parts)) == {"proxmox"}


def test_a_connection_that_leads_elsewhere_is_told_and_hides_no_other() -> None:
    parts = Parts()
    parts.proxmox.answers["version"] = {"errors": b"<html>"}
    del parts.known["lake_host"]
    found = problems(parts)
    assert set(found) == {"proxmox", "lake_host"}
    assert "makes no sense" in found["proxmox"]


def test_a_token_without_rights_is_told_once_with_its_remedy() -> None:
    parts = Parts()
    denied = LakeError("use", "Proxmox VE", "Permission check failed (/storage/local-lvm, Datastore.Audit)")
    parts.proxmox.answers |= {"/vms/100": {}, "/storage/local-lvm": {}, "cluster/resources": [], "nodes/pve/storage/local-lvm/status": denied}
    assert set(problems(parts)) == {f"privileges of {TOKEN} on /vms/100", f"privileges of {TOKEN} on /storage/local-lvm", "VM 100"}


def test_the_vms_settings_are_looked_at_though_it_is_stopped() -> None:
    parts = Parts()
    parts.proxmox.answers["cluster/resources"][0]["status"] = "stopped"
    parts.proxmox.machine = {"hotplug": "network"}
    assert set(problems(parts)) == {"VM 100 on pve", "SCSI controller of VM 100: lsi", "hotplug of VM 100: network"}


def test_what_the_program_is_made_with_is_looked_for_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert not problems(parts), "it was built before"
    for parts.host.known, parts.host.error in ((None, None), ("known", Unreachable("the VM", "it does not answer in time"))):
        found = problems(parts)
        assert found["minio.binary"] == "there is no go on this machine"
    parts.host.known, parts.host.error, parts.host.made = None, None, True
    assert not problems(parts), "it is in the VM"


def test_sudo_that_asks_is_not_a_vm_that_is_away() -> None:
    parts = Parts()
    parts.host.error = NotRoot("act as root on", "the lake's VM", "sudo: a password is required")
    findings = list(doctor.examine(LAKE, parts))  # type: ignore[arg-type]
    wrong = [f for f in findings if f.problem]
    assert [f.problem for f in wrong] == ["sudo: a password is required"]
    assert "debian ALL=(ALL) NOPASSWD: ALL" in wrong[0].remedy
    assert "lake_host: debian@vm:22" in [f.what for f in findings]


def test_minio_that_is_installed_must_answer() -> None:
    parts = Parts()
    parts.host.minio = True
    assert set(problems(parts)) == {"minio_admin: MinIO at http://vm:9000"}
    parts.minio.error = None
    assert not problems(parts)


def test_an_account_without_rights_is_told_once_and_what_it_may_not_see_is_no_problem() -> None:
    parts = Parts()
    parts.kubernetes.no = {("get", "secrets"), ("get", "pods/log")}
    forbidden = LakeError("use", "CRD in Kubernetes", 'customresourcedefinitions "x" is forbidden')
    parts.kubernetes.answers |= {"read_custom_resource_definition": forbidden, "list_deployment_for_all_namespaces": forbidden}
    assert problems(parts) == {"rights of anna in spark-jobs": "it lacks secrets: get; pods/log: get"}


def test_the_operator_its_webhook_and_the_jobs_account() -> None:
    parts = Parts()
    parts.kubernetes.answers["list_mutating_webhook_configuration"] = SimpleNamespace(items=[])
    parts.kubernetes.accounts["spark-jobs", "spark-sa"] = ServiceAccountState(True, DRIVER_RULES, True)
    parts.kubernetes.answers["create_namespaced_local_subject_access_review"] = _allowed(False)
    found = problems(parts)
    assert set(found) == {"the spark-operator's CRD and webhook", "service account spark-jobs/spark-sa"}
    assert "webhook is off" in found["the spark-operator's CRD and webhook"]
    parts.kubernetes.answers["read_custom_resource_definition"] = None
    assert "does not know SparkApplications" in problems(parts)["the spark-operator's CRD and webhook"]


# The pod


@pytest.fixture
def probing() -> Parts:
    parts = Parts()
    waiting = SimpleNamespace(phase="Pending", container_statuses=None, message=None, reason=None)
    done = SimpleNamespace(phase="Succeeded", container_statuses=None, message=None, reason=None)
    states = iter([waiting, done])
    parts.kubernetes.answers |= {
        "create_namespaced_pod": object(),
        "read_namespaced_pod_log": SimpleNamespace(data=b"refused\n"),
        "delete_namespaced_pod": object(),
    }
    real = parts.kubernetes.call

    def call(what: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if function.__name__ == "create_namespaced_pod":
            parts.said.append(args[0])
        if function.__name__ == "read_namespaced_pod":
            parts.kubernetes.answers["read_namespaced_pod"] = SimpleNamespace(status=next(states))
        return real(what, function, *args, **options)

    parts.kubernetes.call = call  # type: ignore[method-assign]
    return parts


def test_the_doctor_holds_the_port_of_the_connection_against_the_declared_one() -> None:
    parts = Parts()
    for name, at in (("minio_admin", {"host": "http://vm:9100"}), ("lake_s3", {"extra": {**parts.known["lake_s3"].extra, "endpoint_url": "http://vm:9100"}})):
        parts.known[name] = replace(parts.known[name], **at)
    assert problems(parts)["minio_admin and lake_s3 lead to one store"].startswith("they lead to port 9100, and minio.port 9000 is declared")


def test_a_probe_is_made_on_request_only_and_removed(probing: Parts) -> None:
    probing.kubernetes.namespaces["spark-jobs"] = NamespaceState()
    findings = list(doctor.examine(LAKE, probing, probe_pod=True))  # type: ignore[arg-type]
    assert findings[-1].what.startswith("a pod reaches vm; nothing listens on 9000 yet")
    assert probing.said[-1] == "spark-jobs"
    assert probing.kubernetes.called[-1] == "delete_namespaced_pod"


def test_a_probe_goes_to_default_while_there_is_no_namespace(probing: Parts) -> None:
    list(doctor.examine(LAKE, probing, probe_pod=True))  # type: ignore[arg-type]
    assert probing.said[-1] == "default"


def test_a_probe_that_cannot_start_says_why_and_is_removed(probing: Parts) -> None:
    waiting = SimpleNamespace(reason="ErrImagePull", message="not found")
    pod = SimpleNamespace(status=SimpleNamespace(phase="Pending", container_statuses=[SimpleNamespace(state=SimpleNamespace(waiting=waiting))]))
    probing.kubernetes.call = Cluster.call.__get__(probing.kubernetes)  # type: ignore[method-assign]
    probing.kubernetes.answers["read_namespaced_pod"] = pod
    assert problems(probing, probe_pod=True) == {"a pod on its way to MinIO": "ErrImagePull: not found"}
    assert probing.kubernetes.called[-1] == "delete_namespaced_pod"


# The command


@pytest.mark.parametrize(("ready", "code"), [(True, 0), (False, 1)])
@pytest.mark.parametrize("as_json", [True, False])
def test_the_command(ready: bool, code: int, as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    parts = Parts()
    if not ready:
        parts.host.missing = ["wipefs"]
    monkeypatch.setattr(commands, "Clients", lambda connections, say: parts)
    monkeypatch.setattr(commands, "command_line_connections", lambda: None)
    assert commands.doctor(argparse.Namespace(file=LAKE_FILE, json=as_json, probe_pod=False)) == code
    assert parts.closed
    text = capsys.readouterr().out
    if as_json:
        wrong = [f for f in json.loads(text) if f["problem"]]
        assert [f["problem"] for f in wrong] == ([] if ready else ["missing: wipefs"])
    else:
        assert text.count("✗") == (0 if ready else 1)
        assert "✓ node pve" in text
