"""A second, tiny VM made, changed, started, locked and removed through the API, as third-party clients do it."""

import os
import re
import signal
import time
from typing import Any

import proxmoxer
import proxmoxer.tools
import pytest
import requests

from tests.conftest import TestLab
from tests.lab.conftest import TINY, Task, remove
from tests.lab.helpers import refused, until_running, volumes, waiting

pytestmark = pytest.mark.lab


def test_create_and_remove(node: Any, api: proxmoxer.ProxmoxAPI, done: Task, ended: Task, free_id: int) -> None:
    upid = node.qemu.post(vmid=free_id, name="made", tags="a;b", memory=64, scsihw="virtio-scsi-single", scsi0="local-lvm:2,ssd=1,backup=0,iothread=1",
                          scsi2="local-lvm:0.5", ide2="local-lvm:cloudinit", net0="model=virtio,bridge=vmbr0,firewall=1", agent="enabled=1",
                          serial0="socket", vga="serial0", ostype="l26", description="two\nlines", start=1)  # fmt: skip
    try:
        assert f":qmcreate:{free_id}:" in upid
        assert refused(node.qemu.post, vmid=free_id).content == f"unable to create VM {free_id} - VM {free_id} already exists on node 'pve'"
        done(upid)
        vm, config = node.qemu(free_id), node.qemu(free_id).config.get()
        assert config["scsi0"] == f"local-lvm:vm-{free_id}-disk-0,backup=0,iothread=1,size=2G,ssd=1"
        assert config["scsi2"] == f"local-lvm:vm-{free_id}-disk-1,size=512M"
        assert config["ide2"] == f"local-lvm:vm-{free_id}-cloudinit,media=cdrom,size=4M"
        assert re.fullmatch(r"virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0,firewall=1", config["net0"])
        assert config["boot"] == "order=scsi0;ide2;net0" and config["description"] == "two\nlines"
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", config["vmgenid"]) and "lock" not in config
        until_running(vm)  # in a task of its own
        assert vm.status.current.get()["tags"] == "a;b" and ":qmstart:" in node.tasks.get(vmid=free_id, source="all", limit=1)[0]["upid"]
        assert api.cluster.nextid.get() != str(free_id)
        assert refused(api.cluster.nextid.get, vmid=free_id).errors == {"vmid": f"VM {free_id} already exists"}
        assert refused(vm.delete).content == f"VM {free_id} is running - destroy failed"
        done(vm.status.stop.post())
        vm.config.set(protection=1)
        assert refused(vm.delete).content == f"can't remove VM {free_id} - protection mode enabled"
        vm.config.set(protection=0)
        done(vm.delete(purge=1))
        assert refused(vm.config.get).content == f"Configuration file 'nodes/pve/qemu-server/{free_id}.conf' does not exist"
        assert volumes(node, free_id) == set()
    finally:
        remove(node, ended, free_id)


def test_a_creation_that_fails_leaves_nothing(node: Any, ended: Task, free_id: int) -> None:
    status = ended(node.qemu.post(vmid=free_id, scsi0="local-lvm:1", scsi1="local-lvm:0,import-from=local:import/none.qcow2"))
    assert status["exitstatus"].startswith(f"unable to create VM {free_id} - ") and "none.qcow2" in status["exitstatus"]
    assert volumes(node, free_id) == set() and free_id not in {v["vmid"] for v in node.qemu.get()}
    assert refused(node.qemu.post, vmid=free_id, scsi0="nowhere:1").content == "storage 'nowhere' does not exist"
    assert refused(node.qemu.post, vmid=free_id, scsi0="local:1").errors == {"storage": "storage 'local' does not support vm images"}
    assert refused(node.qemu.post, vmid=free_id, force=1).errors == {"archive": "missing property - 'force' requires this property"}
    assert free_id not in {v["vmid"] for v in node.qemu.get()}


def test_import_of_an_image(node: Any, done: Task, free_id: int) -> None:
    image = node.storage("local").content.get(content="import")[0]["volid"]
    done(node.qemu.post(vmid=free_id, storage="local-lvm", scsi0=f"local-lvm:0,import-from={image}", virtio1="1"))
    try:
        config = node.qemu(free_id).config.get()
        assert config["scsi0"] == f"local-lvm:vm-{free_id}-disk-0,size=4G" and config["virtio1"] == f"local-lvm:vm-{free_id}-disk-1,size=1G"
        wrong = refused(node.qemu(free_id).config.set, scsi1=f"local-lvm:5,import-from={image}")
        assert wrong.errors == {"scsi1": "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"}
    finally:
        remove(node, done, free_id)


def test_put_answers_null_and_post_a_task(tiny: Any, done: Task) -> None:
    assert tiny.config.set(name="put") is None and tiny.config.get()["name"] == "put"
    done(tiny.config.post(name="post"))
    assert tiny.config.get()["name"] == "post"
    assert refused(tiny.config.set).content == "no options specified"
    tiny.config.set(tags="Web;db,db")
    assert tiny.config.get()["tags"] == "db;web"


def test_digest_protects_what_was_read(tiny: Any) -> None:
    read = tiny.config.get()["digest"]
    tiny.config.set(description="someone else", digest=read)
    for call in (tiny.config.set, tiny.config.post):
        error = refused(call, description="mine", digest=read)
        assert (error.status_code, error.content) == (500, "checksum mismatch (file change by other user?)")
    assert tiny.config.get()["description"] == "someone else" and tiny.config.get()["digest"] != read


def test_settings_of_a_running_vm_wait_for_stop_and_start(tiny: Any, done: Task) -> None:
    done(tiny.status.start.post())
    tiny.config.set(name="at-once", onboot=1, memory=128, cores=2)
    assert tiny.config.get(current=1)["name"] == "at-once" and tiny.config.get(current=1)["onboot"] == 1
    assert (tiny.config.get()["memory"], tiny.config.get(current=1)["memory"]) == ("128", "64")
    assert waiting(tiny) == {"memory": "128", "cores": 2}
    tiny.config.set(revert="cores")
    tiny.config.set(delete="onboot,scsihw")
    assert waiting(tiny) == {"memory": "128", "scsihw": 1} and "onboot" not in tiny.config.get(current=1)
    tiny.config.set(revert="scsihw")
    done(tiny.status.reset.post())  # does not apply what waits: the process is the same
    assert waiting(tiny) == {"memory": "128"}
    done(tiny.status.stop.post())
    assert waiting(tiny) == {} and tiny.config.get(current=1)["memory"] == "128"
    tiny.config.set(memory=128)
    assert waiting(tiny) == {}, "what is as it was does not wait"


def test_contradictions_are_refused(tiny: Any) -> None:
    assert refused(tiny.config.set, cores=2, delete="cores").errors == {"delete": "you can't use '-cores' and -delete cores' at the same time"}
    assert refused(tiny.config.set, delete="colour").errors == {"delete": "unknown option 'colour'"}
    assert refused(tiny.config.set, boot="order=scsi7").content == "invalid bootorder: device 'scsi7' does not exist'"
    assert refused(tiny.config.get, current=1, snapshot="x1").status_code == 400


def test_power_of_a_vm_that_does_not_exist(node: Any, free_id: int, ended: Task) -> None:
    status, unknown = node.qemu(free_id).status, f"unable to find configuration file for VM {free_id} on node 'pve'"
    assert ended(status.start.post())["exitstatus"] == f"Configuration file 'nodes/pve/qemu-server/{free_id}.conf' does not exist"
    for verb in ("stop", "shutdown"):
        assert ended(status(verb).post())["exitstatus"] == unknown
    for verb in ("reset", "reboot", "suspend", "resume"):
        error = refused(status(verb).post)
        assert (error.status_code, error.content) == (500, unknown)


def test_start_stop_reset_suspend(tiny: Any, vmid: int, done: Task, ended: Task) -> None:
    for verb in ("reset", "reboot", "suspend", "resume"):
        assert refused(tiny.status(verb).post).content == f"VM {vmid} not running"
    done(tiny.status.stop.post())
    done(tiny.status.shutdown.post())
    done(tiny.status.start.post())
    assert ended(tiny.status.start.post())["exitstatus"] == f"VM {vmid} already running"
    pid = tiny.status.current.get()["pid"]
    done(tiny.status.reset.post())
    assert tiny.status.current.get()["pid"] == pid
    done(tiny.status.suspend.post())
    assert tiny.status.current.get()["qmpstatus"] == "paused" and tiny.status.current.get()["status"] == "running"
    assert refused(tiny.status.shutdown.post).content == "VM is paused - cannot shutdown"
    done(tiny.status.resume.post())
    assert tiny.status.current.get()["qmpstatus"] == "running"
    assert refused(tiny.agent.ping.post).content == "No QEMU guest agent configured"
    done(tiny.status.stop.post())
    assert tiny.status.current.get()["status"] == "stopped" and tiny.status.current.get()["uptime"] == 0


def test_a_guest_that_does_not_listen(tiny: Any, done: Task, ended: Task) -> None:
    done(tiny.status.start.post())
    assert ended(tiny.status.shutdown.post(timeout=1))["exitstatus"] == "VM quit/powerdown failed - got timeout"
    assert tiny.status.current.get()["status"] == "running"
    done(tiny.status.shutdown.post(timeout=1, forceStop=1))
    assert tiny.status.current.get()["status"] == "stopped"


def test_a_killed_qemu_is_seen_as_stopped(tiny: Any, done: Task) -> None:
    done(tiny.status.start.post())
    tiny.config.set(memory=128)
    os.kill(tiny.status.current.get()["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 5
    while (status := tiny.status.current.get())["status"] != "stopped":
        assert time.monotonic() < deadline
    assert "pid" not in status and status["qmpstatus"] == "stopped"
    assert waiting(tiny) == {"memory": "128"}, "what waits is applied when the API stops the VM, or at its next start"
    done(tiny.status.start.post())
    assert waiting(tiny) == {}


def test_what_the_lab_cannot_run_does_not_start_as_something_else(tiny: Any, ended: Task) -> None:
    tiny.config.set(bios="ovmf")
    assert ended(tiny.status.start.post())["exitstatus"] == "bios 'ovmf' is not covered by this stand-in"
    tiny.config.set(delete="bios", net1="virtio,bridge=vmbr7")
    assert ended(tiny.status.start.post())["exitstatus"] == "bridge 'vmbr7' does not exist"
    assert tiny.status.current.get()["status"] == "stopped"


def test_one_task_at_a_time_and_a_way_past_it(tiny: Any, vmid: int, done: Task, ended: Task) -> None:
    done(tiny.status.start.post())
    hanging = tiny.status.shutdown.post(timeout=60)
    blocked = refused(tiny.config.set, description="now")
    assert blocked.content == f"can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout"
    done(tiny.status.stop.post(**{"overrule-shutdown": 1}))
    assert ended(hanging)["exitstatus"] == "received interrupt"


def test_a_locked_vm_is_left_alone(tiny: Any, lab: TestLab, http: requests.Session, vmid: int, node: Any, ended: Task, done: Task) -> None:
    assert refused(tiny.config.set, lock="backup").content == "only root can set 'lock' config"
    file = lab.state / "pve" / "qemu-server" / f"{vmid}.conf"
    file.write_text("lock: backup\n" + file.read_text())  # as a backup does
    assert tiny.status.current.get()["lock"] == "backup" and tiny.config.get()["lock"] == "backup"
    for call, params in ((tiny.config.set, {"memory": 99}), (tiny.config.post, {"memory": 99}), (tiny.clone.post, {"newid": 9999})):
        assert refused(call, **params).content == "VM is locked (backup)"
    for call, params in ((tiny.status.start.post, {}), (tiny.snapshot.post, {"snapname": "no"}), (tiny.resize.set, {"disk": "scsi0", "size": "9G"}),
                         (tiny.delete, {})):  # fmt: skip
        assert ended(call(**params))["exitstatus"] == "VM is locked (backup)"
    file.write_text(file.read_text().replace("lock: backup\n", ""))
    assert tiny.config.get()["memory"] == str(TINY["memory"])


def test_a_task_shows_its_lock_while_it_works(tiny: Any, node: Any, done: Task, free_id: int) -> None:
    image = node.storage("local").content.get(content="import")[0]["volid"]
    upid = node.qemu.post(vmid=free_id, scsi0=f"local-lvm:0,import-from={image}")
    assert node.qemu(free_id).status.current.get()["lock"] == "create"
    done(upid)
    assert "lock" not in node.qemu(free_id).status.current.get()
    remove(node, done, free_id)
