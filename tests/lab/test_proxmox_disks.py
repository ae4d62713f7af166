"""Disks of a tiny VM through the API: added, changed, grown, taken off."""

from typing import Any

import pytest

from tests.conftest import TestLab
from tests.lab.conftest import Task, client
from tests.lab.helpers import refused, slot, volumes, waiting

pytestmark = pytest.mark.lab


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


@pytest.mark.parametrize("running", [False, True])
def test_a_cloudinit_drive_goes_when_it_is_taken_out(tiny: Any, node: Any, vmid: int, done: Task, running: bool) -> None:
    tiny.config.set(ide2="local-lvm:cloudinit")
    assert slot(tiny, "ide2")["file"] == f"local-lvm:vm-{vmid}-cloudinit" and f"local-lvm:vm-{vmid}-cloudinit" in volumes(node, vmid)
    if running:
        done(tiny.status.start.post())
    tiny.config.set(ide2="none,media=cdrom")
    assert waiting(tiny) == {} and f"local-lvm:vm-{vmid}-cloudinit" not in volumes(node, vmid) and "unused0" not in tiny.config.get()


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
