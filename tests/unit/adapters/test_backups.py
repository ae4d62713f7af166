"""Backups, restored VMs and guests' agents: what the API's answers mean."""

from collections.abc import Callable
from typing import Any

import pytest

from include.adapters import agent
from include.adapters.backups import Backups
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable

UPID = "UPID:pve:00000001:00000001:00000064:vzdump:100:a@b!c:"


class Api:
    """Answers by method and path; a list is answered one by one, its last again and again; an error is raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {k.replace("__", " "): v for k, v in answers.items()}
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    def __setitem__(self, key: str, value: Any) -> None:
        self.answers[key] = value

    def call(self, method: str, path: str, /, **params: Any) -> Any:
        self.calls.append((method, path, params))
        answer = next(v for k, v in self.answers.items() if f"{method} {path}".endswith(k))
        if isinstance(answer, Callable):  # type: ignore[arg-type]
            answer = answer(**params)
        elif isinstance(answer, tuple):
            head, *rest = answer
            answer = head
            if rest:
                self.answers = {k: tuple(rest) if v is not None and isinstance(v, tuple) and v[0] is head else v for k, v in self.answers.items()}
        if isinstance(answer, LakeError):
            raise answer
        return answer

    def other(self) -> Unreachable:
        return Unreachable("Proxmox VE", "what answers there does not answer as Proxmox VE does", "Check")

    def task(self, node: str, upid: str) -> None:
        self.calls.append(("task", upid, {}))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "PAUSE", 0.0)
    monkeypatch.setattr("include.adapters.backups.PAUSE", 0.0)
    for name in ("AGENT_TIMEOUT", "NETWORK_TIMEOUT", "RUN_TIMEOUT"):
        monkeypatch.setattr(agent, name, 0.05)


def client(api: Api) -> Backups:
    def known(name: str) -> Connection:
        return Connection(name, name, "127.0.0.1" if name == "lake_host" else "http://127.0.0.2:9000")

    return Backups(api, known)  # type: ignore[arg-type]


def test_a_tasks_lines_are_told_once_and_its_own_error_is_the_cause() -> None:
    api, said = Api(), list[str]()
    lines = ["INFO: Starting Backup of VM 100 (qemu)", "ERROR: Backup of VM 100 failed - no space left", "TASK ERROR: job errors"]
    states = iter([("running", 1), ("running", 2), ("stopped", 3)])
    shown = 0

    def status(**params: Any) -> Any:
        nonlocal shown
        now, shown = next(states)
        return {"status": now, "exitstatus": "job errors"}

    api["/status"] = status
    api["/log"] = lambda start, limit: [{"n": n + 1, "t": t} for n, t in enumerate(lines[:shown])][start : start + limit]
    with pytest.raises(
        LakeError, match=r"Unable to run the Proxmox task vzdump: Backup of VM 100 failed - no space left\. See the task's log in Proxmox VE: UPID:"
    ):
        client(api).follow("pve", UPID, said.append)
    assert said == lines


def test_a_task_that_says_nothing_yet_is_no_line() -> None:
    api, said = Api(), list[str]()
    api["/status"], api["/log"] = {"status": "stopped", "exitstatus": "OK"}, lambda start, limit: [] if start else [{"n": 1, "t": "no content"}]
    client(api).follow("pve", UPID, said.append)
    assert said == []


AWAY = Unreachable("the Proxmox VE node", "Connection refused", "Check that the node runs")


def test_a_node_that_does_not_answer_for_a_while_ends_no_watch() -> None:
    api, said = Api(), list[str]()
    states = iter([{"status": "running"}, AWAY, AWAY, {"status": "stopped", "exitstatus": "OK"}, {"status": "stopped", "exitstatus": "OK"}])
    api["/status"] = lambda **_: next(states)
    answers = iter([[{"t": "INFO: one"}], [], [{"t": "INFO: two"}], AWAY, [{"t": "INFO: two"}], []])
    api["/log"] = lambda **_: next(answers)
    client(api).follow("pve", UPID, said.append)
    assert [said[0], said[2]] == ["INFO: one", "INFO: two"]
    assert said[1:2] == ["Proxmox VE does not answer (Connection refused). The task goes on; it is asked for again for 300 s"]
    assert len(said) == 3, "each told once"


def test_a_node_that_stays_away_is_told_and_that_its_task_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.adapters.backups.PATIENCE", 0.05)
    api = Api()
    api["/status"] = AWAY
    with pytest.raises(
        Unreachable, match=r"the Proxmox task vzdump: Connection refused, for 0\.05 s\. It may still be at work; run again, which follows it: UPID:"
    ):
        client(api).follow("pve", UPID, [].append)


def test_a_failed_task_whose_log_cannot_be_read_again_is_told_by_its_end() -> None:
    api = Api()
    api["/status"] = {"status": "stopped", "exitstatus": "job errors"}
    api["/log"] = lambda start, limit: [] if limit > 1 else AWAY
    with pytest.raises(LakeError, match="Unable to run the Proxmox task vzdump: job errors"):
        client(api).follow("pve", UPID, [].append)


def test_a_vm_on_another_node_is_no_backup_and_told() -> None:
    api = Api()
    api["/vzdump"] = "OK"  # as Proxmox VE answers when none of the VMs is on that node
    with pytest.raises(LakeError, match=r"Unable to back up VM 100: it is not on the node pve\. Set vm\.node in lake\.yaml"):
        client(api).start_backup("pve", 100, "local", "snapshot", "notes")


def test_backups_of_others_and_without_notes_are_read_as_well() -> None:
    api = Api()
    api["/content"] = [{"volid": "pbs:backup/vm/100/2026-01-01T00:00:00Z", "vmid": 100, "ctime": 7, "size": 5, "notes": "x\n", "protected": 1},
                       {"volid": "local:backup/odd", "ctime": 8}, {"volid": "local:backup/b", "vmid": "100", "ctime": 9}]  # fmt: skip
    first, second = client(api).backups("pve", "pbs", 100)
    assert (first.vmid, first.made, first.size, first.notes, first.protected) == (100, 7, 5, "x", True)
    assert (second.volid, second.notes, second.protected, second.size) == ("local:backup/b", "", False, 0)


def test_a_backup_prunes_nothing_by_itself() -> None:
    api = Api()
    api["/vzdump"] = UPID
    client(api).start_backup("pve", 100, "local", "snapshot", "notes")
    assert api.calls[0][2]["remove"] == 0
    assert "prune-backups" not in api.calls[0][2]


@pytest.mark.parametrize(
    ("answer", "taken"), [("110", False), (LakeError("use", "Proxmox VE", "Parameter verification failed. vmid: VM 110 already exists"), True)]
)
def test_a_vmid_is_taken(answer: Any, taken: bool) -> None:
    api = Api()
    api["cluster/nextid"] = answer
    assert client(api).taken(110) == taken
    api["cluster/nextid"] = LakeError("use", "Proxmox VE", "no permission")
    with pytest.raises(LakeError, match="no permission"):
        client(api).taken(110)


def test_settings_of_a_vm_that_is_not_seen_elsewhere_or_a_container() -> None:
    api = Api()
    api["cluster/resources"] = [
        {"vmid": 110, "node": "pve", "type": "qemu"},
        {"vmid": 111, "node": "pve", "type": "lxc"},
        {"vmid": 112, "node": "b", "type": "qemu"},
    ]
    api["/config"] = {"digest": "d", "onboot": 0}
    assert client(api).settings("pve", 110) == {"digest": "d", "onboot": "0"}
    assert client(api).settings("pve", 113) is None
    for vmid, cause in ((111, "it is a lxc on the node pve"), (112, "it is a qemu on the node b")):
        with pytest.raises(LakeError, match=cause):
            client(api).settings("pve", vmid)


def test_a_change_that_waits_is_an_error() -> None:
    api = Api()
    api["/config"], api["/pending"] = None, [{"key": "net0", "value": "a", "pending": "b"}, {"key": "memory", "pending": "1"}]
    with pytest.raises(LakeError, match=r"net0 waits for its next start\. Allow it: qm set 110 --hotplug"):
        client(api).change("pve", 110, {"net0": "b"})
    client(api).change("pve", 110, {"description": "x"})


def test_a_command_in_a_guest() -> None:
    api = Api()
    api["agent/exec"], api["agent/exec-status"] = {"pid": 7}, ({"exited": 0}, {"exited": 1, "exitcode": 0, "out-data": "said\n"})
    assert client(api).run("pve", 110, "echo said", "a b") == "said\n"
    assert api.calls[0] == ("post", "nodes/pve/qemu/110/agent/exec", {"command": ["/bin/sh", "-c", "echo said", "homelake", "a b"]})
    api["agent/exec-status"] = {"exited": 1, "exitcode": 3, "err-data": "first\nthe cause\n"}
    with pytest.raises(LakeError, match="Unable to run a command in VM 110: the cause"):
        client(api).run("pve", 110, "false")
    api["agent/exec-status"] = {"exited": 0}
    with pytest.raises(Unreachable, match="the end of a command in VM 110: nothing within"):
        client(api).run("pve", 110, "sleep 9")


def test_an_agent_that_comes_up_and_one_that_is_not_there() -> None:
    api = Api()
    api["agent/ping"] = (LakeError("use", "Proxmox VE", "QEMU guest agent is not running"),
                         LakeError("use", "Proxmox VE", "VM 110 qmp command 'guest-ping' failed - got timeout"), {"result": {}})  # fmt: skip
    client(api).wait_agent("pve", 110)
    api["agent/ping"] = LakeError("use", "Proxmox VE", "No QEMU guest agent configured")
    with pytest.raises(LakeError, match="No QEMU guest agent configured"):
        client(api).wait_agent("pve", 110)


def test_addresses_of_a_card() -> None:
    def card(name: str, mac: str, *addresses: str) -> dict[str, Any]:
        return {
            "name": name,
            "hardware-address": mac,
            "ip-addresses": [{"ip-address": a, "ip-address-type": "ipv6" if ":" in a else "ipv4"} for a in addresses],
        }

    mac = "bc:24:11:00:01:10"
    api = Api()
    api["network-get-interfaces"] = {"result": [card("lo", "00:00:00:00:00:00", "127.0.0.1"), card("docker0", "02:42:00:00:00:01", "172.17.0.1"),
                                                card("ens18", mac.upper(), "169.254.3.4", "fe80::1", "10.0.0.30"), {"name": "tun0"}]}  # fmt: skip
    assert client(api).wait_addresses("pve", 110, mac, "10.0.0.30") == ["10.0.0.30", "172.17.0.1"]
    assert client(api).wait_addresses("pve", 110, mac, "") == ["10.0.0.30", "172.17.0.1"]
    with pytest.raises(Unreachable, match=r"the address 10\.0\.0\.31 in VM 110: nothing within"):
        client(api).wait_addresses("pve", 110, mac, "10.0.0.31")


def test_the_lakes_own_addresses_and_the_restored_store() -> None:
    backups = client(Api())
    assert backups.own_addresses() == {"127.0.0.1", "127.0.0.2"}
    assert backups.store().endpoint == "127.0.0.2:9000"
    assert backups.store("127.0.0.3").endpoint == "127.0.0.3:9000"


class Copy:
    """A MinIO that lets root in with the password of the time of its backup."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def lets_in(self) -> bool:
        return (self.connection.login, self.connection.password.reveal()) == ("root", "before")


@pytest.mark.parametrize("text", ["MINIO_ROOT_USER=root\nMINIO_ROOT_PASSWORD=before\n", "# by hand\nMINIO_ROOT_USER='root'\nMINIO_ROOT_PASSWORD=\"before\"\n"])
def test_a_copy_from_before_a_change_of_roots_password_is_asked_with_its_own(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("include.adapters.backups.VersionStore", Copy)
    api = Api()
    api["cluster/resources"], api["agent/file-read"] = [{"vmid": 110, "node": "b", "type": "qemu"}], {"content": text}
    copy = client(api).copy(110, "127.0.0.3")
    assert copy.connection.host == "http://127.0.0.3:9000"  # type: ignore[attr-defined]
    assert api.calls[-1] == ("get", "nodes/b/qemu/110/agent/file-read", {"file": "/etc/default/minio"})
    assert client(api).serving(110, "127.0.0.3")


@pytest.mark.parametrize("text", ["", "MINIO_ROOT_USER=root\nMINIO_ROOT_PASSWORD=another-password\n"])
def test_a_copy_that_lets_root_in_with_nothing_known_is_told_and_no_password_shown(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("include.adapters.backups.VersionStore", Copy)
    api = Api()
    api["cluster/resources"], api["agent/file-read"] = [{"vmid": 110, "node": "pve", "type": "qemu"}], {"content": text}
    with pytest.raises(
        LakeError, match=r"Unable to log in to the restored MinIO at 127\.0\.0\.3: it takes neither .* backup's time: .*console of VM 110"
    ) as caught:
        client(api).serving(110, "127.0.0.3")
    assert "another-password" not in str(caught.value)
