"""The stand-in answers as Proxmox VE does: reading, errors, rights. Asked by proxmoxer and by plain HTTP."""

import threading
import time
from typing import Any

import proxmoxer
import proxmoxer.tools
import pytest
import requests

from tests.conftest import TestLab
from tests.lab.conftest import client
from tests.lab.helpers import refused

pytestmark = pytest.mark.lab


def test_version_and_nodes(api: proxmoxer.ProxmoxAPI, lab: TestLab) -> None:
    version = api.version.get()
    assert version["version"].startswith(version["release"] + ".") and int(version["release"].split(".")[0]) >= 8
    (node,) = api.nodes.get()
    assert (node["node"], node["status"], node["type"], node["id"]) == (lab["PVE_NODE"], "online", "node", f"node/{lab['PVE_NODE']}")
    assert isinstance(node["maxmem"], int) and 0 < node["mem"] < node["maxmem"] and node["maxcpu"] >= 1
    assert len(node["ssl_fingerprint"].split(":")) == 32
    (bridge,) = api.nodes(lab["PVE_NODE"]).network.get(type="bridge")
    assert (bridge["iface"], bridge["address"]) == ("vmbr0", lab["PVE_URL"].removeprefix("https://").removesuffix(":8006"))
    status = api.nodes(lab["PVE_NODE"]).status.get()
    assert status["cpuinfo"]["cpus"] >= 1 and set(status["memory"]) == {"total", "used", "free"} and status["pveversion"].startswith("pve-manager/")


def test_the_lake_vm_in_every_list(api: proxmoxer.ProxmoxAPI, node: Any, lab: TestLab) -> None:
    vmid = int(lab["PVE_VMID"])
    row = next(v for v in node.qemu.get() if v["vmid"] == vmid)
    assert (row["name"], row["status"]) == ("datalake", "running") and isinstance(row["pid"], int) and row["maxmem"] == 2 << 30
    resource = next(r for r in api.cluster.resources.get(type="vm") if r["vmid"] == vmid)
    assert (resource["id"], resource["type"], resource["node"], resource["template"]) == (f"qemu/{vmid}", "qemu", lab["PVE_NODE"], 0)
    assert resource["maxcpu"] == 2 and resource["uptime"] > 0
    current = node.qemu(vmid).status.current.get()
    assert (current["status"], current["qmpstatus"], current["agent"], current["ha"]) == ("running", "running", 1, {"managed": 0})
    assert current["nics"]["tap100i0"]["netin"] > 0 and current["blockstat"]["scsi0"]["rd_bytes"] >= 0 and current["proxmox-support"] == {}
    assert current["running-qemu"][0].isdigit() and current["running-machine"].startswith("pc-i440fx-")
    assert {"vm", "node", "storage"} <= {"vm" if r["type"] == "qemu" else r["type"] for r in api.cluster.resources.get()}


def test_configuration_has_the_types_of_the_real_one(node: Any, lab: TestLab) -> None:
    config = node.qemu(lab["PVE_VMID"]).config.get()
    assert config["cores"] == 2 and config["onboot"] == 1 and config["memory"] == "2048" and config["agent"] == "1"
    assert config["scsi0"].startswith("local-lvm:vm-100-disk-") and "ssd=1" in config["scsi0"].split(",")
    assert config["net0"].startswith("virtio=BC:24:11:") and config["net0"].endswith(",bridge=vmbr0")
    assert config["smbios1"].startswith("uuid=") and len(config["digest"]) == 40
    pending = {row["key"]: row for row in node.qemu(lab["PVE_VMID"]).pending.get()}
    assert pending["cores"]["value"] == 2 and "pending" not in pending["cores"]


def test_storages(node: Any, api: proxmoxer.ProxmoxAPI, lab: TestLab) -> None:
    storages = {s["storage"]: s for s in node.storage.get()}
    assert storages["local-lvm"]["type"] == "lvmthin" and storages["local"]["type"] == "dir"
    assert [s["storage"] for s in node.storage.get(content="images")] == ["local-lvm"]
    status = node.storage(lab["PVE_STORAGE"]).status.get()
    assert status["total"] > status["used"] > 0 and status["avail"] > 0 and (status["active"], status["enabled"], status["shared"]) == (1, 1, 0)
    volume = next(v for v in node.storage("local-lvm").content.get(vmid=100))
    assert volume["content"] == "images" and volume["vmid"] == 100 and isinstance(volume["size"], int)
    assert node.storage("local-lvm").content(volume["volid"]).get()["size"] == volume["size"]
    image = next(v for v in node.storage("local").content.get(content="import"))
    assert node.storage("local").content(image["volid"]).get()["format"] == "qcow2", "a volume's id holds a slash"
    assert {s["storage"] for s in api.storage.get()} == {"local", "local-lvm"}


def test_agent(node: Any, lab: TestLab) -> None:
    agent = node.qemu(lab["PVE_VMID"]).agent
    assert agent.ping.post() == {"result": {}}
    addresses = [a["ip-address"] for i in agent("network-get-interfaces").get()["result"] for a in i.get("ip-addresses", ())]
    assert lab["SSH_HOST"] in addresses
    assert agent("get-osinfo").get()["result"]["id"] == "debian"
    pid = agent.exec.post(command=["/bin/sh", "-c", "cat; echo no >&2; exit 3"], **{"input-data": "fed"})["pid"]
    deadline = time.monotonic() + 20
    while not (answer := agent("exec-status").get(pid=pid))["exited"]:
        assert time.monotonic() < deadline
    assert {"exited": 1, "exitcode": 3, "out-data": "fed", "err-data": "no\n"}.items() <= answer.items()
    agent("file-write").post(file="/tmp/written", content="ä\n")
    assert agent("file-read").get(file="/tmp/written") == {"content": "ä\n", "bytes-read": 3}
    assert "No such file" in str(refused(agent("file-read").get, file="/nowhere"))


def test_a_vm_that_does_not_exist_is_500(http: requests.Session, lab: TestLab, free_id: int) -> None:
    answer = http.get(f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/{free_id}/config")
    message = f"Configuration file 'nodes/pve/qemu-server/{free_id}.conf' does not exist"
    assert (answer.status_code, answer.reason) == (500, message)
    assert answer.json() == {"data": None, "message": message + "\n"}


def test_wrong_parameters_are_400_each_with_its_reason(http: requests.Session, lab: TestLab) -> None:
    answer = http.put(f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/100/config",
                      data={"cores": "two", "colour": "red", "memory": "-1", "scsi9": "local-lvm:1,discard=maybe", "onboot": "perhaps",
                            "scsi10": "local-lvm:1,speed=9"})  # fmt: skip
    assert (answer.status_code, answer.reason) == (400, "Parameter verification failed.")
    errors = answer.json()["errors"]
    assert errors["cores"] == "type check ('integer') failed - got 'two'"
    assert errors["colour"] == "property is not defined in schema and the schema does not allow additional properties"
    assert errors["memory"] == "invalid format - format error\nmemory.current: value must have a minimum value of 16\n"
    assert errors["onboot"] == "type check ('boolean') failed - got 'perhaps'"
    assert errors["scsi9"] == "invalid format - format error\nscsi9.discard: value 'maybe' does not have a value in the enumeration 'ignore, on'\n"
    assert errors["scsi10"] == "invalid format - invalid key in comma-separated list property: speed"
    words = http.put(f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/100/config", data={"onboot": True})  # as Python writes it
    assert words.json()["errors"] == {"onboot": "type check ('boolean') failed - got 'True'"}
    missing = http.post(f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu", data={"name": "x"})
    assert missing.json()["errors"] == {"vmid": "property is missing and it is not optional"}
    assert http.get(f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/42/config").json()["errors"] == {
        "vmid": "invalid format - value does not look like a valid VM ID"
    }
    assert http.get(f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/x/config").json()["errors"] == {"vmid": "type check ('integer') failed - got 'x'"}


def test_uncovered_paths_are_501(http: requests.Session, lab: TestLab) -> None:
    for method, path in (("GET", "/nodes/pve/ceph/status"), ("POST", "/version"), ("GET", "/nodes/pve/qemu/100/agent/ping"), ("PATCH", "/nodes")):
        answer = http.request(method, f"{lab['PVE_URL']}/api2/json{path}")
        assert (answer.status_code, answer.reason) == (501, f"Method '{method} {path}' not implemented")
    assert http.get(lab["PVE_URL"] + "/api2//json//nodes/pve//version").status_code == 200, "doubled slashes are one"
    assert http.get(lab["PVE_URL"] + "/api2/yaml/version").status_code == 501


def test_another_node_cannot_be_found(http: requests.Session, lab: TestLab) -> None:
    answer = http.get(lab["PVE_URL"] + "/api2/json/nodes/elsewhere/qemu")
    assert answer.status_code == 500 and answer.reason.startswith("hostname lookup 'elsewhere' failed")
    assert http.get(lab["PVE_URL"] + "/api2/json/nodes/localhost/qemu").status_code == 200


@pytest.mark.parametrize(("header", "reason"), [(None, "No ticket"), ("PVEAPIToken=homelake@pve!admin=wrong", "invalid token value!"),
                                                ("PVEAPIToken=homelake@pve!else=x", "no such token 'else' for user 'homelake@pve'"),
                                                ("PVEAPIToken=eve@pve!x=x", "no such user ('eve@pve')")])  # fmt: skip
def test_without_a_valid_token_401_comes_late(lab: TestLab, header: str | None, reason: str) -> None:
    began = time.monotonic()
    answer = requests.get(lab["PVE_URL"] + "/api2/json/version", headers={"Authorization": header} if header else {}, verify=lab["PVE_CA"], timeout=20)
    assert (answer.status_code, answer.reason) == (401, reason)
    assert 3 <= time.monotonic() - began < 6


def test_a_login_without_a_token_is_not_covered(lab: TestLab) -> None:
    for method, path in (("POST", "/access/ticket"), ("GET", "/access/domains")):
        answer = requests.request(method, f"{lab['PVE_URL']}/api2/json{path}", data={}, verify=lab["PVE_CA"], timeout=20)
        assert (answer.status_code, answer.reason) == (501, "a login without an API token is not covered by this stand-in")


def test_other_calls_go_on_while_a_401_waits(lab: TestLab, api: proxmoxer.ProxmoxAPI) -> None:
    wrong = threading.Thread(target=requests.get, args=(lab["PVE_URL"] + "/api2/json/version",), kwargs={"verify": lab["PVE_CA"], "timeout": 20})
    wrong.start()
    began = time.monotonic()
    api.version.get()
    assert time.monotonic() - began < 2.5
    wrong.join()


def test_the_certificate_is_the_labs(lab: TestLab) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(lab["PVE_URL"] + "/api2/json/version", timeout=10)


def test_the_token_without_rights(lab: TestLab) -> None:
    nobody = client(lab, "PVE_NOPRIV")
    assert nobody.version.get() and nobody.nodes("pve").qemu.get() == [] and nobody.access.permissions.get() == {}
    vm = nobody.nodes("pve").qemu(100)
    for call, params, path, privilege in (
        (vm.config.get, {}, "/vms/100", "VM.Audit"),
        (vm.status.start.post, {}, "/vms/100", "VM.PowerMgmt"),
        (vm.resize.set, {"disk": "scsi0", "size": "9G"}, "/vms/100", "VM.Config.Disk"),
        (vm.snapshot.post, {"snapname": "no"}, "/vms/100", "VM.Snapshot"),
        (vm.delete, {}, "/vms/100", "VM.Allocate"),
        (vm.agent.ping.post, {}, "/vms/100", "VM.Monitor"),
        (vm.clone.post, {"newid": 999}, "/vms/100", "VM.Clone"),
        (nobody.nodes("pve").storage("local-lvm").content.get, {}, "/storage/local-lvm", "Datastore.Audit|Datastore.AllocateSpace"),
        (nobody.nodes("pve").status.get, {}, "/nodes/pve", "Sys.Audit"),
        (nobody.nodes("pve").qemu.post, {"vmid": 999}, "/vms/999", "VM.Allocate"),
    ):
        error = refused(call, **params)
        assert (error.status_code, error.content) == (403, f"Permission check failed ({path}, {privilege})")


def test_rights_are_looked_at_before_parameters(lab: TestLab) -> None:
    error = refused(client(lab, "PVE_NOPRIV").nodes("pve").qemu(100).config.set, colour="red")
    assert error.status_code == 403 and error.content.startswith("Permission check failed (/vms/100, VM.Config.Disk|VM.Config.CDROM|")


def test_the_products_token_may_add_disks_and_back_up_and_no_more(lab: TestLab) -> None:
    bootstrap = client(lab, "PVE_BOOTSTRAP")
    restored = ("VM.Allocate", "VM.Audit", "VM.Config.Network", "VM.Config.Options", "VM.Monitor", "VM.PowerMgmt")
    space = {"Datastore.Audit": 1, "Datastore.AllocateSpace": 1}
    assert bootstrap.access.permissions.get() == {
        "/vms/100": {"VM.Audit": 1, "VM.Backup": 1, "VM.Config.Disk": 1, "VM.Snapshot": 1}, "/nodes/pve": {"Sys.Audit": 1},
        "/storage/local-lvm": space, "/storage/local": space, "/vms/110": dict.fromkeys(restored, 1), "/sdn/zones/localnetwork/vmbr0": {"SDN.Use": 1}}  # fmt: skip
    vm = bootstrap.nodes("pve").qemu(100)
    assert vm.config.get()["name"] == "datalake"
    for params, privilege in (({"memory": 4096}, "VM.Config.Memory"), ({"cores": 4}, "VM.Config.CPU"), ({"name": "mine"}, "VM.Config.Options"),
                              ({"net0": "virtio,bridge=vmbr0"}, "VM.Config.Network"), ({"delete": "onboot"}, "VM.Config.Options"),
                              ({"ide2": "none,media=cdrom"}, "VM.Config.CDROM")):  # fmt: skip
        error = refused(vm.config.set, **params)
        assert (error.status_code, error.content) == (403, f"Permission check failed (/vms/100, {privilege})")
    assert refused(vm.config.set, scsi9="other:1").content == "Permission check failed (/storage/other, Datastore.AllocateSpace)"
    assert refused(vm.config.set, args="-s").content == "only root can set 'args' config"
    assert refused(vm.config.set, cores=1, skiplock=1).errors == {"skiplock": "Only root may use this option."}


def test_permissions_of_a_path_and_of_another(lab: TestLab, api: proxmoxer.ProxmoxAPI) -> None:
    assert api.access.permissions.get()["/vms"]["VM.Allocate"] == 1
    assert client(lab, "PVE_BOOTSTRAP").access.permissions.get(path="/vms/100") == {
        "/vms/100": {"VM.Audit": 1, "VM.Backup": 1, "VM.Config.Disk": 1, "VM.Snapshot": 1}}  # fmt: skip
    assert api.access.permissions.get(userid=lab["PVE_NOPRIV_TOKEN_ID"]) == {}
    assert refused(client(lab, "PVE_NOPRIV").access.permissions.get, userid=lab["PVE_TOKEN_ID"]).status_code == 403
