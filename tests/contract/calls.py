"""Every call of every client, on things that need not be there: for parts that are out of reach, or let nobody in."""

from collections.abc import Callable
from typing import Any

import pytest

from include.lake.equal import Version
from include.lake.errors import LakeError, Unreachable
from include.lake.resources.bucket import Expiry, Retention
from include.lake.resources.filesystem import FilesystemState
from include.lake.resources.keypair import Pair
from include.lake.resources.topic import Setting, TopicState
from include.lake.resources.vm_disk import VmDiskState
from include.lake.secret import Secret
from include.lake.units import Size

NAME, GIB, PAIR = "contract-nobody", Size(2**30), Pair("CONTRACTNOBODY", Secret("nobody's secret"))
AT = ("pve", 100, "scsi29")

READING: dict[str, dict[str, Callable[[Any], Any]]] = {
    "proxmox": {
        "slot": lambda c: c.slot(*AT),
        "scsihw": lambda c: c.scsihw(*AT[:2]),
        "snapshots": lambda c: c.snapshots(*AT[:2]),
        "holding": lambda c: c.holding(*AT),
    },
    "host": {
        "device": lambda c: c.device(AT[2]),
        "mount_facts": lambda c: c.mount_facts("/mnt/contract-nowhere"),
        "account": lambda c: c.account(NAME, "/srv"),
        "machine": lambda c: c.machine(),
        "installed": lambda c: c.installed(NAME),
        "try_out": lambda c: c.try_out(NAME, "0" * 64),
        "service": lambda c: c.service(NAME, 9999),
        "volume": lambda c: c.volume("/mnt/contract-nowhere"),
        "note": lambda c: c.note(NAME),
        "made_account": lambda c: c.made_account(NAME),
        "made_program": lambda c: c.made_program(NAME),
    },
    "minio": {
        "bucket": lambda c: c.bucket(NAME),
        "capacity": lambda c: c.capacity(),
        "locked_object": lambda c: c.locked_object(NAME),
        "policy": lambda c: c.policy(NAME),
        "user": lambda c: c.user(NAME),
        "owner": lambda c: c.owner(PAIR.access_key),
        "keys_of": lambda c: c.keys_of(NAME),
        "accepts": lambda c: c.accepts(PAIR),
        "counters": lambda c: c.counters(),
        "quota": lambda c: c.quota(NAME),
        "sample": lambda c: c.sample(NAME, 10),
    },
    "kubernetes": {
        "namespace": lambda c: c.namespace(NAME),
        "service_account": lambda c: c.service_account(NAME, NAME),
        "secret": lambda c: c.secret(NAME, NAME),
        "made_secret": lambda c: c.made_secret(NAME, NAME),
        "strangers": lambda c: c.strangers(NAME, NAME),
        "guests": lambda c: c.guests(NAME),
        "written": lambda c: c.written(NAME, NAME, "a"),
        "clock": lambda c: c.clock(NAME),
        "pods_with": lambda c: c.pods_with(NAME, NAME),
    },
}
VOLID = "local:backup/vzdump-qemu-100-2026_01_01-00_00_00.vma.zst"
READING["backups"] = {
    "backups": lambda c: c.backups(*AT[:1], "local", 100),
    "running": lambda c: c.running(*AT[:2], "vzdump"),
    "follow": lambda c: c.follow("pve", "UPID:pve:00000001:00000001:00000001:vzdump:100:a@b!c:", print),
    "taken": lambda c: c.taken(100),
    "settings": lambda c: c.settings(*AT[:2]),
    "archived": lambda c: c.archived("pve", VOLID),
    "read": lambda c: c.read(*AT[:2], "/etc/hostname"),
}
READING["versions"] = {
    "bucket_names": lambda c: c.bucket_names(),
    "versions": lambda c: list(c.versions(NAME)),
    "digest": lambda c: c.digest(Version(NAME, NAME, "null", False, 0, 1)),
}
READING["kafka"] = {
    "topic": lambda c: c.topic(NAME, ["retention.ms"]),
    "topic_id": lambda c: c.topic_id(NAME),
    "end_offsets": lambda c: c.end_offsets(NAME),
}
WRITING: dict[str, dict[str, Callable[[Any], Any]]] = {
    "proxmox": {
        "add_disk": lambda c: c.add_disk(*AT, VmDiskState("local-lvm", GIB)),
        "set_flags": lambda c: c.set_flags(*AT, {"ssd": True}),
        "grow": lambda c: c.grow(*AT, GIB),
        "remove_disk": lambda c: c.remove_disk(*AT),
        "take_snapshot": lambda c: c.take_snapshot(*AT[:2], NAME, ""),
    },
    "host": {
        "make_filesystem": lambda c: c.make_filesystem("/dev/contract-nothing", FilesystemState("ext4", "", ""), again=False),
        "grow_filesystem": lambda c: c.grow_filesystem("/dev/contract-nothing"),
        "write_fstab": lambda c: c.write_fstab("/mnt/contract-nowhere", "x", "ext4", "noauto"),
        "give_data": lambda c: c.give_data(NAME, "/mnt/contract-nowhere"),
        "switch": lambda c: c.switch(NAME, "0" * 64),
        "restart": lambda c: c.restart(NAME),
        "erase_filesystem": lambda c: c.erase_filesystem("/dev/contract-nothing", ""),
        "unmount": lambda c: c.unmount("/mnt/contract-nowhere"),
        "remove_directory": lambda c: c.remove_directory("/mnt/contract-nowhere"),
        "remove_entry": lambda c: c.remove_entry("/mnt/contract-nowhere"),
        "remove_account": lambda c: c.remove_account(NAME),
        "remove_program": lambda c: c.remove_program(NAME),
        "remove_service": lambda c: c.remove_service(NAME),
        "write_note": lambda c: c.write_note(NAME, "text"),
        "wait_serving": lambda c: c.wait_serving(NAME, 9999),
    },
    "minio": {
        "make_bucket": lambda c: c.make_bucket(NAME, object_lock=False),
        "set_versioning": lambda c: c.set_versioning(NAME, on=True),
        "set_quota": lambda c: c.set_quota(NAME, GIB),
        "set_retention": lambda c: c.set_retention(NAME, Retention("governance", 1)),
        "set_lifecycle": lambda c: c.set_lifecycle(NAME, frozenset({Expiry(noncurrent_days=1)})),
        "put_policy": lambda c: c.put_policy(NAME, {"Version": "2012-10-17", "Statement": []}),
        "add_user": lambda c: c.add_user(NAME),
        "enable_user": lambda c: c.enable_user(NAME),
        "hold": lambda c: c.hold(NAME, frozenset({NAME})),
        "put_access_key": lambda c: c.put_access_key(NAME, PAIR, new=True),
        "remove_bucket": lambda c: c.remove_bucket(NAME),
        "remove_policy": lambda c: c.remove_policy(NAME),
        "remove_user": lambda c: c.remove_user(NAME),
        "remove_access_key": lambda c: c.remove_access_key(PAIR.access_key),
    },
    "kubernetes": {
        "make_namespace": lambda c: c.make_namespace(NAME),
        "make_service_account": lambda c: c.make_service_account(NAME, NAME),
        "put_role": lambda c: c.put_role(NAME, NAME, frozenset({"get pods"})),
        "bind": lambda c: c.bind(NAME, NAME),
        "write_secret": lambda c: c.write_secret(NAME, NAME, {"a": Secret("1")}),
        "remove_secret": lambda c: c.remove_secret(NAME, NAME),
        "remove_service_account": lambda c: c.remove_service_account(NAME, NAME),
        "remove_namespace": lambda c: c.remove_namespace(NAME),
        "patch_secret": lambda c: c.patch_secret(NAME, NAME, {"a": Secret("1")}),
    },
}

WRITING["backups"] = {
    "start_backup": lambda c: c.start_backup(*AT[:2], "local", "snapshot", ""),
    "remove_backup": lambda c: c.remove_backup("pve", VOLID),
    "start_restore": lambda c: c.start_restore(*AT[:2], VOLID, "local-lvm", {}),
    "change": lambda c: c.change(*AT[:2], {"name": NAME}),
    "power_on": lambda c: c.power_on(*AT[:2]),
    "run": lambda c: c.run(*AT[:2], "true"),
    "write": lambda c: c.write(*AT[:2], "/tmp/contract-nothing", ""),
}
WRITING["versions"] = {}
WRITING["kafka"] = {
    "make_topic": lambda c: c.make_topic(NAME, TopicState(1)),
    "add_partitions": lambda c: c.add_partitions(NAME, 2),
    "set_config": lambda c: c.set_config(NAME, frozenset({Setting("retention.ms", "1")})),
    "remove_topic": lambda c: c.remove_topic(NAME),
}


def told(call: Callable[[], Any], *, retry: bool | None = None) -> LakeError:
    """The error of ours that a call ends with: never absent, never a traceback. It names a cause and a remedy.

    `retry` says whether it must be one that may go away by itself.
    """
    with pytest.raises(LakeError) as caught:
        answer = call()
        pytest.fail(f"it answered {answer!r}")
    error = caught.value
    assert error.cause, str(error)
    assert error.remedy, str(error)
    assert retry in (None, isinstance(error, Unreachable)), str(error)
    return error
