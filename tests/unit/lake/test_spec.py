"""The declaration: what it takes, what it refuses, and what it says then."""

import copy
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from include.lake.errors import SpecError
from include.lake.lake import load_lake
from include.lake.spec import LAKE_FILE, LakeSpec, read_spec
from include.lake.units import Size

SHIPPED: dict[str, Any] = yaml.safe_load(LAKE_FILE.read_text())
SMALLEST: dict[str, Any] = {
    "name": "home",
    "vm": {"vmid": 100},
    "minio": {"binary": {"file": "/srv/minio"}},
    "buckets": [{"name": "datalake"}],
    "users": [{"name": "spark-user", "buckets": ["datalake"]}],
    "spark": {"image": "registry.example/spark:4"},
}
ABSENT = object()


def changed(path: str, value: Any, content: dict[str, Any] = SHIPPED) -> dict[str, Any]:
    """A copy of the declaration with one value set, or left out (ABSENT): `buckets.0.name`. What a job needs is said once, of its output."""
    whole = copy.deepcopy(content)
    if path != "spark.event_logs":
        whole["spark"].pop("event_logs", None)
    *way, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    place: Any = whole
    for part in way:
        place = place[part]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return whole


def problems_of(tmp_path: Path, content: dict[str, Any] | str | bytes) -> tuple[str, ...]:
    file = tmp_path / "lake.yaml"
    if isinstance(content, dict):
        content = yaml.safe_dump(content)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SpecError) as caught:
        read_spec(file)
    text = str(caught.value)
    assert text.startswith(f"Unable to read {file}: {len(caught.value.problems)} problem")
    assert text.count("\n") == len(caught.value.problems), "a line for each problem"
    return caught.value.problems


LIST, TEXT, NUMBER = "write a list, as [one, two]", "write text (in quotes, where it looks like a number or a date)", "write a whole number without quotes"
NAME = "a name of lower-case letters, digits and dashes, at most 63"
BUCKET = "a bucket name of 3 to 63 lower-case letters, digits, dashes and single dots, and no IP address"
SCOPE = "a bucket, or a bucket with a prefix that ends in /, as datalake/raw/"
SLOT = "a SCSI slot from scsi1 to scsi30 (scsi0 is the VM's own disk)"
PATH = "is not a plain absolute path of two parts or more; write it as /mnt/minio_data"
NODE = "the name of a Proxmox VE node: letters, digits and dashes, as a host name"
POLICY = "is the name of a policy that MinIO comes with, and the user's own would replace it; give the user another name"
ACCOUNT = "a Unix account name other than root: lower-case letters, digits, - and _"
SIZES = "known are B, KiB, MiB, GiB, TiB, PiB"


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        # What is missing, unknown, or of another kind
        ("name", ABSENT, "name: missing. Add it."),
        ("vm.vmid", ABSENT, "vm.vmid: missing. Add it."),
        ("minio.binary", ABSENT, "minio.binary: missing. Add it."),
        ("buckets.0.name", ABSENT, "buckets[0].name: missing. Add it."),
        ("nmae", "x", "nmae: unknown key. Did you mean 'name'?"),
        ("vm.disk.siz", "1 GiB", "vm.disk.siz: unknown key. Did you mean 'size'?"),
        ("buckets.0.versionning", True, "buckets[0].versionning: unknown key. Did you mean 'versioning'?"),
        ("kubernetes.secret.qqq", 1, "kubernetes.secret.qqq: unknown key. Known here: name, user, access_key, secret_key."),
        ("minio.scanner.xyz", 1, "minio.scanner.xyz: unknown key. Known here: speed, cycle."),
        ("vm", 5, "vm: 5 is not valid: write its keys below it, indented, or remove it."),
        ("filesystem", None, "filesystem: nothing is not valid: write its keys below it, indented, or remove it."),
        ("name", 7, f"name: 7 is not valid: {TEXT}."),
        ("name", True, f"name: True is not valid: {TEXT}."),
        ("vm.vmid", "100", f"vm.vmid: '100' is not valid: {NUMBER}."),
        ("minio.port", 9000.5, f"minio.port: 9000.5 is not valid: {NUMBER}."),
        ("vm.disk.ssd", "yes", "vm.disk.ssd: 'yes' is not valid: write true or false."),
        ("vm.disk.ssd", 1, "vm.disk.ssd: 1 is not valid: write true or false."),
        ("users.0.buckets", "datalake", f"users[0].buckets: 'datalake' is not valid: {LIST}."),
        ("users", None, f"users: nothing is not valid: {LIST}."),
        ("buckets", [], "buckets: give at least one."),
        ("users.0.buckets", [], "users[0].buckets: give at least one."),
        # Ranges and choices
        ("vm.vmid", 99, "vm.vmid: 99 is not valid: input should be greater than or equal to 100."),
        ("minio.port", 0, "minio.port: 0 is not valid: input should be greater than or equal to 1."),
        ("minio.console_port", 65536, "minio.console_port: 65536 is not valid: input should be less than or equal to 65535."),
        ("filesystem.type", "xfs", "filesystem.type: 'xfs' is not valid: input should be 'ext4'."),
        ("users.0.role", "admin", "users[0].role: 'admin' is not valid: input should be 'read-write', 'read-only' or 'append-only'."),
        ("minio.scanner.speed", "warp", "minio.scanner.speed: 'warp' is not valid: input should be 'slowest', 'slow', 'default', 'fast' or 'fastest'."),
        # Names
        ("name", "Home Lake", f"name: 'Home Lake' is not {NAME}."),
        ("name", "", f"name: '' is not {NAME}."),
        ("name", "lake\n", f"name: 'lake\\n' is not {NAME}."),
        ("kubernetes.namespace", "Spark", f"kubernetes.namespace: 'Spark' is not {NAME}."),
        ("vm.node", "pve_1", f"vm.node: 'pve_1' is not {NODE}."),
        ("vm.node", "pve-", f"vm.node: 'pve-' is not {NODE}."),
        ("vm.node", "pve.example.org", f"vm.node: 'pve.example.org' is not {NODE}."),
        *(("users.0.name", name, f"users[0].name: {name!r} {POLICY}.") for name in ("readonly", "readwrite", "writeonly", "diagnostics")),
        ("buckets.0.name", "no", f"buckets[0].name: 'no' is not {BUCKET}."),
        ("buckets.0.name", "a_b", f"buckets[0].name: 'a_b' is not {BUCKET}."),
        ("buckets.0.name", "a..b", f"buckets[0].name: 'a..b' is not {BUCKET}."),
        ("buckets.0.name", "a.-b", f"buckets[0].name: 'a.-b' is not {BUCKET}."),
        ("buckets.0.name", "10.0.0.1", f"buckets[0].name: '10.0.0.1' is not {BUCKET}."),
        ("account", "root", f"account: 'root' is not {ACCOUNT}."),
        ("account", "9minio", f"account: '9minio' is not {ACCOUNT}."),
        ("kubernetes.secret.access_key", "access key", "kubernetes.secret.access_key: 'access key' is not a Kubernetes secret's key: letters, digits, -, _ and .."),
        ("minio.region", "Korea", "minio.region: 'Korea' is not a region such as ap-northeast-2."),
        ("vm.disk.slot", "scsi0", f"vm.disk.slot: 'scsi0' is not {SLOT}."),
        ("vm.disk.slot", "scsi31", f"vm.disk.slot: 'scsi31' is not {SLOT}."),
        ("vm.disk.slot", "virtio1", f"vm.disk.slot: 'virtio1' is not {SLOT}."),
        ("vm.disk.storage", "local lvm", "vm.disk.storage: 'local lvm' is not the name of a Proxmox VE storage."),
        ("spark.output", "s3://datalake/x", "spark.output: 's3://datalake/x' is not a path in a bucket, as s3a://datalake/test-output/."),
        ("spark.output", "s3a://datalake/", "spark.output: 's3a://datalake/' is not a path in a bucket, as s3a://datalake/test-output/."),
        ("spark.schedule", "every day", "spark.schedule: 'every day' is not a cron expression of five fields, as 0 6 * * *."),
        ("spark.schedule", "0 6 * *", "spark.schedule: '0 6 * *' is not a cron expression of five fields, as 0 6 * * *."),
        ("spark.image", "", "spark.image: '' is not text that says something."),
        # A path that would break /etc/fstab or a unit
        ("filesystem.mount_point", "mnt/data", f"filesystem.mount_point: 'mnt/data' {PATH}."),
        ("filesystem.mount_point", "/mnt", f"filesystem.mount_point: '/mnt' {PATH}."),
        ("filesystem.mount_point", "/mnt/../etc", f"filesystem.mount_point: '/mnt/../etc' {PATH}."),
        ("filesystem.mount_point", "/mnt/data/", f"filesystem.mount_point: '/mnt/data/' {PATH}."),
        ("filesystem.mount_point", "/mnt/my data", f"filesystem.mount_point: '/mnt/my data' {PATH}."),
        ("filesystem.mount_point", "/mnt/%h", f"filesystem.mount_point: '/mnt/%h' {PATH}."),
        # Sizes and durations
        ("vm.disk.size", 500, "vm.disk.size: 500 is not a number with a unit; write it as '500 GiB'."),
        ("vm.disk.size", "500", "vm.disk.size: '500' is not a number with a unit; write it as '500 GiB'."),
        ("vm.disk.size", "-1 GiB", "vm.disk.size: '-1 GiB' is not a number with a unit; write it as '500 GiB'."),
        ("vm.disk.size", "500 GB", f"vm.disk.size: unknown unit 'GB'; {SIZES}; for binary units write GiB."),
        ("vm.disk.size", "500 gib", f"vm.disk.size: unknown unit 'gib'; {SIZES}."),
        ("buckets.0.quota", "0.3 B", "buckets[0].quota: '0.3 B' is not a whole number of bytes."),
        ("buckets.0.quota", "9000 PiB", "buckets[0].quota: '9000 PiB' is too large."),
        ("minio.scanner.cycle", "5", "minio.scanner.cycle: '5' is not a number with a unit; write it as '30 s'."),
        ("minio.scanner.cycle", "5 min", "minio.scanner.cycle: unknown unit 'min'; known are ms, s, m, h, d."),
        ("governance", {"warn_at": "80"}, "governance.warn_at: '80' is not a share between 0 and 100 %; write it as '80 %'."),
        ("governance", {"fail_at": "101 %"}, "governance.fail_at: '101 %' is not a share between 0 and 100 %; write it as '80 %'."),
        ("buckets.0.retention", {"period": "36 h"}, "buckets[0].retention.period: '36 h' is not a whole number of days from 1 to 36500; write it as '30 d'."),
        ("users.0.buckets", ["datalake/raw"], f"users[0].buckets[0]: 'datalake/raw' is not {SCOPE}."),
        ("users.0.buckets", ["datalake/*/"], f"users[0].buckets[0]: 'datalake/*/' is not {SCOPE}."),
        ("filesystem.uuid", "1234", "filesystem.uuid: '1234' is not a filesystem's UUID in lower case, as blkid prints it."),
        # What does not go together
        ("governance", {"warn_at": "95 %"}, "governance: warn_at 95 % is not below fail_at 95 %; the warning must come first."),
        ("governance", {"notify": [{"kind": "email", "connection": "smtp"}]}, "governance.notify[0]: kind email without an address; add to: someone@example.org."),
        ("buckets.0", {"name": "datalake", "retention": {"period": "1 d"}}, "buckets[0]: retention without object_lock; only a bucket with object_lock: true keeps what must not be deleted."),
        ("buckets.0.lifecycle", [{}], "buckets[0].lifecycle[0]: a rule without noncurrent, delete_markers or expire does nothing; give one of them."),
        ("buckets.0.lifecycle", [{"expire": "1 d", "delete_markers": True}], "buckets[0].lifecycle[0]: delete_markers and expire exclude each other in one rule, as S3 has it; make two rules of it."),
        ("buckets.0.lifecycle", [{"noncurrent": "1 d"}, {"noncurrent": "2 d"}], "buckets[0]: two lifecycle rules for one prefix; make one of them."),
        ("buckets.0", {"name": "datalake", "versioning": False, "lifecycle": [{"noncurrent": "1 d"}]}, "buckets[0]: lifecycle of noncurrent versions or delete markers without versioning; there are none, so remove the rule."),
        ("users.0.secret", "other", "users: the key pair of spark-user is in kubernetes.secret (minio-s3-keys); remove its secret other."),
        ("users.0.buckets", ["datalake/raw/"], "spark.output: spark-user may not write to s3a://datalake/test-output/, and the job writes as that user; give it the bucket and the role read-write."),
        ("vm.disk.size", "1.5 GiB", "vm.disk: size 1536 MiB is not a whole number of GiB, one or more, which Proxmox VE needs."),
        ("vm.disk.size", "0 GiB", "vm.disk: size 0 B is not a whole number of GiB, one or more, which Proxmox VE needs."),
        ("minio.console_port", 9000, "minio: port and console_port are both 9000; give them different ones."),
        ("minio.binary", {}, "minio.binary: no source given; give exactly one of go, file, url, image."),
        ("minio.binary.file", "/x", "minio.binary: go and file given; give exactly one of go, file, url, image."),
        ("minio.binary", {"url": "https://a/b"}, "minio.binary: url without sha256; add the SHA-256 that the publisher states."),
        ("minio.binary.sha256", "0" * 64, "minio.binary: sha256 is checked for a url only, and go is given; remove it."),
        ("minio.binary", {"go": "github.com/minio/minio"}, "minio.binary.go: 'github.com/minio/minio' is not a Go module with its version, as github.com/minio/minio@v0.0.0-…."),
        ("minio.binary", {"url": "ftp://a/b", "sha256": "0" * 64}, "minio.binary.url: 'ftp://a/b' is not an http or https URL."),
        ("minio.binary", {"url": "https://a/b", "sha256": "ABC"}, "minio.binary.sha256: 'ABC' is not a SHA-256 in 64 hexadecimal digits."),
        ("buckets.0.versioning", False, "buckets[0]: object_lock without versioning; object lock switches versioning on, so declare it true."),
        ("buckets.0.quota", "0 B", "buckets[0]: quota of 0 B; leave quota out for a bucket without one."),
        ("kubernetes.secret.secret_key", "access-key", "kubernetes.secret: access_key and secret_key name the same key; give them different names."),
        ("payments", {"duplicates_within": "30 s"}, "payments.duplicates_within: 30 s is not a whole number of seconds from 60 on; write it as '15 m'."),
        ("payments", {"duplicates_within": "90.5 s"}, "payments.duplicates_within: 90.5 s is not a whole number of seconds from 60 on; write it as '15 m'."),
        ("kafka", {"topics": [{"name": "a", "retention": "1 d", "config": {"retention.ms": "5"}}]}, "kafka.topics[0]: retention and config retention.ms say the same thing twice; leave one out."),
        ("users.0.secret", "none", "users[0].secret: 'none' is text; write null, or leave it out."),
        ("spark.image_pull_secret", "none", "spark.image_pull_secret: 'none' is text; write null, or leave it out."),
        ("vm.disk.iothread", "None", "vm.disk.iothread: 'None' is text; write null, or leave it out."),
        ("governance", {"schedule": "none"}, "governance.schedule: 'none' is text; write null, or leave it out."),
        # References
        ("kubernetes.secret.user", "nobody", "kubernetes.secret.user: 'nobody' is not declared under users."),
        ("spark.output", "s3a://other/x", "spark.output: its bucket 'other' is not declared under buckets."),
        ("spark.event_logs", "s3a://other/x/", "spark.event_logs: its bucket 'other' is not declared under buckets."),
        ("spark.event_logs", "s3a://datalake/x", "spark.event_logs: s3a://datalake/x does not end in /; write s3a://datalake/x/."),
        ("users.0.role", "read-only", "spark.output: spark-user may not write to s3a://datalake/test-output/, and the job writes as that user; give it the bucket and the role read-write."),
        ("buckets", [{"name": "datalake"}, {"name": "datalake"}], "buckets: datalake declared twice; names must differ."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_and_what_to_write(tmp_path: Path, path: str, value: Any, problem: str) -> None:
    assert problems_of(tmp_path, changed(path, value)) == (problem,)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    content = changed("vm.disk.size", "500 GB")
    content["nmae"] = content.pop("name")
    content["buckets"][0]["quota"] = 7
    del content["minio"]["binary"]
    places = [p.split(":")[0] for p in problems_of(tmp_path, content)]
    assert sorted(places) == ["buckets[0].quota", "minio.binary", "name", "nmae", "vm.disk.size"]


def test_every_broken_reference_is_told_at_once(tmp_path: Path) -> None:
    content = changed("users", [{"name": "a", "buckets": ["one"]}, {"name": "a", "buckets": ["datalake", "two", "six"]}])
    content["spark"]["output"] = "s3a://seven/x"
    assert problems_of(tmp_path, content) == (
        "users: a declared twice; names must differ.",
        "users[0].buckets: one is not declared under buckets.",
        "users[1].buckets: six, two is not declared under buckets.",
        "kubernetes.secret.user: 'spark-user' is not declared under users.",
        "spark.output: its bucket 'seven' is not declared under buckets.",
    )


@pytest.mark.parametrize(
    ("places", "inner", "outer"),
    [
        ({"output": "s3a://datalake/payments/"}, "payments.path", "spark.output"),
        ({"output": "s3a://datalake/payments"}, "payments.path", "spark.output"),
        ({"output": "s3a://datalake/x/..//payments/"}, "payments.path", "spark.output"),
        ({"path": "s3a://datalake/test-output/payments/"}, "payments.path", "spark.output"),
        ({"output": "s3a://checkpoints/payments/a/b"}, "spark.output", "payments.checkpoint"),
        ({"event_logs": "s3a://datalake/payments/logs/"}, "spark.event_logs", "payments.path"),
        ({"checkpoint": "s3a://datalake/payments/c/"}, "payments.checkpoint", "payments.path"),
    ],
)
def test_one_programs_folder_is_never_in_anothers(tmp_path: Path, places: dict[str, str], inner: str, outer: str) -> None:
    content = changed("kafka", {"topics": [{"name": "payments"}]})
    content["buckets"].append({"name": "checkpoints"})
    content["users"][0]["buckets"] = ["datalake", "checkpoints"]
    content["payments"] = {k: v for k, v in places.items() if k in ("path", "checkpoint")}
    content["spark"] |= {k: v for k, v in places.items() if k in ("output", "event_logs")}
    (said,) = problems_of(tmp_path, content)
    assert said.startswith(f"{inner}: ")
    assert f" lies in {outer} (" in said
    content["spark"] |= {"output": "s3a://datalake/payments-report/", "event_logs": "s3a://datalake/events/"}
    content["payments"] = {}
    assert LakeSpec.model_validate(content).payments, "a name that begins alike is another folder"


def _paths(value: Any, at: str = "") -> list[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for k, v in items for p in (f"{at}{k}", *_paths(v, f"{at}{k}."))]


@given(st.sampled_from(_paths(SHIPPED)), st.sampled_from([ABSENT, None, "", 0, -1, 1.5, True, [], {}, [None], {"a": 1}, "x" * 300, "../x", [["x"]], 10**400]))
def test_no_value_anywhere_ends_in_anything_but_a_declaration_error(tmp_path_factory: pytest.TempPathFactory, path: str, value: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_text(yaml.safe_dump(changed(path, value)))
    try:
        read_spec(file)
    except SpecError as error:
        assert all(p.endswith((".", "?")) and "pydantic" not in p for p in error.problems)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("vm.node", "PVE-Node1"),
        ("vm.node", "p"),
        ("vm.node", "9"),
        *(("vm.disk.storage", s) for s in ("Fast.SSD_2", "a1", "local-lvm")),
        ("users.1.name", "consoleadmin"),
    ],
)
def test_what_proxmox_and_minio_take_is_taken(path: str, value: str) -> None:
    content = changed("users", [*SHIPPED["users"], {"name": "x", "buckets": ["datalake"]}])
    LakeSpec.model_validate(changed(path, value, content))


def test_the_defaults_are_those_of_the_documentation() -> None:
    spec = LakeSpec.model_validate(SMALLEST)
    disk, minio, k8s = spec.vm.disk, spec.minio, spec.kubernetes
    assert (spec.vm.node, disk.slot, disk.storage, str(disk.size), disk.ssd, disk.discard, disk.backup, disk.iothread) == (
        "pve", "scsi1", "local-lvm", "500 GiB", True, True, True, None)  # fmt: skip
    assert (spec.filesystem.type, spec.filesystem.mount_point, spec.account) == ("ext4", "/mnt/minio_data", "minio-user")
    assert (minio.region, minio.port, minio.console_port, minio.durable_writes) == ("ap-northeast-2", 9000, 9001, True)
    assert (minio.scanner.speed, str(minio.scanner.cycle)) == ("default", "60 s")
    assert (spec.buckets[0].versioning, spec.buckets[0].object_lock, spec.buckets[0].quota) == (True, False, None)
    assert spec.users[0].role == "read-write"
    assert (k8s.namespace, k8s.service_account) == ("spark-jobs", "spark-sa")
    assert (k8s.secret.name, k8s.secret.user, k8s.secret.access_key, k8s.secret.secret_key) == ("minio-s3-keys", "spark-user", "access-key", "secret-key")
    assert (spec.spark.schedule, spec.spark.output, spec.spark.bucket) == (None, "s3a://datalake/test-output/", "datalake")


@pytest.mark.parametrize("schedule", ["0 6 * * *", "*/15 0-6,22 1 JAN-MAR MON#2", "@daily", None])
def test_a_schedule_is_cron_or_none(schedule: str | None) -> None:
    assert LakeSpec.model_validate(changed("spark.schedule", schedule)).spark.schedule == schedule


def test_units_are_read_and_shown_again() -> None:
    spec = LakeSpec.model_validate(changed("buckets.0.quota", "1.5 TiB"))
    assert spec.buckets[0].quota == 1536 * 2**30
    assert str(spec.buckets[0].quota) == "1536 GiB"


def test_the_digest_follows_what_is_declared_and_not_how(tmp_path: Path) -> None:
    file = tmp_path / "lake.yaml"
    file.write_text(yaml.safe_dump(SHIPPED))  # without comments, keys in another order
    assert read_spec(file).digest() == read_spec().digest()
    assert LakeSpec.model_validate(changed("buckets.0.quota", "101 GiB")).digest() != read_spec().digest()


def test_the_shipped_declaration_is_the_lake_of_the_requirements() -> None:
    lake = load_lake()
    assert [r.id for r in lake.resources()] == [
        "vm-disk/100/scsi1", "filesystem/scsi1", "mount/mnt/minio_data", "account/minio-user", "binary/minio", "service/minio",
        "bucket/datalake", "policy/spark-user", "user/spark-user", "namespace/spark-jobs", "service-account/spark-jobs/spark-sa", "keypair/spark-user",
    ]  # fmt: skip
    assert (lake.spec.buckets[0].object_lock, lake.spec.buckets[0].quota) == (True, Size(100 * 2**30))


def test_each_resource_comes_after_those_it_needs() -> None:
    seen: set[str] = set()
    for resource in load_lake().resources():
        assert set(resource.needs) <= seen, resource.id
        seen.add(resource.id)


_MEASURE = """
import sys, time
from include.lake.lake import load_lake
times = []
for _ in range(15):
    began = time.perf_counter()
    load_lake()
    times.append(time.perf_counter() - began)
print(*times)
print(*sorted({m.split('.')[0] for m in sys.modules}))
"""
IO_LIBRARIES = {"kubernetes", "paramiko", "proxmoxer", "minio", "boto3", "botocore", "airflow", "requests", "urllib3", "aiohttp", "http"}


def test_loading_costs_little_and_imports_no_library_that_does_io() -> None:
    done = subprocess.run([sys.executable, "-c", _MEASURE], capture_output=True, text=True, check=True, cwd=LAKE_FILE.parents[1])
    times, modules = done.stdout.splitlines()
    assert statistics.median(map(float, times.split())) < 0.05
    assert "yaml" in modules.split()
    assert not IO_LIBRARIES & set(modules.split())
