"""Snapshots, clones and templates of a tiny VM through the API."""

from typing import Any

import proxmoxer
import proxmoxer.tools
import pytest

from tests.conftest import TestLab
from tests.lab.conftest import Task, remove
from tests.lab.helpers import refused, slot, until_running, volumes

pytestmark = pytest.mark.lab


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
    until_running(tiny)
    for name in ("cold", "warm"):
        done(tiny.snapshot(name).delete())
    assert [s["name"] for s in tiny.snapshot.get()] == ["current"]


@pytest.mark.parametrize("running", [False, True])
def test_full_clone(tiny: Any, vmid: int, node: Any, done: Task, free_id: int, lab: TestLab, running: bool) -> None:
    tiny.config.set(scsi1="local-lvm:1,ssd=1", tags="t", ide2="local-lvm:cloudinit", efidisk0="local-lvm:1")
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
        assert copy["ide2"] == f"local-lvm:vm-{free_id}-cloudinit,media=cdrom,size=4M" and copy["efidisk0"] == f"local-lvm:vm-{free_id}-disk-0,size=4M"
        assert copy["scsi1"] == f"local-lvm:vm-{free_id}-disk-2,size=1G,ssd=1" and copy["name"] == "copy" and copy["description"] == "of tiny"
        assert copy["tags"] == "t" and "lock" not in copy and f":qmclone:{vmid}:" in upid
        for changed in ("net0", "smbios1", "vmgenid"):
            assert copy[changed] != source[changed]
        new_image = image.with_name(f"vm-{free_id}-disk-2.qcow2")
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
