"""Backups through the API: made while a VM runs or not, kept, annotated, pruned, restored to another VM."""

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import proxmoxer
import pytest

from tests.conftest import TestLab
from tests.lab.conftest import Task, client, remove
from tests.lab.helpers import refused, running, slot, until_running, volumes, waiting

pytestmark = pytest.mark.lab
NAME = re.compile(r"local:backup/vzdump-qemu-(\d+)-\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d\.vma(\.zst|\.gz)?")


def kept(node: Any, vmid: int) -> list[dict[str, Any]]:
    """A VM's backups, oldest first."""
    return sorted(node.storage("local").content.get(content="backup", vmid=vmid), key=lambda b: b["ctime"])


@pytest.fixture(autouse=True)
def clean(node: Any, vmid: int, done: Task) -> Iterator[None]:
    """The tiny VM's backups go."""
    yield
    for backup in kept(node, vmid):
        node.storage("local").content(backup["volid"]).set(protected=0)
        done(node.storage("local").content(backup["volid"]).delete())


def image(lab: TestLab, drive: str) -> Path:
    """The file of a drive's volume."""
    return lab.state / "pve" / "storage" / "local-lvm" / (drive.split(",")[0].partition(":")[2] + ".qcow2")


def answers(host: str, seconds: float) -> bool:
    """Whether SSH takes a connection within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, 22), timeout=2).close()
        except OSError:
            time.sleep(0.2)
            continue
        return True
    return False


def log(node: Any, upid: str) -> list[str]:
    """What a task said."""
    return [line["t"] for line in node.tasks(upid).log.get(limit=0)]


@pytest.mark.parametrize(("live", "compress", "ending"), [(False, "0", "vma"), (True, "zstd", "vma.zst"), (True, "gzip", "vma.gz")])
def test_a_vm_is_backed_up_and_comes_back_as_another(
    tiny: Any, node: Any, vmid: int, lab: TestLab, done: Task, free_id: int, live: bool, compress: str, ending: str
) -> None:
    tiny.config.set(scsi1="local-lvm:500,ssd=1,discard=on", scsi2="local-lvm:1,backup=0", tags="t", description="mine\n")
    lab.run("qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 300G 64k", str(image(lab, tiny.config.get()["scsi1"])))
    if live:
        done(tiny.status.start.post())
    before, began = tiny.config.get(), int(time.time())
    upid = node.vzdump.post(vmid=vmid, storage="local", compress=compress, **{"notes-template": "{{guestname}} on {{node}}\\nby a test"})
    done(upid)
    assert f":vzdump:{vmid}:" in upid
    assert tiny.config.get() == before, "it is not locked any more, and not changed"
    (row,) = kept(node, vmid)
    assert NAME.fullmatch(row["volid"]) and row["volid"].endswith(f".{ending}")
    assert {k: row[k] for k in ("content", "format", "subtype", "vmid", "notes")} == {
        "content": "backup", "format": ending, "subtype": "qemu", "vmid": vmid, "notes": "tiny on pve\nby a test"}  # fmt: skip
    assert began - 1 <= row["ctime"] <= time.time() and 0 < row["size"] < 10 << 20, "sparse"
    said = log(node, upid)
    assert said[1] == f"INFO: Starting Backup of VM {vmid} (qemu)" and said[-1] == "TASK OK" and said[-2] == "INFO: Backup job finished successfully"
    assert any("include disk 'scsi1'" in line for line in said) and any("exclude disk 'scsi2'" in line for line in said)
    assert f"INFO: backup mode: {'snapshot' if live else 'stop'}" in said
    assert any(line.startswith("INFO: 100%") for line in said) == live
    text = node.vzdump.extractconfig.get(volume=row["volid"])
    assert "\nname: tiny\n" in text and "lock" not in text and f"scsi1: {before['scsi1']}\n" in text

    upid = node.qemu.post(vmid=free_id, archive=row["volid"], unique=1, name="back", onboot=0, net0="virtio,bridge=vmbr0,link_down=1", start=1)
    try:
        assert f":qmrestore:{free_id}:" in upid
        done(upid)
        back = node.qemu(free_id).config.get()
        assert (back["name"], back["onboot"], back["tags"]) == ("back", 0, "t")
        assert back["scsi1"] == f"local-lvm:vm-{free_id}-disk-1,discard=on,size=500G,ssd=1"
        assert "scsi2" not in back and back["description"] == f"mine\nscsi2: {before['scsi2']}"
        assert re.fullmatch(r"virtio=BC:24:11:[0-9A-F:]{8},bridge=vmbr0,link_down=1", back["net0"])
        for changed in ("net0", "smbios1", "vmgenid"):
            assert back[changed].split(",")[0] != before[changed].split(",")[0]
        until_running(node.qemu(free_id))
        copy = image(lab, back["scsi1"])
        assert "verification failed" not in lab.run("qemu-io", "-r", "-U", "-f", "qcow2", "-c", "read -P 0x5a 300G 64k", str(copy))
        assert tiny.config.get() == before
    finally:
        remove(node, done, free_id)
    assert volumes(node, free_id) == set()


def test_the_same_settings_come_back_when_none_are_given(tiny: Any, node: Any, vmid: int, done: Task, free_id: int) -> None:
    before = tiny.config.get()
    done(node.vzdump.post(vmid=vmid, storage="local"))
    done(node.qemu.post(vmid=free_id, archive=kept(node, vmid)[0]["volid"], storage="local-lvm"))
    try:
        back = node.qemu(free_id).config.get()
        assert {k: v for k, v in back.items() if k not in ("scsi0", "vmgenid", "digest")} == \
            {k: v for k, v in before.items() if k not in ("scsi0", "vmgenid", "digest", "parent")}  # fmt: skip
        assert node.qemu(free_id).status.current.get()["status"] == "stopped"
    finally:
        remove(node, done, free_id)


def test_a_linked_clones_backup_holds_the_base_as_well(tiny: Any, node: Any, api: proxmoxer.ProxmoxAPI, lab: TestLab, done: Task) -> None:
    lab.run("qemu-io", "-f", "qcow2", "-c", "write -P 0x77 1M 64k", str(image(lab, tiny.config.get()["scsi0"])))
    base = int(api.cluster.nextid.get())
    linked, back = base + 1, base + 2
    try:
        done(tiny.clone.post(newid=base))
        done(node.qemu(base).template.post())
        done(node.qemu(base).clone.post(newid=linked))
        done(node.qemu(linked).status.start.post())
        done(node.vzdump.post(vmid=linked, storage="local"))
        (row,) = kept(node, linked)
        done(node.qemu.post(vmid=back, archive=row["volid"]))
        copy = image(lab, node.qemu(back).config.get()["scsi0"])
        assert "verification failed" not in lab.run("qemu-io", "-r", "-f", "qcow2", "-c", "read -P 0x77 1M 64k", str(copy))
        done(node.storage("local").content(row["volid"]).delete())
    finally:
        for one in (back, linked, base):
            remove(node, done, one)


def slow(tiny: Any, node: Any, vmid: int, lab: TestLab, done: Task, **options: Any) -> str:
    """A backup of the running tiny VM that takes some seconds; returns its UPID once it copies."""
    lab.run("qemu-io", "-f", "qcow2", "-c", "write -P 0x33 0 64M", str(image(lab, tiny.config.get()["scsi0"])))
    done(tiny.status.start.post())
    upid = str(node.vzdump.post(vmid=vmid, storage="local", bwlimit=8192, **options))
    deadline = time.monotonic() + 30
    while not any("started backup task" in line for line in log(node, upid)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return upid


def test_the_vm_is_locked_meanwhile_and_runs_on(tiny: Any, node: Any, vmid: int, lab: TestLab, done: Task, ended: Task) -> None:
    upid = slow(tiny, node, vmid, lab, done, mode="suspend")
    assert (tiny.status.current.get()["lock"], tiny.status.current.get()["qmpstatus"]) == ("backup", "running")
    assert refused(tiny.config.set, memory=128).content == "VM is locked (backup)"
    assert ended(node.vzdump.post(vmid=vmid, storage="local"))["exitstatus"] == "job errors"
    assert [t["upid"] for t in node.tasks.get(vmid=vmid, source="active", typefilter="vzdump")] == [upid]
    done(upid)
    assert "lock" not in tiny.status.current.get()
    said = log(node, upid)
    assert said.index("INFO: suspending guest") < said.index("INFO: resuming VM again") < said.index("INFO: started backup task")
    assert len([line for line in said if re.match(r"INFO: +\d+% ", line)]) > 2


def test_a_backup_that_is_stopped_leaves_nothing(tiny: Any, node: Any, vmid: int, lab: TestLab, done: Task, ended: Task) -> None:
    upid = slow(tiny, node, vmid, lab, done)
    node.tasks(upid).delete()
    assert ended(upid)["exitstatus"] == "received interrupt"
    assert kept(node, vmid) == [] and "lock" not in tiny.config.get()
    assert [p.name for p in (lab.state / "pve/storage/local/dump").iterdir() if f"-{vmid}-" in p.name] == []
    assert tiny.status.current.get()["qmpstatus"] == "running"
    done(node.vzdump.post(vmid=vmid, storage="local"))


def test_a_vm_that_is_stopped_for_it_runs_again(tiny: Any, node: Any, vmid: int, done: Task) -> None:
    done(tiny.status.start.post())
    pid = tiny.status.current.get()["pid"]
    upid = node.vzdump.post(vmid=vmid, storage="local", mode="stop", stopwait=0)  # without a system it does not heed a shutdown
    done(upid)
    now, said = tiny.status.current.get(), log(node, upid)
    assert (now["status"], now["qmpstatus"]) == ("running", "running") and now["pid"] != pid
    assert said.index("INFO: stopping virtual guest") < said.index("INFO: resuming VM again") and len(kept(node, vmid)) == 1


def test_notes_and_protection(tiny: Any, node: Any, vmid: int, done: Task, ended: Task) -> None:
    done(node.vzdump.post(vmid=vmid, storage="local", protected=1))
    (row,) = kept(node, vmid)
    backup = node.storage("local").content(row["volid"])
    assert row["protected"] == 1 and "notes" not in row
    assert (backup.get()["protected"], backup.get()["notes"], backup.get()["format"]) == (1, "", "vma")
    assert "cannot remove protected volume" in ended(backup.delete())["exitstatus"]
    backup.set(notes="two\nlines", protected=0)
    (row,) = kept(node, vmid)
    assert (row["notes"], "protected" in row) == ("two\nlines", False)
    disk = node.storage("local-lvm").content(slot(tiny, "scsi0")["file"])
    assert refused(disk.set, notes="no").content == "only backups support attribute 'notes'"
    done(backup.delete())
    assert kept(node, vmid) == []
    assert f"volume '{row['volid']}' does not exist" in refused(backup.get).content


def test_pruning_keeps_the_newest_and_the_protected(tiny: Any, node: Any, vmid: int, done: Task) -> None:
    for options in ({"protected": 1}, {}, {}):
        done(node.vzdump.post(vmid=vmid, storage="local", remove=0, **options))
        time.sleep(1.1)  # a backup's name has seconds
    first, _, third = (b["volid"] for b in kept(node, vmid))
    upid = node.vzdump.post(vmid=vmid, storage="local", **{"prune-backups": "keep-last=2"})
    done(upid)
    assert [b["volid"] for b in kept(node, vmid)][:2] == [first, third] and len(kept(node, vmid)) == 3
    assert "INFO: pruned 1 backup(s) not covered by keep-retention policy" in log(node, upid)


def test_what_is_refused(tiny: Any, node: Any, vmid: int, done: Task, ended: Task, free_id: int) -> None:
    start = node.vzdump.post
    upid = start(vmid=free_id, storage="local")
    assert ended(upid)["exitstatus"] == "job errors" and f"ERROR: Backup of VM {free_id} failed - unable to find VM '{free_id}'" in log(node, upid)
    assert refused(start, storage="local").content == "you must specify 'vmid', 'all' or 'pool'"
    assert refused(start, vmid=vmid, storage="nowhere").content == "storage 'nowhere' does not exist"
    assert refused(start, vmid=vmid, storage="local-lvm").content == "Storage 'local-lvm' does not support backup content"
    assert "mode" in refused(start, vmid=vmid, mode="fast").errors and "colour" in refused(start, vmid=vmid, colour="red").errors
    assert "prune-backups" in refused(start, vmid=vmid, **{"prune-backups": "keep-most=1"}).errors
    for options in ({"all": 1}, {"pool": "p"}, {"fleecing": "enabled=1"}, {"compress": "lzo"}, {"prune-backups": "keep-daily=1"}, {"vmid": f"{vmid},100"}):
        assert refused(start, **{"vmid": vmid, "storage": "local", **options}).status_code == 501, options
    done(start(vmid=vmid, storage="local"))
    volid = kept(node, vmid)[0]["volid"]
    create = node.qemu.post
    assert refused(create, vmid=vmid, archive=volid).content == f"unable to restore VM {vmid} - VM {vmid} already exists on node 'pve'"
    assert refused(create, vmid=vmid, archive=volid, force=1).status_code == 501
    assert refused(create, vmid=free_id, archive=volid, scsi0="local-lvm:1").errors == {"scsi0": "option conflicts with option 'archive'"}
    gone = re.sub(r"_\d\d\.vma", "_61.vma", volid)
    assert refused(create, vmid=free_id, archive=gone).content == f"volume '{gone}' does not exist"
    assert refused(create, vmid=free_id, archive=volid, **{"live-restore": 1}).status_code == 501
    assert refused(create, vmid=free_id, archive=volid, storage="local").errors == {"storage": "storage 'local' does not support vm images"}
    assert free_id not in {v["vmid"] for v in node.qemu.get()}


def test_an_archive_that_is_broken_leaves_a_vm_without_anything(tiny: Any, node: Any, vmid: int, lab: TestLab, done: Task, ended: Task, free_id: int) -> None:
    lab.run("qemu-io", "-f", "qcow2", "-c", "write -P 0x41 0 4M", str(image(lab, tiny.config.get()["scsi0"])))
    done(node.vzdump.post(vmid=vmid, storage="local"))
    volid = kept(node, vmid)[0]["volid"]
    file = lab.state / "pve/storage/local/dump" / volid.rpartition("/")[2]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert ended(node.qemu.post(vmid=free_id, archive=volid))["exitstatus"].startswith(f"unable to restore VM {free_id} - ")
    assert node.qemu(free_id).config.get().keys() == {"memory", "digest"} and volumes(node, free_id) == set()
    done(node.qemu(free_id).delete())


def test_rights(tiny: Any, node: Any, vmid: int, lab: TestLab, done: Task, free_id: int) -> None:
    done(node.vzdump.post(vmid=vmid, storage="local"))
    volid = kept(node, vmid)[0]["volid"]
    for who in ("PVE_NOPRIV", "PVE_BOOTSTRAP"):  # the second may back up VM 100 only
        other = client(lab, who).nodes("pve")
        assert refused(other.vzdump.post, vmid=vmid, storage="local").content == f"Permission check failed (/vms/{vmid}, VM.Backup)"
        for call in (other.storage("local").content(volid).delete, other.storage("local").content(volid).get,
                     lambda n=other: n.vzdump.extractconfig.get(volume=volid)):  # fmt: skip
            assert refused(call).status_code == 403
        assert refused(other.qemu.post, vmid=free_id, archive=volid).content == f"Permission check failed (/vms/{free_id}, VM.Allocate)"
    bootstrap = client(lab, "PVE_BOOTSTRAP").nodes("pve")
    assert volid not in {b["volid"] for b in bootstrap.storage("local").content.get(content="backup")}
    assert refused(bootstrap.vzdump.post, vmid=100, storage="local", **{"prune-backups": "keep-last=1"}).content == \
        "Permission check failed (/storage/local, Datastore.Allocate)"  # fmt: skip
    assert refused(bootstrap.vzdump.post, vmid=100, storage="local", bwlimit=1).content == "Permission check failed (/, Sys.Modify)"
    assert refused(bootstrap.vzdump.post, vmid=100, storage="local", tmpdir="/tmp").errors == {"tmpdir": "Only root may set this option."}
    assert refused(bootstrap.qemu.post, vmid=110, archive=volid).content == f"Permission check failed (/vms/{vmid}, VM.Backup)"


def test_a_running_guest_is_held_for_the_moment_of_its_backup(node: Any, lab: TestLab, done: Task, tmp_path: Path) -> None:
    """What it wrote before is in it, synced or not; what it wrote while the backup went on is not."""
    pids = running(lab)
    lab.ssh("echo early >before; rm -f after")
    upid = node.vzdump.post(vmid=100, storage="local", bwlimit=100 << 10)
    deadline = time.monotonic() + 120
    while not any("started backup task" in line for line in log(node, upid)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lab.ssh("echo late >after; sync")
    still = node.tasks(upid).status.get()["status"]
    done(upid)
    row = kept(node, 100)[-1]
    try:
        assert still == "running", "the backup was over too soon to show anything"
        said = log(node, upid)
        freeze, thaw = (said.index(f"INFO: issuing guest-agent 'fs-{verb}' command") for verb in ("freeze", "thaw"))
        assert freeze < thaw < said.index("INFO: started backup task") and not [line for line in said if line.startswith("ERROR")]
        assert node.qemu(100).agent("fsfreeze-status").post()["result"] == "thawed" and running(lab) == pids
        lab.run("tar", "-C", str(tmp_path), "-xf", str(lab.state / "pve/storage/local/dump" / row["volid"].rpartition("/")[2]), "drive-scsi0.qcow2")
        lab.run("qemu-img", "convert", "-O", "raw", str(tmp_path / "drive-scsi0.qcow2"), str(tmp_path / "disk"))
        files = lab.run("debugfs", "-R", "ls -p /home/debian", str(tmp_path / "disk"))
        assert "/before/" in files and "/after/" not in files
        assert lab.run("debugfs", "-R", "cat /home/debian/before", str(tmp_path / "disk")) == "early\n"
    finally:
        lab.ssh("rm -f before after")
        done(node.storage("local").content(row["volid"]).delete())


def test_a_cable_is_pulled_and_plugged_while_the_vm_runs(node: Any, lab: TestLab) -> None:
    vm = node.qemu(100)
    card = vm.config.get()["net0"]
    lab.close_ssh()
    assert answers(lab["SSH_HOST"], 5)
    try:
        vm.config.set(net0=f"{card},link_down=1")
        assert vm.config.get(current=1)["net0"].endswith("link_down=1") and waiting(vm) == {}
        assert not answers(lab["SSH_HOST"], 3)
    finally:
        vm.config.set(net0=card)
    assert answers(lab["SSH_HOST"], 30) and vm.config.get(current=1)["net0"] == card
