"""`lake.yaml`: its form and its defaults."""

import hashlib
import json
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from include.lake.document import read_document, several
from include.lake.units import Seconds, Size

LAKE_FILE = Path(__file__).resolve().parents[1] / "lake.yaml"


def _absolute(path: str) -> str:
    pure = PurePosixPath(path)
    plain = re.fullmatch(r"[-\w./]+", path, re.ASCII)  # it goes into /etc/fstab and systemd's units, which give spaces and % a meaning
    if not plain or not pure.is_absolute() or ".." in pure.parts or str(pure) != path or len(pure.parts) < 3:
        raise ValueError(f"{path!r} is not a plain absolute path of two parts or more; write it as /mnt/minio_data")
    return path


def _named(pattern: str, form: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} is not {form}")
        return text

    return AfterValidator(check)


Name = Annotated[str, _named(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "a name of lower-case letters, digits and dashes, at most 63")]
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_BUCKET = rf"(?=.{{3,63}}$)(?!\d+(\.\d+){{3}}$){_LABEL}(\.{_LABEL})*"
BucketName = Annotated[str, _named(_BUCKET, "a bucket name of 3 to 63 lower-case letters, digits, dashes and single dots, and no IP address")]
Account = Annotated[str, _named(r"(?!root$)[a-z_][-a-z0-9_]{0,30}", "a Unix account name other than root: lower-case letters, digits, - and _")]
Key = Annotated[str, _named(r"[-._a-zA-Z0-9]{1,253}", "a Kubernetes secret's key: letters, digits, -, _ and .")]
Region = Annotated[str, _named(r"[a-z]{2}(-[a-z]+)+-\d", "a region such as ap-northeast-2")]
Digest = Annotated[str, _named(r"[0-9a-f]{64}", "a SHA-256 in 64 hexadecimal digits")]
Slot = Annotated[str, _named(r"scsi([1-9]|[12]\d|30)", "a SCSI slot from scsi1 to scsi30 (scsi0 is the VM's own disk)")]
Storage = Annotated[str, _named(r"[a-zA-Z][-\w.]*", "the name of a Proxmox VE storage")]
GoModule = Annotated[str, _named(r"[\w./-]+@v[\w.+-]+", "a Go module with its version, as github.com/minio/minio@v0.0.0-…")]
Url = Annotated[str, _named(r"https?://\S+", "an http or https URL")]
S3aPath = Annotated[str, _named(r"s3a://[a-z0-9.-]+/.+", "a path in a bucket, as s3a://datalake/test-output/")]
Cron = Annotated[str, _named(r"@(hourly|daily|weekly|monthly|quarterly|yearly)|[\w*/,?#-]+( [\w*/,?#-]+){4}", "a cron expression of five fields, as 0 6 * * *")]
Text = Annotated[str, _named(r"\S.*", "text that says something")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Model(BaseModel):
    """Strict base: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Disk(Model):
    """The VM's data disk, as Proxmox VE knows it."""

    slot: Slot = "scsi1"
    storage: Storage = "local-lvm"
    size: Size = Size.parse("500 GiB")
    ssd: bool = True
    discard: bool = True
    backup: bool = True
    iothread: bool | None = None

    @model_validator(mode="after")
    def _whole_gib(self) -> Self:
        if self.size < 2**30 or self.size % 2**30:
            raise ValueError(f"size {self.size} is not a whole number of GiB, one or more, which Proxmox VE needs")
        return self


class Vm(Model):
    """The virtual machine that carries the lake. It exists already; Homelake adds the data disk to it."""

    node: Name = "pve"
    vmid: Annotated[int, Field(ge=100, le=999_999_999)]
    disk: Disk = Disk()


class Filesystem(Model):
    """The filesystem on the data disk and where it is mounted."""

    type: Literal["ext4"] = "ext4"
    mount_point: Annotated[str, AfterValidator(_absolute)] = "/mnt/minio_data"


class Scanner(Model):
    """MinIO's usage scanner, which quota depends on."""

    speed: Literal["slowest", "slow", "default", "fast", "fastest"] = "default"
    cycle: Seconds = Seconds.parse("1 m")


class BinarySource(Model):
    """Where MinIO's server comes from: exactly one of the four."""

    go: GoModule | None = None
    file: Text | None = None
    url: Url | None = None
    sha256: Digest | None = None
    image: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [k for k in ("go", "file", "url", "image") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"{' and '.join(given) or 'no source'} given; give exactly one of go, file, url, image")
        if self.url and not self.sha256:
            raise ValueError("url without sha256; add the SHA-256 that the publisher states")
        if self.sha256 and not self.url:
            raise ValueError(f"sha256 is checked for a url only, and {given[0]} is given; remove it")
        return self


class Minio(Model):
    """The object store's server."""

    binary: BinarySource
    region: Region = "ap-northeast-2"
    port: Port = 9000
    console_port: Port = 9001
    durable_writes: bool = True
    scanner: Scanner = Scanner()

    @model_validator(mode="after")
    def _ports(self) -> Self:
        if self.port == self.console_port:
            raise ValueError(f"port and console_port are both {self.port}; give them different ones")
        return self


class Bucket(Model):
    """A bucket and its governance."""

    name: BucketName
    versioning: bool = True
    object_lock: bool = False
    quota: Size | None = None

    @model_validator(mode="after")
    def _lock(self) -> Self:
        if self.quota == 0:
            raise ValueError("quota of 0 B; leave quota out for a bucket without one")
        if self.object_lock and not self.versioning:
            raise ValueError("object_lock without versioning; object lock switches versioning on, so declare it true")
        return self


class User(Model):
    """A user of the object store, limited to its buckets."""

    name: Name
    role: Literal["read-write", "read-only"] = "read-write"
    buckets: Annotated[tuple[BucketName, ...], Field(min_length=1, strict=False)]


class KeySecret(Model):
    """The Kubernetes secret that holds a user's key pair."""

    name: Name = "minio-s3-keys"
    user: Name = "spark-user"
    access_key: Key = "access-key"
    secret_key: Key = "secret-key"

    @model_validator(mode="after")
    def _keys(self) -> Self:
        if self.access_key == self.secret_key:
            raise ValueError("access_key and secret_key name the same key; give them different names")
        return self


class Kubernetes(Model):
    """Where the Spark jobs run."""

    namespace: Name = "spark-jobs"
    service_account: Name = "spark-sa"
    secret: KeySecret = KeySecret()


class Spark(Model):
    """The Spark job."""

    image: Text
    image_pull_secret: Name | None = None
    schedule: Cron | None = None
    output: S3aPath = "s3a://datalake/test-output/"

    @property
    def bucket(self) -> str:
        """The bucket of its output."""
        return self.output.split("/")[2]


class LakeSpec(Model):
    """The whole declaration."""

    name: Name
    vm: Vm
    filesystem: Filesystem = Filesystem()
    account: Account = "minio-user"
    minio: Minio
    buckets: Annotated[tuple[Bucket, ...], Field(min_length=1, strict=False)]
    users: Annotated[tuple[User, ...], Field(strict=False)] = ()
    kubernetes: Kubernetes = Kubernetes()
    spark: Spark

    @model_validator(mode="after")
    def _references(self) -> Self:
        buckets, users, wrong = [b.name for b in self.buckets], {u.name: u for u in self.users}, []
        for kind, names in (("buckets", buckets), ("users", [u.name for u in self.users])):
            if twice := {n for n in names if names.count(n) > 1}:
                wrong.append(f"{kind}: {', '.join(sorted(twice))} declared twice; names must differ")
        for i, user in enumerate(self.users):
            if missing := set(user.buckets) - set(buckets):
                wrong.append(f"users[{i}].buckets: {', '.join(sorted(missing))} is not declared under buckets")
        job, output = users.get(self.kubernetes.secret.user), self.spark.bucket
        if job is None:
            wrong.append(f"kubernetes.secret.user: {self.kubernetes.secret.user!r} is not declared under users")
        elif output in buckets and (output not in job.buckets or job.role != "read-write"):
            wrong.append(f"spark.output: {job.name} may not write to {output}, and the job writes as that user; give it the bucket and the role read-write")
        if output not in buckets:
            wrong.append(f"spark.output: its bucket {output!r} is not declared under buckets")
        if wrong:
            raise several(wrong)
        return self

    def digest(self) -> str:
        """A short name of this very declaration: a run that started with one refuses to go on with another."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]


def read_spec(path: Path = LAKE_FILE) -> LakeSpec:
    """Read and check a declaration. Raises SpecError with every problem in it, and nothing else."""
    return read_document(path, LakeSpec)
