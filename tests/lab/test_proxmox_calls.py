"""Forms of calls and of answers, and tasks: JSON and form bodies, queries, UPIDs and logs."""

import json
from typing import Any

import proxmoxer
import proxmoxer.tools
import pytest
import requests

from tests.conftest import TestLab
from tests.lab.conftest import Task, client
from tests.lab.helpers import refused

pytestmark = pytest.mark.lab


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
    assert http.put(url + "/config", data={"name": "", "cores": 1}).status_code == 200 and tiny.config.get()["name"] == "query", "an empty value is none"
    file = http.put(url + "/config", files={"name": "x"})
    assert file.status_code == 506 and file.reason.startswith("upload 'Content-Type 'multipart/form-data")
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
