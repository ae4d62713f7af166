"""A second, tiny VM made, changed, started, copied, taken back and removed through the API, as third-party clients do it."""

import os
import re
import signal
import time
from typing import Any

import proxmoxer
import pytest
import requests

from tests.conftest import TestLab
from tests.lab.conftest import TINY, Task, client, remove
from tests.lab.test_proxmox_api import refused

pytestmark = pytest.mark.lab


def slot(vm: Any, name: str = "scsi1") -> dict[str, str]:
    """A drive's setting as it is now: its options, and the volume as `file`."""
    volume, *options = vm.config.get(current=1)[name].split(",")
    return dict([o.split("=", 1) for o in options], file=volume)


def waiting(vm: Any) -> dict[str, Any]:
    """What waits for the next start: setting → value, or the number that says it is to be deleted."""
    return {r["key"]: r.get("pending", r.get("delete")) for r in vm.pending.get() if "pending" in r or "delete" in r}


def volumes(node: Any, vmid: int) -> set[str]:
    return {v["volid"] for v in node.storage("local-lvm").content.get(vmid=vmid)}


# --- creation and removal ---------------------------------------------------------------------------------------------


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
        assert vm.status.current.get()["status"] == "running" and vm.status.current.get()["tags"] == "a;b"
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


# --- settings ---------------------------------------------------------------------------------------------------------


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
    assert waiting(tiny) == {"memory": "128"}
    done(tiny.status.start.post())
    assert waiting(tiny) == {} and tiny.config.get(current=1)["memory"] == "128"
    tiny.config.set(memory=128)
    assert waiting(tiny) == {}, "what is as it was does not wait"


def test_contradictions_are_refused(tiny: Any) -> None:
    assert refused(tiny.config.set, cores=2, delete="cores").errors == {"delete": "you can't use '-cores' and -delete cores' at the same time"}
    assert refused(tiny.config.set, delete="colour").errors == {"delete": "unknown option 'colour'"}
    assert refused(tiny.config.set, boot="order=scsi7").content == "invalid bootorder: device 'scsi7' does not exist'"
    assert refused(tiny.config.get, current=1, snapshot="x1").status_code == 400


# --- disks ------------------------------------------------------------------------------------------------------------


def test_a_disk_added_while_the_vm_runs(tiny: Any, vmid: int, node: Any, done: Task) -> None:
    done(tiny.status.start.post())
    done(tiny.config.post(scsi1="local-lvm:500,backup=1,discard=on,iothread=1,ssd=1"))
    assert tiny.config.get()["scsi1"] == f"local-lvm:vm-{vmid}-disk-1,backup=1,discard=on,iothread=1,size=500G,ssd=1"
    assert waiting(tiny) == {}
    volume = next(v for v in node.storage("local-lvm").content.get(vmid=vmid) if v["volid"].endswith("disk-1"))
    assert volume["size"] == 500 << 30
    done(tiny.config.post(scsi1="local-lvm:1"))  # asks for another one, as the real one takes it: the first is kept
    assert slot(tiny)["file"].endswith("disk-2") and tiny.config.get()["unused0"] == f"local-lvm:vm-{vmid}-disk-1"
    tiny.config.set(delete="unused0")
    assert volumes(node, vmid) == {f"local-lvm:vm-{vmid}-disk-{n}" for n in (0, 2)}


def test_flags_of_an_attached_disk_wait(tiny: Any, done: Task) -> None:
    done(tiny.status.start.post())
    tiny.config.set(scsi1="local-lvm:1,ssd=1,discard=on")
    volume = slot(tiny)["file"]
    tiny.config.set(scsi1=f"{volume},ssd=0,backup=0")
    assert slot(tiny) == {"file": volume, "discard": "on", "size": "1G", "ssd": "1"}, "all of it waits, as in the real one"
    assert waiting(tiny) == {"scsi1": f"{volume},backup=0,size=1G,ssd=0"}
    assert tiny.config.get()["scsi1"] == f"{volume},backup=0,size=1G,ssd=0"
    done(tiny.status.stop.post())
    done(tiny.status.start.post())
    assert waiting(tiny) == {} and slot(tiny) == {"file": volume, "backup": "0", "size": "1G", "ssd": "0"}
    tiny.config.set(scsi1=f"{volume},ssd=0,backup=1,mbps_rd=10")
    assert waiting(tiny) == {} and slot(tiny)["backup"] == "1", "these do not wait"


def test_resize(tiny: Any, node: Any, vmid: int, done: Task, ended: Task) -> None:
    for running in (False, True):
        if running:
            done(tiny.status.start.post())
        tiny.config.set(scsi1="local-lvm:1")
        done(tiny.resize.set(disk="scsi1", size="3G"))
        assert slot(tiny)["size"] == "3G"
        done(tiny.resize.set(disk="scsi1", size="+512M"))
        assert slot(tiny)["size"] == "3584M"
        done(tiny.resize.set(disk="scsi1", size="1T"))
        assert slot(tiny)["size"] == "1T" and node.storage("local-lvm").content(slot(tiny)["file"]).get()["size"] == 1 << 40
        assert ended(tiny.resize.set(disk="scsi1", size="2G"))["exitstatus"] == "shrinking disks is not supported"
        done(tiny.resize.set(disk="scsi1", size="1T"))
        assert refused(tiny.resize.set, disk="scsi1", size="huge").errors == {"size": "value does not match the regex pattern"}
        assert ended(tiny.resize.set(disk="scsi1", size="2T", digest="0" * 40))["exitstatus"] == "checksum mismatch (file change by other user?)"
        tiny.unlink.set(idlist="scsi1", force=1)
    tiny.config.set(scsi2="none,media=cdrom")
    assert ended(tiny.resize.set(disk="scsi2", size="9G"))["exitstatus"] == "you can't resize a cdrom"


def test_unlink_and_attach_again(tiny: Any, node: Any, vmid: int, done: Task) -> None:
    for running in (False, True):
        if running:
            done(tiny.status.start.post())
        tiny.config.set(scsi1="local-lvm:1")
        volume = slot(tiny)["file"]
        assert tiny.unlink.set(idlist="scsi1") is None
        assert "scsi1" not in tiny.config.get() and tiny.config.get()["unused0"] == volume and volume in volumes(node, vmid)
        tiny.config.set(scsi3=volume)
        assert "unused0" not in tiny.config.get() and slot(tiny, "scsi3")["file"] == volume
        tiny.unlink.set(idlist="scsi3", force=1)
        assert volume not in volumes(node, vmid) and {"scsi3", "unused0"}.isdisjoint(tiny.config.get())


@pytest.mark.parametrize("running", [False, True])
def test_a_disk_that_a_snapshot_needs_is_not_lost(tiny: Any, node: Any, vmid: int, done: Task, running: bool) -> None:
    tiny.config.set(scsi1="local-lvm:1")
    volume = slot(tiny)["file"]
    done(tiny.snapshot.post(snapname="needs"))
    if running:
        done(tiny.status.start.post())
    error = refused(tiny.config.set, delete="scsi1", force=1)
    assert error.status_code == 400 and f"unable to delete '{volume}' - volume is still in use (snapshot?)" in error.errors["scsi1"]
    assert slot(tiny)["file"] == volume and waiting(tiny) == {"scsi1": 2} and volume in volumes(node, vmid)
    tiny.config.set(revert="scsi1")
    assert waiting(tiny) == {}


def test_removing_a_disk_takes_it_out_of_the_boot_order(tiny: Any) -> None:
    tiny.config.set(scsi1="local-lvm:1", boot="order=scsi0;scsi1;net0")
    tiny.config.set(delete="scsi1", force=1)
    assert tiny.config.get()["boot"] == "order=scsi0;net0"


@pytest.mark.parametrize("name", ["virtio1", "sata1", "ide1"])
def test_other_buses(tiny: Any, vmid: int, done: Task, name: str) -> None:
    done(tiny.status.start.post())
    tiny.config.set(**{name: "local-lvm:1"})
    setting = f"local-lvm:vm-{vmid}-disk-1,size=1G"
    assert waiting(tiny) == ({} if name == "virtio1" else {name: setting}), "IDE and SATA cannot be plugged in"
    done(tiny.status.stop.post())
    done(tiny.status.start.post())
    assert waiting(tiny) == {} and tiny.config.get()[name] == setting
    done(tiny.status.stop.post())


def test_cdrom(tiny: Any, done: Task) -> None:
    tiny.config.set(cdrom="none")
    assert tiny.config.get()["ide2"] == "none,media=cdrom"
    done(tiny.status.start.post())
    tiny.config.set(ide2="none,media=cdrom")
    assert waiting(tiny) == {}
    refused_change = refused(tiny.config.set, ide2="local-lvm:1")
    assert refused_change.errors == {"ide2": "hotplug problem - unable to change media type"}


def test_a_volume_of_another_vm_needs_rights_on_that(lab: TestLab, node: Any, tiny: Any) -> None:
    foreign = node.qemu(100).config.get()["scsi0"].split(",")[0]
    bootstrap, own = client(lab, "PVE_BOOTSTRAP").nodes("pve").qemu(100), tiny.config.get()["scsi0"].split(",")[0]
    assert refused(bootstrap.config.set, scsi9=own).status_code == 403
    assert refused(node.storage("local-lvm").content("vm-100-disk-99").get).content == "volume 'local-lvm:vm-100-disk-99' does not exist"
    tiny.config.set(scsi5=foreign)  # the administrator may
    tiny.config.set(delete="scsi5")
    assert "unused0" not in tiny.config.get(), "another VM's volume is only let go"
    assert foreign in volumes(node, 100)


def test_volumes_by_the_storage(node: Any, tiny: Any, vmid: int, done: Task, ended: Task) -> None:
    content = node.storage("local-lvm").content
    assert content.post(filename=f"vm-{vmid}-data", vmid=vmid, size="1G") == f"local-lvm:vm-{vmid}-data"
    assert "already exists" in refused(content.post, filename=f"vm-{vmid}-data", vmid=vmid, size="1G").content
    assert refused(content.post, filename="mine", vmid=vmid, size="1G").content == f"illegal name 'mine' - should be 'vm-{vmid}-*'"
    assert content(f"vm-{vmid}-data").get()["size"] == 1 << 30
    done(content(f"local-lvm:vm-{vmid}-data").delete())
    done(tiny.status.start.post())
    assert "in use" in ended(content(tiny.config.get()["scsi0"].split(",")[0]).delete())["exitstatus"]
    assert refused(node.storage("nowhere").status.get).errors == {"storage": "No such storage."}
    assert refused(node.storage("nowhere").content.get).content == "storage 'nowhere' does not exist"


# --- life -------------------------------------------------------------------------------------------------------------


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
    os.kill(tiny.status.current.get()["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 5
    while (status := tiny.status.current.get())["status"] != "stopped":
        assert time.monotonic() < deadline
    assert "pid" not in status and status["qmpstatus"] == "stopped"
    done(tiny.status.start.post())


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


# --- snapshots --------------------------------------------------------------------------------------------------------


def test_snapshots_of_a_stopped_vm(tiny: Any, node: Any, vmid: int, done: Task, ended: Task) -> None:
    done(tiny.snapshot.post(snapname="one", description="first"))
    tiny.config.set(memory=128, scsi1="local-lvm:1", description="kept")
    done(tiny.snapshot.post(snapname="two"))
    listed = {s["name"]: s for s in tiny.snapshot.get()}
    assert (listed["one"]["description"], listed["one"]["vmstate"], listed["two"]["parent"], listed["current"]["parent"]) == ("first", 0, "one", "two")
    assert listed["current"]["running"] == 0 and isinstance(listed["one"]["snaptime"], int)
    assert tiny.snapshot("one").config.get()["memory"] == "64" and "scsi1" not in tiny.config.get(snapshot="one")
    assert ended(tiny.snapshot.post(snapname="one"))["exitstatus"] == "snapshot name 'one' already used"
    added = slot(tiny)["file"]
    done(tiny.snapshot("one").rollback.post())
    config = tiny.config.get()
    assert (config["memory"], config["parent"], config["description"], config["unused0"]) == ("64", "one", "kept", added)
    assert "volume is still in use" in refused(tiny.config.set, delete="unused0").content
    done(tiny.snapshot("two").delete())
    tiny.config.set(delete="unused0")
    assert added not in volumes(node, vmid)
    tiny.snapshot("one").config.set(description="renamed")
    assert next(s for s in tiny.snapshot.get() if s["name"] == "one")["description"] == "renamed"
    assert ended(tiny.snapshot("none").rollback.post())["exitstatus"] == "snapshot 'none' does not exist"
    assert refused(tiny.snapshot.post, snapname="current").content == "unable to use snapshot name 'current' (reserved name)"
    assert refused(tiny.snapshot.post, snapname="9").errors == {"snapname": "invalid format - invalid configuration ID '9'"}


def test_a_snapshot_holds_the_disks_content(tiny: Any, lab: TestLab, done: Task) -> None:
    image = lab.state / "pve" / "storage" / "local-lvm" / (tiny.config.get()["scsi0"].split(",")[0].partition(":")[2] + ".qcow2")

    def write(byte: str) -> None:
        lab.run("qemu-io", "-f", "qcow2", "-c", f"write -P {byte} 0 64k", str(image))

    def holds(byte: str) -> bool:
        return "verification failed" not in lab.run("qemu-io", "-f", "qcow2", "-c", f"read -P {byte} 0 64k", str(image))

    write("0x11")
    done(tiny.snapshot.post(snapname="before"))
    write("0x22")
    assert holds("0x22")
    done(tiny.snapshot("before").rollback.post())
    assert holds("0x11")


@pytest.mark.parametrize("running", [False, True])
def test_a_disk_grown_after_a_snapshot_is_small_again(tiny: Any, node: Any, done: Task, running: bool) -> None:
    if running:
        done(tiny.status.start.post())
    done(tiny.snapshot.post(snapname="small"))
    done(tiny.resize.set(disk="scsi0", size="2G"))
    assert slot(tiny, "scsi0")["size"] == "2G"
    done(tiny.snapshot("small").rollback.post())
    held = slot(tiny, "scsi0")
    assert held["size"] == "1G" and node.storage("local-lvm").content(held["file"]).get()["size"] == 1 << 30


def test_a_snapshot_with_memory_is_a_warm_start(tiny: Any, done: Task) -> None:
    done(tiny.status.start.post())
    tiny.config.set(scsi1="local-lvm:1")  # plugged in: a rollback must find the same devices in the same places
    done(tiny.snapshot.post(snapname="warm", vmstate=1))
    assert next(s for s in tiny.snapshot.get() if s["name"] == "warm")["vmstate"] == 1
    assert tiny.snapshot("warm").config.get()["runningmachine"].startswith("pc-i440fx")
    done(tiny.status.stop.post())
    done(tiny.snapshot("warm").rollback.post())
    status = tiny.status.current.get()
    assert (status["status"], status["qmpstatus"]) == ("running", "running") and "lock" not in status
    done(tiny.snapshot.post(snapname="cold"))  # of a running VM, without memory
    done(tiny.snapshot("cold").rollback.post(start=1))
    assert tiny.status.current.get()["status"] == "running"
    for name in ("cold", "warm"):
        done(tiny.snapshot(name).delete())
    assert [s["name"] for s in tiny.snapshot.get()] == ["current"]


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("running", [False, True])
def test_full_clone(tiny: Any, vmid: int, node: Any, done: Task, free_id: int, lab: TestLab, running: bool) -> None:
    tiny.config.set(scsi1="local-lvm:1,ssd=1", tags="t")
    image = lab.state / "pve" / "storage" / "local-lvm" / (slot(tiny)["file"].partition(":")[2] + ".qcow2")
    lab.run("qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 1M 64k", str(image))
    if running:
        done(tiny.status.start.post())
    pid = tiny.status.current.get().get("pid")
    upid = tiny.clone.post(newid=free_id, name="copy", description="of tiny")
    assert refused(tiny.clone.post, newid=free_id).content == f"unable to create VM {free_id}: config file already exists"
    done(upid)
    try:
        source, copy = tiny.config.get(), node.qemu(free_id).config.get()
        assert copy["scsi1"] == f"local-lvm:vm-{free_id}-disk-1,size=1G,ssd=1" and copy["name"] == "copy" and copy["description"] == "of tiny"
        assert copy["tags"] == "t" and "lock" not in copy and f":qmclone:{vmid}:" in upid
        for changed in ("net0", "smbios1", "vmgenid"):
            assert copy[changed] != source[changed]
        new_image = image.with_name(f"vm-{free_id}-disk-1.qcow2")
        assert "verification failed" not in lab.run("qemu-io", "-r", "-f", "qcow2", "-c", "read -P 0x5a 1M 64k", str(new_image))
        assert tiny.status.current.get().get("pid") == pid
        if running:
            assert tiny.status.current.get()["qmpstatus"] == "running"
        done(node.qemu(free_id).status.start.post())
    finally:
        remove(node, done, free_id)


def test_clone_of_a_snapshot_has_what_it_held(tiny: Any, node: Any, done: Task, free_id: int, lab: TestLab) -> None:
    folder = lab.state / "pve" / "storage" / "local-lvm"
    image = folder / (tiny.config.get()["scsi0"].split(",")[0].partition(":")[2] + ".qcow2")
    lab.run("qemu-io", "-f", "qcow2", "-c", "write -P 0x31 2M 64k", str(image))
    done(tiny.snapshot.post(snapname="then"))
    lab.run("qemu-io", "-f", "qcow2", "-c", "write -P 0x32 2M 64k", str(image))
    assert refused(tiny.clone.post, newid=free_id, snapname="never").content == "snapshot 'never' does not exist"
    done(tiny.clone.post(newid=free_id, snapname="then"))
    try:
        assert node.qemu(free_id).config.get()["name"] == "Copy-of-VM-tiny"
        assert [s["name"] for s in node.qemu(free_id).snapshot.get()] == ["current"]
        assert "verification failed" not in lab.run("qemu-io", "-f", "qcow2", "-c", "read -P 0x31 2M 64k", str(folder / f"vm-{free_id}-disk-0.qcow2"))
    finally:
        remove(node, done, free_id)


def test_template_and_linked_clone(tiny: Any, node: Any, api: proxmoxer.ProxmoxAPI, done: Task, ended: Task) -> None:
    base, linked = int(api.cluster.nextid.get()), int(api.cluster.nextid.get()) + 1
    assert "Linked clone feature is not supported" in refused(tiny.clone.post, newid=base, full=0).content
    done(tiny.clone.post(newid=base, name="base"))
    template = node.qemu(base)
    try:
        done(template.template.post())
        assert template.config.get()["template"] == 1 and template.config.get()["scsi0"].startswith(f"local-lvm:base-{base}-disk-0,")
        assert template.status.current.get()["template"] == 1
        assert ended(template.status.start.post())["exitstatus"] == "you can't start a vm if it's a template"
        assert refused(template.clone.post, newid=linked, full=0, storage="local-lvm").content == "parameter 'storage' not allowed for linked clones"
        done(template.clone.post(newid=linked))
        assert node.qemu(linked).config.get()["scsi0"] == f"local-lvm:vm-{linked}-disk-0,discard=on,size=1G"
        row = next(v for v in node.storage("local-lvm").content.get(vmid=linked))
        assert row["parent"] == f"local-lvm:base-{base}-disk-0"
        assert "still in use by linked clone" in ended(template.delete())["exitstatus"]
        done(node.qemu(linked).status.start.post())
    finally:
        remove(node, done, linked)
        remove(node, done, base)
    assert volumes(node, base) | volumes(node, linked) == set()


# --- locks ------------------------------------------------------------------------------------------------------------


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
