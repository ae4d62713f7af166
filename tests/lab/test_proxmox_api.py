"""The stand-in answers as Proxmox VE does: reading, errors, rights. Asked by proxmoxer and by plain HTTP."""

import json
import time
from typing import Any

import proxmoxer
import proxmoxer.tools
import pytest
import requests

from tests.conftest import TestLab
from tests.lab.conftest import Task, client

pytestmark = pytest.mark.lab


def refused(call: Any, *args: Any, **params: Any) -> proxmoxer.ResourceException:
    with pytest.raises(proxmoxer.ResourceException) as caught:
        call(*args, **params)
    return caught.value


# --- reading ----------------------------------------------------------------------------------------------------------


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


# --- errors -----------------------------------------------------------------------------------------------------------


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
    assert errors["memory"] == "value does not match the regex pattern"
    assert errors["onboot"] == "type check ('boolean') failed - got 'perhaps'"
    assert errors["scsi9"] == "invalid format - format error\nscsi9.discard: value 'maybe' does not have a value in the enumeration 'ignore, on'\n"
    assert errors["scsi10"] == "invalid format - invalid key in comma-separated list property: speed"
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


def test_other_calls_go_on_while_a_401_waits(lab: TestLab, api: proxmoxer.ProxmoxAPI) -> None:
    import threading

    wrong = threading.Thread(target=requests.get, args=(lab["PVE_URL"] + "/api2/json/version",), kwargs={"verify": lab["PVE_CA"], "timeout": 20})
    wrong.start()
    began = time.monotonic()
    api.version.get()
    assert time.monotonic() - began < 2.5
    wrong.join()


def test_the_certificate_is_the_labs(lab: TestLab) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(lab["PVE_URL"] + "/api2/json/version", timeout=10)


# --- rights -----------------------------------------------------------------------------------------------------------


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


def test_the_bootstraps_token_may_add_disks_and_no_more(lab: TestLab) -> None:
    bootstrap = client(lab, "PVE_BOOTSTRAP")
    assert bootstrap.access.permissions.get() == {"/vms/100": {"VM.Audit": 1, "VM.Config.Disk": 1}, "/nodes/pve": {"Sys.Audit": 1},
                                                  "/storage/local-lvm": {"Datastore.Audit": 1, "Datastore.AllocateSpace": 1}}  # fmt: skip
    vm = bootstrap.nodes("pve").qemu(100)
    assert vm.config.get()["name"] == "datalake"
    for params, privilege in (({"memory": 4096}, "VM.Config.Memory"), ({"cores": 4}, "VM.Config.CPU"), ({"name": "mine"}, "VM.Config.Options"),
                              ({"net0": "virtio,bridge=vmbr0"}, "VM.Config.Network"), ({"delete": "onboot"}, "VM.Config.Options"),
                              ({"ide2": "none,media=cdrom"}, "VM.Config.CDROM")):  # fmt: skip
        error = refused(vm.config.set, **params)
        assert (error.status_code, error.content) == (403, f"Permission check failed (/vms/100, {privilege})")
    assert refused(vm.config.set, scsi9="local:1").content == "Permission check failed (/storage/local, Datastore.AllocateSpace)"
    assert refused(vm.config.set, args="-s").content == "only root can set 'args' config"
    assert refused(vm.config.set, cores=1, skiplock=1).errors == {"skiplock": "Only root may use this option."}


def test_permissions_of_a_path_and_of_another(lab: TestLab, api: proxmoxer.ProxmoxAPI) -> None:
    assert api.access.permissions.get()["/vms"]["VM.Allocate"] == 1
    assert client(lab, "PVE_BOOTSTRAP").access.permissions.get(path="/vms/100") == {"/vms/100": {"VM.Audit": 1, "VM.Config.Disk": 1}}
    assert api.access.permissions.get(userid=lab["PVE_NOPRIV_TOKEN_ID"]) == {}
    assert refused(client(lab, "PVE_NOPRIV").access.permissions.get, userid=lab["PVE_TOKEN_ID"]).status_code == 403


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_json_bodies(http: requests.Session, lab: TestLab, tiny: Any, vmid: int) -> None:
    url = f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/{vmid}/config"
    answer = http.put(url, json={"onboot": True, "cores": 2, "cpulimit": 0.5, "memory": 128, "description": None, "tags": "a;b", "node": "pve", "vmid": vmid})
    assert (answer.status_code, answer.json()) == (200, {"data": None})
    config = tiny.config.get()
    assert (config["onboot"], config["cores"], config["cpulimit"], config["memory"], config["tags"]) == (1, 2, "0.5", "128", "a;b")
    assert "description" not in config
    assert http.put(url, json={"name": True}).json()["errors"] == {"name": "type check ('string') failed - got JSON::PP::Boolean"}
    assert http.put(url, json={"delete": ["onboot", "tags"]}).status_code == 200
    assert {"onboot", "tags"}.isdisjoint(tiny.config.get())
    assert http.put(url, data="{no json", headers={"Content-Type": "application/json"}).status_code == 500


def test_form_bodies_and_queries(http: requests.Session, lab: TestLab, tiny: Any, vmid: int) -> None:
    url = f"{lab['PVE_URL']}/api2/json/nodes/pve/qemu/{vmid}"
    assert http.put(url + "/config?name=query", data={"name": "body"}).status_code == 200
    assert tiny.config.get()["name"] == "query"
    conflict = http.put(url + "/config", data={"vmid": "999", "cores": 1})
    assert conflict.json()["errors"] == {"vmid": "duplicate parameter (already defined in URI) with conflicting values!"}
    body = http.delete(url, data={"purge": 1})
    assert (body.status_code, body.reason) == (501, "Unexpected content for method 'DELETE'")


def test_extjs_format_tells_success_in_the_body(http: requests.Session, lab: TestLab) -> None:
    assert http.get(lab["PVE_URL"] + "/api2/extjs/version").json()["success"] == 1
    answer = http.get(lab["PVE_URL"] + "/api2/extjs/nodes/pve/qemu/999999/config")
    assert answer.status_code == 200 and (answer.json()["success"], answer.json()["status"]) == (0, 500)


def test_the_access_log_names_token_call_and_status(lab: TestLab, api: proxmoxer.ProxmoxAPI) -> None:
    api.cluster.nextid.get()
    line = (lab.state / "pve" / "access.log").read_text().splitlines()[-1].split()
    assert line[1:5] == [lab["PVE_TOKEN_ID"], "GET", "/api2/json/cluster/nextid", "200"]


# --- tasks ------------------------------------------------------------------------------------------------------------


def test_tasks(node: Any, tiny: Any, vmid: int, done: Task, ended: Task, lab: TestLab) -> None:
    upid = tiny.config.post(name="by-task")
    assert upid.split(":")[0] == "UPID" and upid.split(":")[5:] == ["qmconfig", str(vmid), lab["PVE_TOKEN_ID"], ""]
    status = done(upid)
    user, _, token = lab["PVE_TOKEN_ID"].partition("!")
    assert (status["type"], status["id"], status["user"], status["tokenid"], status["node"]) == ("qmconfig", str(vmid), user, token, "pve")
    assert proxmoxer.tools.Tasks.decode_upid(upid)["type"] == "qmconfig"
    log = node.tasks(upid).log.get()
    assert log[0] == {"n": 1, "t": f"update VM {vmid}: -name by-task"} and log[-1]["t"] == "TASK OK"
    newest = node.tasks.get(vmid=vmid, limit=1)[0]
    assert newest["upid"] == upid and newest["status"] == "OK" and newest["endtime"] >= newest["starttime"]
    failure = ended(tiny.resize.set(disk="scsi7", size="2G"))
    assert failure["exitstatus"] == "disk 'scsi7' does not exist"
    assert node.tasks.get(vmid=vmid, errors=1, limit=1)[0]["upid"] == failure["upid"]
    assert node.tasks.get(source="active") == []
    assert refused(node.tasks("UPID:nothing").status.get).errors == {"upid": "unable to parse worker upid"}
    gone = upid.replace(upid.split(":")[2], "00000001")
    assert refused(node.tasks(gone).status.get).errors == {"upid": "no such task"}
    assert refused(client(lab, "PVE_NOPRIV").nodes("pve").tasks(upid).status.get).status_code == 403


def test_a_task_can_be_stopped(node: Any, tiny: Any, done: Task, ended: Task) -> None:
    done(tiny.status.start.post())
    upid = tiny.status.shutdown.post(timeout=100)  # there is no guest that would listen
    assert [t["upid"] for t in node.tasks.get(source="active")] == [upid]
    node.tasks(upid).delete()
    assert ended(upid)["exitstatus"] == "received interrupt"
    assert tiny.status.current.get()["status"] == "running"


def test_background_delay_waits_for_the_task(tiny: Any) -> None:
    assert tiny.config.post(name="waited", background_delay=10) is None
    assert "failed to update VM" in refused(tiny.config.post, boot="order=scsi9", background_delay=10).content


def test_json_is_what_it_says(http: requests.Session, lab: TestLab) -> None:
    answer = http.get(lab["PVE_URL"] + "/api2/json/version")
    assert answer.headers["Content-Type"].replace(" ", "").lower() == "application/json;charset=utf-8"
    assert json.loads(answer.content)["data"]["version"]
