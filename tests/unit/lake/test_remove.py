"""Taking a lake down in memory: what goes, what stays, what is refused before anything is touched, and killed at every call."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.declare import unmarked
from include.lake.errors import LakeError, Refused, Unreachable
from include.lake.lake import load_lake
from include.lake.remove import Removal, look, refuse, remove, scope
from include.lake.resource import ensure
from include.lake.spec import LAKE_FILE
from include.lake.survey import Status, survey
from tests.fakes.base import Killed
from tests.fakes.guest import AGPL
from tests.fakes.site import FakeSite

LAKE = load_lake()
BUCKET, DISK, FILESYSTEM = LAKE.buckets[0].id, LAKE.vm_disk.id, LAKE.filesystem.id
GO = ["keypair/spark-user", "service-account/spark-jobs/spark-sa", "namespace/spark-jobs", "user/spark-user", "policy/spark-user", "service/minio",
      "binary/minio", "mount/mnt/minio_data"]  # fmt: skip


def made() -> FakeSite:
    """A site with the lake as declared, and an object in it."""
    site = FakeSite()
    for resource in LAKE.resources():
        ensure(resource, site(resource.part))
    site.minio.versions["datalake"] = [("rows.parquet", 100), ("rows.parquet", 100)]
    return Site(site)


class Site(FakeSite):
    """A lake's parts, of which MinIO answers only while its service runs on its data."""

    def __init__(self, of: FakeSite) -> None:
        self.__dict__.update(vars(of))

    def __call__(self, part: str) -> Any:
        service = self.host.services.get("minio")
        if part == "minio" and not (service and service.serving):
            raise Unreachable("MinIO", "connection refused")
        return super().__call__(part)


def plan(site: FakeSite, *data: str) -> Removal:
    return look(LAKE, scope(LAKE, data), site)


def down(site: FakeSite, *data: str) -> list[str]:
    """What the command does."""
    removal = plan(site, *data)
    refuse(LAKE, removal, site)
    return list(remove(LAKE, removal, site))


def test_what_homelake_made_goes_and_the_data_stay() -> None:
    site = made()
    versions = dict(site.minio.versions)
    removal = plan(site)
    assert [r.id for r in removal.goes] == GO
    assert removal.stays == {
        "bucket/datalake": "data; --data bucket/datalake would delete it", "account/minio-user": "the data belong to it",
        "filesystem/scsi1": "data; --data filesystem/scsi1 would delete it", "vm-disk/100/scsi1": "data; --data vm-disk/100/scsi1 would delete it",
    }  # fmt: skip
    assert down(site) == GO
    assert site.minio.versions == versions
    assert (site.host.mounts, site.host.fstab, site.host.protected, site.host.services, site.host.links) == ({}, {}, set(), {}, {})
    assert site.host.disks["scsi1"][1] is not None
    assert not site.kubernetes.namespaces
    assert not site.keypair.access_keys
    before = list(site.writes)
    assert plan(site).goes == (), "a second removal finds nothing"
    assert site.writes == before


def test_a_stream_ends_first_and_its_topics_stay(tmp_path: Path) -> None:
    file = tmp_path / "lake.yaml"
    file.write_text(unmarked(LAKE_FILE.read_text()))
    lake, site = load_lake(file), FakeSite()
    assert lake.stream
    for resource in (*lake.resources(), lake.stream):
        ensure(resource, site(resource.part))
    removal = look(lake, scope(lake, ()), site)
    refuse(lake, removal, site)
    gone = list(remove(lake, removal, site))
    assert gone[0] == "stream/payments"
    assert (site.streams.application, site.streams.cut) == (None, 0)
    assert {t.id for t in lake.topics} <= set(removal.stays)


def test_what_is_there_comes_back_on_the_same_data() -> None:
    site = made()
    versions = dict(site.minio.versions)
    down(site)
    for resource in LAKE.resources():
        ensure(resource, site(resource.part))
    assert {f.status for f in survey(LAKE.resources(), site)} == {Status.OK}
    assert site.minio.versions == versions


@pytest.mark.parametrize(("data", "more", "gone"), [
    ([BUCKET], [BUCKET], []),
    ([FILESYSTEM], ["account/minio-user", FILESYSTEM], ["user/spark-user", "policy/spark-user"]),
    ([DISK], ["account/minio-user", DISK], ["user/spark-user", "policy/spark-user"]),
    ([DISK, FILESYSTEM, BUCKET], ["account/minio-user", DISK], ["user/spark-user", "policy/spark-user"]),
], ids=["bucket", "filesystem", "disk", "all"])  # fmt: skip
def test_data_go_by_name(data: list[str], more: list[str], gone: list[str]) -> None:
    site = made()
    assert set(down(site, *data)) == {*GO, *more} - set(gone), "what lies on the disk goes with it"
    assert (BUCKET in data and DISK not in data) == ("datalake" not in site.minio.buckets)
    assert (site.host.disks["scsi1"][1] is None) == (FILESYSTEM in data and DISK not in data)
    assert ("scsi1" in site.proxmox.slots) == (DISK not in data)
    assert not plan(site, *data).goes


def test_data_of_another_lake_are_no_data() -> None:
    with pytest.raises(LakeError, match=r"Unable to remove bucket/other, vm-disk/7/scsi1: it is no data of this lake. Its data are bucket/datalake"):
        scope(LAKE, ["vm-disk/7/scsi1", "bucket/other", BUCKET])


@pytest.mark.parametrize(("data", "bucket"), [([BUCKET], "datalake"), ([DISK], "datalake"), ([FILESYSTEM], "undeclared"), ([DISK], "undeclared")])
def test_a_locked_object_refuses_it_all_before_anything_is_touched(data: list[str], bucket: str) -> None:
    site = made()
    site.minio.buckets.setdefault("undeclared", site.minio.buckets["datalake"])
    site.minio.locked[bucket] = "rows.parquet: compliance until 2030"
    before = list(site.writes)
    with pytest.raises(Refused, match=rf"Unable to delete bucket/{bucket}: it holds locked objects \(rows.parquet: compliance until 2030\)"):
        down(site, *data)
    assert site.writes == before
    assert "service/minio" in down(site), "and does not keep the rest from going"


def test_a_disk_that_a_snapshot_holds_refuses_it_all_before_anything_is_touched() -> None:
    site = made()
    site.proxmox.take_snapshot("pve", 100, "homelake-20260102-030405", "")
    before = list(site.writes)
    with pytest.raises(Refused, match=r"Unable to delete vm-disk/100/scsi1: the VM's snapshots homelake-20260102-030405 hold it. Delete them in Proxmox VE"):
        down(site, DISK)
    assert site.writes == before


def test_data_that_cannot_be_looked_through_are_not_deleted() -> None:
    site = made()
    down(site)
    before = list(site.writes)
    for data in ([DISK], [FILESYSTEM]):
        with pytest.raises(Refused, match=r"MinIO is not there any more, so whether they hold locked objects cannot be known. Run ./lake apply"):
            down(site, *data)
    assert site.writes == before
    assert "sleeps in the data" in plan(site, BUCKET).stays[BUCKET]
    site.host.disks["scsi1"] = ((), None)
    assert down(site, DISK) == ["account/minio-user", DISK], "a disk without anything on it holds nothing that is locked"


def test_what_a_killed_run_knew_of_the_data_is_worth_nothing_once_they_may_be_written_to_again() -> None:
    """Killed anywhere, brought back, filled with what is locked; then the service is stopped and switched off by hand."""
    for site, where in kills([DISK]):
        with pytest.raises(Killed):
            down(site, DISK)
        for part in (site.proxmox, site.host, site.minio, site.keypair):
            part.kill_at = None
        if not site.host.accounts:  # from here on the data belong to nobody, and no lake comes back on them
            continue
        if site.host.notes and "minio" in site.host.services and site.host.services["minio"].enabled:
            continue  # between the note and the stop, one command each: nothing was taken away, and nothing is brought back
        if any(not n.active for n in site.kubernetes.namespaces.values()):
            site.kubernetes.namespaces.clear()  # it has gone by then
        for resource in LAKE.resources():
            ensure(resource, site(resource.part))
        site.minio.locked["datalake"] = "rows.parquet: compliance until 2030"
        site.host.services["minio"] = replace(site.host.services["minio"], serving=False, enabled=False)
        with pytest.raises(LakeError, match="MinIO does not serve"):
            down(site, DISK)
        assert "scsi1" in site.proxmox.slots, where


@pytest.mark.parametrize("data", [[], [BUCKET]], ids=str)
def test_a_removal_that_leaves_the_data_vouches_for_nothing_in_them(data: list[str]) -> None:
    """Killed anywhere, with an object locked all the while in a bucket that it had no reason to look into."""
    gone = 0
    for site, where in kills(data):
        site.minio.buckets["undeclared"] = site.minio.buckets["datalake"]
        site.minio.locked["undeclared"] = "rows.parquet: compliance until 2030"
        with pytest.raises(Killed):
            down(site, *data)
        for part in (site.proxmox, site.host, site.minio, site.keypair):
            part.kill_at = None
        gone += "minio" not in site.host.services
        for wiped in (DISK, FILESYSTEM):
            with pytest.raises(Refused, match="locked objects"):
                down(site, wiped)
        assert "scsi1" in site.proxmox.slots, where
        assert site.host.disks["scsi1"][1], where
    assert gone


def test_what_a_run_has_looked_through_is_worth_nothing_after_one_that_leaves_the_data() -> None:
    site = made()
    site.host.write_note("remove", f"{FILESYSTEM} {LAKE.mount.uuid}")  # killed before it stopped the service
    site.minio.locked["datalake"] = "rows.parquet: compliance until 2030"
    down(site)
    with pytest.raises(Refused, match="locked objects"):
        down(site, DISK)


@pytest.mark.parametrize("data", [[], [BUCKET], [DISK]])
def test_a_store_that_does_not_serve_is_told(data: list[str]) -> None:
    site = made()
    site.host.services["minio"] = replace(site.host.services["minio"], serving=False)
    before = list(site.writes)
    with pytest.raises(LakeError, match=r"MinIO does not serve, so what is in it cannot be seen or removed. Start it"):
        down(site, *data)
    assert site.writes == before


def test_what_cannot_be_reached_stops_it_before_anything_is_touched() -> None:
    site = made()

    def gone(*args: Any) -> Any:
        raise Unreachable("Kubernetes", "connection refused")

    site.kubernetes.service_account = gone  # type: ignore[method-assign]
    before = list(site.writes)
    with pytest.raises(LakeError, match=r"(?s)not everything of it can be seen\n- Unable to reach Kubernetes: connection refused.*Nothing was touched"):
        down(site)
    assert site.writes == before


# What others made


def test_what_homelake_did_not_make_stays_and_what_it_needs() -> None:
    site = made()
    site.kubernetes.foreign = {"secret"}
    site.host.foreign = {"account"}
    gone = down(site, DISK)
    assert set(gone) == {"service-account/spark-jobs/spark-sa", "service/minio", "binary/minio", "mount/mnt/minio_data", DISK}
    stays = plan(site).stays
    assert stays["keypair/spark-user"] == "Homelake did not make the secret spark-jobs/minio-s3-keys"
    assert "secret minio-s3-keys" in stays["namespace/spark-jobs"]
    site = made()
    site.kubernetes.foreign = {"secret"}
    stays = plan(site).stays
    assert stays["user/spark-user"] == "keypair/spark-user stays, which needs it"
    assert stays["policy/spark-user"] == "user/spark-user stays, which needs it"


def test_a_user_with_keys_of_others_stays_with_its_policy() -> None:
    site = made()
    site.keypair.access_keys["AKTHEIRS"] = ("spark-user", next(iter(site.keypair.access_keys.values()))[1])
    site.minio.access_keys, site.minio.foreign_keys = site.keypair.access_keys, {"AKTHEIRS"}
    assert not {"user/spark-user", "policy/spark-user"} & set(down(site))
    assert "spark-user" in site.minio.users


def test_a_service_of_others_keeps_all_of_the_vm() -> None:
    site = made()
    site.host.services["minio"] = replace(site.host.services["minio"], unit="[Unit]\nDescription=mine\n")
    gone = down(site, DISK)
    assert not [r for r in gone if r.startswith(("service/", "mount", "vm-disk", "binary", "account", "filesystem"))]
    assert plan(site, DISK).stays[DISK] == "service/minio stays, which needs it"


def test_a_program_put_there_by_hand_stays() -> None:
    site = made()
    site.host.by_hand["new"] = AGPL
    assert "binary/minio" not in down(site)
    assert site.host.links == {"minio": "new"}


@pytest.mark.parametrize("data", [[DISK], [FILESYSTEM, DISK]], ids=str)
def test_an_adopted_filesystem_keeps_its_disk(tmp_path: Path, data: list[str]) -> None:
    site, uuid = made(), "11111111-2222-3333-4444-555555555555"
    signatures, there = site.host.disks["scsi1"]
    assert there
    site.host.disks["scsi1"] = (signatures, replace(there, uuid=uuid))
    file = tmp_path / "lake.yaml"
    file.write_text(LAKE_FILE.read_text().replace("\nfilesystem:\n", f"\nfilesystem:\n  uuid: {uuid}\n"))
    lake = load_lake(file)
    removal = look(lake, scope(lake, data), site)
    assert not {FILESYSTEM, DISK} & {r.id for r in removal.goes}
    assert "Homelake did not make" in removal.stays[FILESYSTEM]
    assert removal.stays[DISK] == f"{FILESYSTEM} stays, which needs it"


# Killed


def kills(data: Collection[str]) -> Iterator[tuple[FakeSite, str]]:
    """A site for every call of a removal at which it may be killed."""
    for part in ("proxmox", "host", "minio", "keypair"):
        whole = made()
        first = len(whole(part).writes)
        client = whole(part)
        down(whole, *data)
        for number in range(first, len(client.writes)):
            for when in ("before", "during", "after"):
                site = made()
                site(part).kill_at = (number, when)
                yield site, f"{when} {client.writes[number]} ({part})"


@pytest.mark.parametrize("data", [[], [BUCKET], [FILESYSTEM], [DISK]], ids=str)
def test_killed_anywhere_the_next_run_goes_on(data: list[str]) -> None:
    count = 0
    for site, where in kills(data):
        with pytest.raises(Killed):
            down(site, *data)
        for part in (site.proxmox, site.host, site.minio, site.keypair):
            part.kill_at = None
        down(site, *data)
        assert plan(site, *data).goes == (), where
        assert not site.host.services, where
        assert not site.host.notes, where
        assert ("scsi1" in site.proxmox.slots) == (DISK not in data), where
        assert (site.host.disks["scsi1"][1] is None) == (FILESYSTEM in data), where
        assert ("datalake" in site.minio.buckets) == (BUCKET not in data), where
        count += 1
    assert count > 30
